"""The supervisor over real child processes that only look like the roles."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panelgate.supervise.child import RoleRefused
from panelgate.supervise.lines import Style
from panelgate.supervise.plan import Plan
from panelgate.supervisor import Supervisor

ROLES = Path(__file__).parents[1] / "fakes" / "roles.py"


def free_ports() -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def plan(data: Path, *, demo: bool = True, **environment: str) -> Plan:
    here = {**os.environ, "PYTHONPATH": str(ROLES.parents[2]), **environment}
    return Plan(data, *free_ports(), demo=demo, environment=here, command=(sys.executable, str(ROLES)))


async def run_until(supervisor: Supervisor, capsys: pytest.CaptureFixture[str], done: Callable[[str], bool]) -> str:
    """Run until what it has printed is `done`, then ask it to stop; everything that it printed."""
    shown = ""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(supervisor.run())
        while not done(shown) and not running.done():
            await asyncio.sleep(0.05)
            shown += capsys.readouterr().out
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
    return shown + capsys.readouterr().out


async def test_first_run_offers_set_up_and_stops_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    where = plan(tmp_path, demo=False)
    began = asyncio.get_running_loop().time()
    shown = await run_until(Supervisor(where, Style(colour=False)), capsys, lambda text: "Ctrl-C" in text)
    assert f"http://portal.localhost:{where.port}/setup#code=abcd-efgh" in shown
    assert re.search(r"^\d\d:\d\d:\d\d  relay       serving$", shown, re.MULTILINE)
    assert "relay joined the installation" in shown
    assert "webproxy joined the installation" in shown
    assert shown.rstrip().endswith("stopping …")
    assert asyncio.get_running_loop().time() - began < 40


async def test_demonstration_comes_after_set_up_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    where = plan(tmp_path, FAKE_SETUP_DONE="1")
    shown = await run_until(Supervisor(where, Style(colour=False)), capsys, lambda text: "agent online" in text)
    assert "the demonstration machine is enrolled" in shown
    assert "setup#code" not in shown
    assert "pgk-" not in shown
    again = await run_until(Supervisor(where, Style(colour=False)), capsys, lambda text: "agent online" in text)
    assert "joined" not in again
    assert "enrolled" not in again


@pytest.mark.parametrize("why", [{"FAKE_KEY": ""}, {"FAKE_ACCOUNTS": "2"}])
async def test_goes_on_without_a_demonstration_that_is_not_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], why: dict[str, str]
):
    where = plan(tmp_path, FAKE_SETUP_DONE="1", **why)
    shown = await run_until(Supervisor(where, Style(colour=False)), capsys, lambda text: "no demonstration" in text)
    assert "stopping …" in shown
    assert "agent online" not in shown


async def test_crashed_role_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    supervisor = Supervisor(plan(tmp_path, demo=False), Style(colour=False))
    killed = False

    def kill_then_wait(text: str) -> bool:
        nonlocal killed
        if "Ctrl-C" in text and not killed:
            killed = True
            process = supervisor._children["relay"].process
            assert process is not None
            process.kill()
        return len(re.findall("relay       serving", text)) == 2

    shown = await run_until(supervisor, capsys, kill_then_wait)
    assert "relay       ended (SIGKILL); starts again in 0.5 s" in shown


@pytest.mark.parametrize("role", ["access", "relay"])
async def test_role_that_refuses_stops_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str):
    with pytest.raises(ExceptionGroup) as ended:
        await run_until(
            Supervisor(plan(tmp_path, demo=False, FAKE_REFUSES=role), Style(colour=False)), capsys, lambda _: False
        )
    assert ended.group_contains(RoleRefused, match="the database is of an older version. Run: panelgate access migrate")


def command(data: Path, ports: list[int]) -> list[str]:
    words = ["--port", "--access-port", "--relay-port"]
    options = [part for word, port in zip(words, ports, strict=True) for part in (word, str(port))]
    return [sys.executable, "-m", "panelgate", "run", "--no-demo", "--data", str(data), *options]


def test_port_in_use_is_said_before_anything_starts(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], *free_ports()[1:]]
        ended = subprocess.run(command(tmp_path, ports), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: The web proxy cannot listen on 127.0.0.1 port {ports[0]}: Address already in use. "
        "Choose another one: make run PORT=8090\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.lock"]


def test_second_run_with_the_same_data_is_refused(tmp_path: Path):
    import fcntl

    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = subprocess.run(command(tmp_path, free_ports()), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "runs already with the data" in ended.stderr
