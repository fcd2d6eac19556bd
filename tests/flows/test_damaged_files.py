"""Data files that are gone, cut short or damaged: each command ends with a sentence that names the file."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from panelgate.cli import main


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "access"
    monkeypatch.setenv("PANELGATE_ACCESS_DATA", str(data))
    assert run("access", "init").exit_code == 0
    return data


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def said(result: Result) -> str:
    """The sentence of a command that refused; not a trace, and not a success."""
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert "Error: " in result.output
    return result.output


@pytest.mark.parametrize("content", [b"", b"rubbish\n", b"\x00\xff" * 40, None])
@pytest.mark.parametrize("name", ["master.key", "ca/ca.pem", "ca/ca-key.pem", "panelgate.sqlite"])
def test_access(access: Path, name: str, content: bytes | None) -> None:
    file = access / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    words = said(run("access", "setup-code"))
    if name == "panelgate.sqlite":
        assert "database" in words
    elif not (name == "master.key" and content is None):
        assert file.name in words


@pytest.mark.parametrize("role", ["relay", "webproxy"])
@pytest.mark.parametrize("name", ["certificate.pem", "key.pem", "ca.pem"])
def test_relay_and_web_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, name: str) -> None:
    from panelgate.pki import Authority, Role

    folder = tmp_path / "identity"
    Authority.create().new_identity(Role(role), "one").save(folder)
    (folder / name).write_text("rubbish")
    monkeypatch.setenv(f"PANELGATE_{role.upper()}_DATA", str(tmp_path))
    assert name in said(run(role, "serve"))


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    from agent.state import State
    from panelgate.pki import Authority, Role

    state = State(tmp_path / "agent")
    state.save_identity(Authority.create().new_identity(Role.AGENT, "d1"))
    return state.directory


@pytest.mark.parametrize("words", [("agent", "run"), ("agent", "policy"), ("agent", "status")])
def test_an_agents_folder_that_is_none(tmp_path: Path, words: tuple[str, str]) -> None:
    """Root may read everything: a file in the folder's place is what nobody can read."""
    place = tmp_path / "state"
    place.write_text("not a folder")
    result = run(*words, "--state", str(place))
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), repr(result.exception)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x00\xff"])
def test_an_agents_damaged_files(agent: Path, content: bytes) -> None:
    (agent / "agent.json").write_bytes(content)
    assert "agent.json" in said(run("agent", "run", "--state", str(agent)))
