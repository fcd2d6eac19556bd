"""The commands as a person types them. Commands run an event loop of their own, so they run in a thread here."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli import run_until_stopped
from agent.state import State
from panelgate.cli import main
from tests.fakes.access_api import FakeAccess, fake_access


async def call(*arguments: str | Path, stdin: str = "") -> Result:
    words = ["agent", *(str(argument) for argument in arguments)]
    return await asyncio.to_thread(CliRunner().invoke, main, words, input=stdin)


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[FakeAccess]:
    async with fake_access(tmp_path / "access") as found:
        yield found


async def test_enrol_status_policy(access: FakeAccess, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    device = access.add_device()
    common = ("--access", access.url, "--state", folder, "--serial", "s1")
    done = await call("enrol", "--key", device.key, *common, "--allow", "127.0.80.10", "--lan", "192.168.0.7/24")
    assert done.exit_code == 0, done.output
    assert "Enrolled as acme/press" in done.output
    assert access.asked("/agent/v1/enrol")[0]["lan"] == ["192.168.0.0/24"]
    policy = json.loads((folder / "policy.json").read_text())
    assert policy == {"allow": ["127.0.80.10/32"], "deny_all_but": None, "level": "standard"}

    again = await call("enrol", "--key", device.key, *common)
    assert again.exit_code == 1
    assert "already enrolled as acme/press" in again.output

    status = await call("status", "--state", folder)
    assert (status.exit_code, status.output.strip()) == (3, "The agent is not running, and never was.")

    shown = await call("policy", "--state", folder, "--allow", "10.0.0.0/8", "--deny-all-but", "10.0.0.5")
    assert "127.0.80.10/32, 10.0.0.0/8" in shown.output
    assert "10.0.0.5/32" in shown.output
    assert "Widest firewall level:   standard (the server decides)" in shown.output
    narrowed = await call("policy", "--state", folder, "--level", "enforced")
    assert "Widest firewall level:   enforced\n" in narrowed.output
    assert "10.0.0.5/32" in narrowed.output
    assert (await call("policy", "--state", folder, "--level", "none")).exit_code == 2


async def test_enrolling_again_does_not_widen_what_the_owner_narrowed(access: FakeAccess, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    await call("policy", "--state", folder, "--level", "high")
    common = ("--access", access.url, "--state", folder, "--serial", "s1", "--allow", "127.0.80.10")
    done = await call("enrol", "--key", access.add_device().key, *common)
    assert done.exit_code == 0, done.output
    assert json.loads((folder / "policy.json").read_text())["level"] == "high"


async def test_a_key_can_come_from_input(access: FakeAccess, tmp_path: Path) -> None:
    device = access.add_device()
    arguments = ("--key", "-", "--access", access.url, "--state", tmp_path / "agent", "--serial", "s1")
    done = await call("enrol", *arguments, stdin=device.key + "\n")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--key", "pgk-1", "--access", "https://127.0.0.1:1"), "not a complete activation key"),
        (("--key", "pgk-" + "a" * 26 + "-" + "a" * 32, "--access", "https://127.0.0.1:1"), "can't be reached"),
        (("--key", "k", "--access", "https://x", "--allow", "panel"), "'panel' is not an IP address"),
    ],
)
async def test_mistakes_are_explained(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = await call("enrol", *arguments, "--state", tmp_path, "--serial", "s")
    assert done.exit_code == 1
    assert words in done.output


async def test_run_needs_an_enrolled_folder(tmp_path: Path) -> None:
    done = await call("run", "--state", tmp_path)
    assert done.exit_code == 1
    assert "panelgate agent enrol" in done.output


async def test_status_of_a_running_agent(access: FakeAccess, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    arguments = ("--key", access.add_device().key, "--access", access.url, "--state", folder, "--serial", "s1")
    assert (await call("enrol", *arguments)).exit_code == 0
    state, stop = State(folder), asyncio.Event()
    with state.running():
        task = asyncio.get_running_loop().create_task(run_until_stopped(state, stop=stop))
        await access.until(lambda: access.asked("/agent/v1/connect"))
        status = await call("status", "--state", folder, "--json")
        assert status.exit_code == 1
        found = json.loads(status.output)
        assert found["running"]
        assert found["state"] in ("connecting", "waiting")
        busy = await call("run", "--state", folder)
        assert "already running" in busy.output
        stop.set()
        await asyncio.wait_for(task, 5)
    text = await call("status", "--state", folder)
    assert "not running" in text.output
    assert "acme/press" in text.output
