"""An agent on a machine of its own: a fresh virtual environment, the base install, from enrolment to an echo."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from agent.state import State
from tests.fakes.access_api import WAIT_SECONDS
from tests.fakes.plant import Browser, plant

pytestmark = pytest.mark.slow


def test_nothing_is_missing_and_nothing_of_a_server_is_there(agent_python: Path) -> None:
    checked = subprocess.run([agent_python, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    for module in ("uvloop", "pydantic", "starlette", "fastapi", "sqlalchemy", "uvicorn", "httptools", "jinja2"):
        there = subprocess.run([agent_python, "-c", f"import {module}"], capture_output=True, check=False)
        assert there.returncode != 0, module


def test_a_server_role_says_what_to_install(agent_python: Path) -> None:
    told = subprocess.run(
        [agent_python, "-m", "panelgate", "access", "serve"], capture_output=True, text=True, check=False
    )
    assert told.returncode != 0
    assert "panelgate[server]" in told.stderr


async def test_from_enrolment_to_an_echo(tmp_path: Path, agent_python: Path) -> None:
    command = [str(agent_python), "-m", "panelgate", "agent"]
    state = ["--state", str(tmp_path / "alone")]
    async with plant(tmp_path, run=False) as site:
        await site.start_relay()
        enrol = await asyncio.create_subprocess_exec(
            *command, "enrol", "--key", site.device.key, "--access", site.access.url, *state,
            "--lan", "127.0.99.0/24", "--allow", site.HOST,
        )  # fmt: skip
        assert await asyncio.wait_for(enrol.wait(), WAIT_SECONDS) == 0
        site.state = State(tmp_path / "alone")
        running = await asyncio.create_subprocess_exec(*command, "run", *state)
        try:
            await site.online()
            circuit = await site.circuit()
            browser = Browser()
            circuit.open_stream("echo", browser).write(b"hello")
            await browser.until(lambda: browser.received == b"hello")
            status = await asyncio.create_subprocess_exec(
                *command, "status", "--json", *state, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await asyncio.wait_for(status.communicate(), WAIT_SECONDS)
            assert (status.returncode, json.loads(said)["state"]) == (0, "online")
            circuit.close()
        finally:
            running.terminate()
            await asyncio.wait_for(running.wait(), WAIT_SECONDS)
