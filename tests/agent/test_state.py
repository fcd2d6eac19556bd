from pathlib import Path

import pytest

from agent.policy import OwnerPolicy, parse_networks
from agent.state import DEFAULT_DIRECTORY, Enrolment, State, machine_serial
from panelgate.errors import BadInput, Broken, Unavailable
from panelgate.pki import Authority, Role

ENROLMENT = Enrolment("https://localhost:1", "d1", "acme", "press", "Press 4", "serial")


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "agent")


def test_an_empty_folder_says_what_to_do(state: State) -> None:
    assert not state.enrolled()
    with pytest.raises(BadInput, match="panelgate agent enrol"):
        state.enrolment()


def test_enrolment_round_trip(state: State) -> None:
    state.save_enrolment(ENROLMENT)
    assert state.enrolment() == ENROLMENT


def test_files_are_private(state: State) -> None:
    state.save_enrolment(ENROLMENT)
    state.save_identity(Authority.create().new_identity(Role.AGENT, "d1"))
    for path in (state.directory / "agent.json", state.directory / "identity" / "key.pem"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert state.directory.stat().st_mode & 0o077 == 0


def test_identity_is_replaced_as_a_pair(state: State) -> None:
    authority = Authority.create()
    first = state.save_identity(authority.new_identity(Role.AGENT, "d1"))
    second = state.save_identity(authority.new_identity(Role.AGENT, "d1"))
    assert first.fingerprint != second.fingerprint == state.identity().fingerprint
    assert sorted(path.name for path in state.directory.iterdir()) == ["identity"]


def test_a_power_cut_between_the_renames_is_mended(state: State) -> None:
    identity = state.save_identity(Authority.create().new_identity(Role.AGENT, "d1"))
    (state.directory / "identity").rename(state.directory / "identity.new")
    assert state.identity().fingerprint == identity.fingerprint


def test_owner_policy(state: State) -> None:
    assert state.owner() == OwnerPolicy()
    policy = OwnerPolicy(parse_networks(["127.0.80.10", "10.0.0.0/8"]), parse_networks(["10.0.0.1"]))
    state.save_owner(policy)
    assert state.owner() == policy
    state.save_owner(OwnerPolicy(level="high"))
    assert state.owner().level == "high"


@pytest.mark.parametrize("text", ["", "[]", '{"allow": ["x"]}', '{"allow": 5}', '{"level": "open"}', '{"level": 1}'])
def test_a_damaged_policy_never_becomes_an_empty_one(state: State, text: str) -> None:
    state.save_owner(OwnerPolicy())
    (state.directory / "policy.json").write_text(text)
    with pytest.raises(Broken, match=r"policy\.json"):
        state.owner()


def test_configuration_and_keys(state: State) -> None:
    assert state.configuration() is None
    state.save_configuration("a.b.c")
    assert state.configuration() == "a.b.c"
    state.save_ticket_keys({"keys": []})
    assert state.ticket_keys() == {"keys": []}


def test_unchanged_keys_are_not_written_again(state: State) -> None:
    state.save_ticket_keys({"keys": [1]})
    before = (state.directory / "ticket-keys.json").stat().st_ino
    state.save_ticket_keys({"keys": [1]})
    assert (state.directory / "ticket-keys.json").stat().st_ino == before


def test_one_process_at_a_time(state: State) -> None:
    assert not state.is_running()
    with state.running():
        assert state.is_running()
        with pytest.raises(Unavailable, match="already running"), state.running():
            pass
    assert not state.is_running()


def test_serials(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("0123\n")
    usual = machine_serial(DEFAULT_DIRECTORY, tmp_path / "id")
    assert usual == machine_serial(DEFAULT_DIRECTORY, tmp_path / "id")
    assert usual != machine_serial(tmp_path / "other", tmp_path / "id")
    assert "0123" not in usual
    with pytest.raises(BadInput, match="--serial"):
        machine_serial(tmp_path, tmp_path / "missing")
