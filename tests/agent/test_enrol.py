from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.enrol import Wish, enrol
from agent.state import State
from panelgate.clock import FakeClock
from panelgate.errors import PanelgateError
from panelgate.pki import Authority, Role
from tests.fakes.access_api import FakeAccess, ca_part, fake_access


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[FakeAccess]:
    async with fake_access(tmp_path / "access") as found:
        yield found


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "agent")


def wish(access: FakeAccess, key: str, *, declared: bool = True) -> Wish:
    return Wish(key, access.url, "serial-1", ("192.168.0.0/24",), declared)


async def test_a_key_becomes_an_identity(access: FakeAccess, state: State) -> None:
    device = access.add_device(services=[])
    done = await enrol(wish(access, f" {device.key.upper()} "), state)
    assert (done.device_id, done.account, done.device, done.lan) == (device.id, "acme", "press", ("192.168.0.0/24",))
    identity = state.identity()
    assert (identity.role, identity.id, identity.fingerprint) == (Role.AGENT, device.id, device.fingerprints[0])
    assert state.enrolment() == done
    assert state.configuration() == access.config(device)
    key = state.directory / "identity" / "key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    asked = access.asked("/agent/v1/enrol")[0]
    assert (asked["serial"], asked["lan"]) == ("serial-1", ["192.168.0.0/24"])
    assert "PRIVATE" not in str(asked)


async def test_a_lan_that_was_only_guessed_is_not_kept(access: FakeAccess, state: State) -> None:
    device = access.add_device()
    assert (await enrol(wish(access, device.key, declared=False), state)).lan == ()


async def refusal(access: FakeAccess, state: State, key: str, clock: FakeClock | None = None) -> PanelgateError:
    with pytest.raises(PanelgateError) as refused:
        await enrol(wish(access, key), state, clock)
    assert not state.enrolled()
    return refused.value


async def test_a_key_with_a_slip(access: FakeAccess, state: State) -> None:
    assert (await refusal(access, state, access.add_device().key[:-1])).code == "bad_key"
    assert access.calls == []


async def test_a_key_that_does_not_exist(access: FakeAccess, state: State) -> None:
    access.add_device()
    error = await refusal(access, state, "pgk-" + "b" * 26 + "-" + ca_part(access.authority))
    assert error.code == "wrong_key"
    assert "does not exist" in error.message


async def test_the_wrong_authority_gets_no_secret(access: FakeAccess, state: State) -> None:
    access.add_device()
    error = await refusal(access, state, "pgk-" + "b" * 26 + "-" + ca_part(Authority.create()))
    assert error.code == "wrong_ca"
    assert access.asked("/agent/v1/enrol") == []


async def test_a_wrong_clock_is_named(access: FakeAccess, state: State) -> None:
    error = await refusal(access, state, access.add_device().key, FakeClock(access.clock.now() - 7200))
    assert error.code == "clock_skew"
    assert "2 hours behind" in error.message


async def test_nobody_there(access: FakeAccess, state: State) -> None:
    key = access.add_device().key
    await access.down()
    assert (await refusal(access, state, key)).code == "access_down"
