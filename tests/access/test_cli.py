"""The commands, run as a person runs them, and the server they start."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from click.testing import CliRunner, Result

from access import cli, schema, setup
from access.db import Store
from access.kernel import AUTHORITY_FOLDER, DATABASE_FILE, IDENTITY_FOLDER, KEY_FILE, SETUP_FILE, open_kernel
from panelgate.access_client import AccessClient
from panelgate.cli import main
from panelgate.clock import Clock, FakeClock
from panelgate.errors import Broken, Refused
from panelgate.pki import Identity, Role
from panelgate.settings import AccessSettings
from tests.fakes.access_world import full_session, make_account, make_identity


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands will find the server's data; nothing is there yet."""
    monkeypatch.setenv("PANELGATE_ACCESS_DATA", str(tmp_path / "new"))
    return tmp_path / "new"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["access", *arguments])


def done(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_init_makes_what_is_missing_and_replaces_nothing(folder: Path) -> None:
    assert str(folder) in done("init")
    secrets = (folder / KEY_FILE, folder / AUTHORITY_FOLDER / "ca-key.pem")
    before = [path.read_bytes() for path in secrets]
    assert [path.stat().st_mode & 0o777 for path in secrets] == [0o600] * 2
    assert folder.stat().st_mode & 0o777 == 0o700
    done("init")
    assert [path.read_bytes() for path in secrets] == before


@pytest.mark.parametrize("command", ["serve", "setup-code", "add-demo"])
def test_before_init_the_command_is_named(folder: Path, command: str) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert "panelgate access init" in result.output
    assert not folder.exists()


def test_an_old_schema_is_refused_with_the_command(folder: Path) -> None:
    done("init")
    store = Store(str(folder / DATABASE_FILE), Clock())
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    store.close()
    for refused in ("serve", "setup-code"):
        result = run(refused)
        assert result.exit_code == 1
        assert schema.COMMAND in result.output


def test_migrating(folder: Path) -> None:
    folder.mkdir()
    assert "before: empty" in done("migrate")
    assert f"before: {schema.newest()}" in done("migrate")


def test_migrating_keeps_a_copy_of_what_was(folder: Path) -> None:
    done("init")
    assert "A copy" not in done("migrate", "--copy")
    store = Store(str(folder / DATABASE_FILE), Clock())
    with store.engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    store.close()
    copy = folder / f"{DATABASE_FILE}.before-{schema.newest()}"
    assert str(copy) in done("migrate", "--copy")
    assert copy.stat().st_mode & 0o777 == 0o600
    old = Store(str(copy), Clock())
    assert schema.present(old.engine) == "0001"
    old.close()
    assert done("setup-code"), "the server's commands work again"


def test_a_set_up_code(folder: Path) -> None:
    done("init")
    first, second = done("setup-code"), done("setup-code")
    assert first != second
    assert (folder / SETUP_FILE).read_text().strip() == second
    kernel = open_kernel(AccessSettings())
    client = setup.Client("127.0.0.1", "")
    setup.set_up(kernel, second, setup.Newcomer("acme", "Acme", "anna", "Anna", "correct horse 7", client))
    kernel.store.close()
    result = run("setup-code")
    assert (result.exit_code, "already" in result.output) == (1, True)


def test_a_join_token_and_the_demonstration(folder: Path) -> None:
    done("init")
    assert len(done("join-token", "--role", "relay")) > 40
    assert run("join-token", "--role", "agent").exit_code == 2
    assert "set the installation up" in run("add-demo").output
    kernel = open_kernel(AccessSettings())
    make_account(kernel, "acme")
    kernel.store.close()
    made = json.loads(done("add-demo"))
    assert made["account"] == "acme"
    assert made["key"].startswith("pgk-")
    assert "no such account or relay" in run("move", "acme/demo-machine", "--relay", "wss://nowhere").output


class Served:
    """The real server on a port of its own, inside this test's event loop."""

    def __init__(self, data: Path) -> None:
        settings = AccessSettings(_env_file=None, data=data, port=0)  # type: ignore[call-arg]
        self.kernel = open_kernel(settings)
        self.identity = cli.identity_of(self.kernel)
        self.server = cli.server_of(self.kernel, self.identity)

    async def __aenter__(self) -> Served:
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.server.shutdown()

    @property
    def url(self) -> str:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"https://127.0.0.1:{port}"


def of_today(fresh_data: Path, folder: Path) -> Path:
    """A data folder whose authority is valid now, for real TLS."""
    data = Path(shutil.copytree(fresh_data, folder))
    for path in (data / AUTHORITY_FOLDER).iterdir():
        path.unlink()
    cli.prepare(AccessSettings(_env_file=None, data=data), Clock())  # type: ignore[call-arg]
    return data


async def test_serving_over_tls_with_the_own_certificate(fresh_data: Path, tmp_path: Path) -> None:
    async with Served(of_today(fresh_data, tmp_path / "served")) as served:
        web = make_identity(served.kernel, Role.WEBPROXY, "w" * 32)
        async with AccessClient(served.url, web) as client:
            assert await client.call("GET", "/webproxy/v1/setup") == {"needed": True, "signup": False}
            anna = make_account(served.kernel, "acme")
            token = full_session(served.kernel, *anna)
            session = await client.call("GET", "/webproxy/v1/session", session=token)
            assert session["user"]["name"] == "anna"
            events = client.events("/webproxy/v1/events")
            assert (await anext(events))["type"] == "ping"
            await client.call("POST", "/webproxy/v1/sign-out", session=token)
            assert await anext(events) == {"type": "session.ended", "session_id": session["session_id"]}
            await events.aclose()  # type: ignore[attr-defined]
            with pytest.raises(Refused) as caught:
                await client.call("GET", "/webproxy/v1/session", session=token)
            assert caught.value.code == "no_session"


async def test_an_open_event_stream_does_not_hold_up_the_end(
    fresh_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Served(of_today(fresh_data, tmp_path / "served")) as served,
        AccessClient(served.url, make_identity(served.kernel, Role.WEBPROXY, "w" * 32)) as client,
    ):
        events = client.events("/webproxy/v1/events")
        assert (await anext(events))["type"] == "ping"
        async with asyncio.timeout(cli.SHUTDOWN_SECONDS / 2), asyncio.TaskGroup() as tasks:
            tasks.create_task(served.server.shutdown())
            assert [event async for event in events if event["type"] != "ping"] == []
    assert "Traceback" not in caplog.text
    assert "CancelledError" not in caplog.text


def test_the_own_certificate_is_kept_and_carries_the_names(data: Path) -> None:
    kernel = open_kernel(AccessSettings(_env_file=None, data=data), FakeClock())  # type: ignore[call-arg]
    first = cli.identity_of(kernel)
    assert first.role is Role.ACCESS
    assert cli.identity_of(kernel).fingerprint == first.fingerprint == Identity.load(data / IDENTITY_FOLDER).fingerprint
    kernel.settings.names += ",access.example.com"
    assert cli.identity_of(kernel).fingerprint != first.fingerprint
    with pytest.raises(Broken):
        cli.server_of(kernel, kernel.authority.new_identity(Role.ACCESS, "x"))
    kernel.store.close()
