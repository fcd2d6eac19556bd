import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from panelgate.cli import main
from panelgate.pki import Identity, Role
from panelgate.settings import RelaySettings
from relay.cli import identity_directory, serve_until_stopped
from tests.fakes.access_api import FakeAccess, ca_part, fake_access


async def call(data: Path, *arguments: str) -> Result:
    environment = {"PANELGATE_RELAY_DATA": str(data), "PANELGATE_RELAY_NAMES": "relay.example, 127.0.0.1"}
    return await asyncio.to_thread(CliRunner(env=environment).invoke, main, ["relay", *arguments])


def token(access: FakeAccess) -> str:
    return "pgj-" + "j" * 26 + "-" + ca_part(access.authority)


async def test_join_then_serve(tmp_path: Path) -> None:
    async with fake_access(tmp_path / "access") as access:
        access.join_token = token(access)
        done = await call(tmp_path / "relay", "join", "--token", token(access), "--access", access.url)
        assert done.exit_code == 0, done.output
        identity = Identity.load(identity_directory(tmp_path / "relay"))
        assert (identity.role, identity.id) == (Role.RELAY, "relay-joined")
        assert access.asked("/v1/join")[0]["dns_names"] == ["relay.example", "127.0.0.1"]

        stop = asyncio.Event()
        settings = RelaySettings(data=tmp_path / "relay", access=access.url, port=0)
        serving = asyncio.get_running_loop().create_task(serve_until_stopped(settings, stop=stop))
        await access.until(lambda: access.listening("relay-joined"))
        stop.set()
        await asyncio.wait_for(serving, 10)
        assert access.reports[-1]["devices"] == []


@pytest.mark.parametrize(
    ("secret", "words"), [("pgj-x", "not a complete join token"), ("wrong", "not a complete join token")]
)
async def test_mistakes_are_explained(tmp_path: Path, secret: str, words: str) -> None:
    done = await call(tmp_path, "join", "--token", secret, "--access", "https://127.0.0.1:1")
    assert done.exit_code == 1
    assert words in done.output


async def test_a_used_token(tmp_path: Path) -> None:
    async with fake_access(tmp_path / "access") as access:
        done = await call(tmp_path / "relay", "join", "--token", token(access), "--access", access.url)
        assert done.exit_code == 1
        assert "has been used" in done.output


async def test_serve_says_that_it_has_to_join_first(tmp_path: Path) -> None:
    done = await call(tmp_path, "serve")
    assert done.exit_code == 1
    assert "panelgate relay join" in done.output
