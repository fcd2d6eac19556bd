"""The command `panelgate run`: every role as a process of its own, on one machine, with one log and one link."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path

import click

from panelgate.errors import PanelgateError, Unavailable
from panelgate.supervise import health
from panelgate.supervise.child import Child, RoleRefused, Spec
from panelgate.supervise.lines import Style, format_line
from panelgate.supervise.once import run_once
from panelgate.supervise.plan import HERE, Plan

READY_S = 60.0
"""For a role's first answer; a loaded machine needs ten seconds for its imports."""
WATCH_SETUP_S = 1.0
"""Between two looks whether somebody has set the installation up."""
STOP_ORDER: tuple[tuple[tuple[str, ...], float], ...] = (
    (("agent", "demo-panel", "demo-hmi"), 1.0),
    (("webproxy",), 1.5),  # reports what its connections carried
    (("relay",), 1.2),
    (("access",), 1.2),  # last: the others still tell it that they go
)
"""Who stops when, and how many seconds each gets: under 5 together."""


class Supervisor:
    """The processes of one installation on one machine."""

    def __init__(self, plan: Plan, style: Style) -> None:
        self._plan, self._style = plan, style
        self._children: dict[str, Child] = {}
        self._over = asyncio.Event()
        self._failure: PanelgateError | None = None
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Run until Ctrl-C, SIGTERM, or a role that says why it can't start: then raise that."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop)
        try:
            async with self._tasks:
                opening = self._tasks.create_task(self._guard(self._open()))
                await self._over.wait()
                opening.cancel()
                await self._stop()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        if self._failure:
            raise self._failure

    def say(self, role: str, line: str) -> None:
        """Write a line to the merged log."""
        click.echo(format_line(self._style, role, line, time.time()))

    def _told_to_stop(self) -> None:
        if self._over.is_set():  # asked twice: no more patience
            for child in self._children.values():
                if child.process and child.process.returncode is None:
                    child.process.kill()
        else:
            self.say("panelgate", "stopping …")
        self._over.set()

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        """Do `work`; its refusal ends everything."""
        try:
            await work
        except PanelgateError as error:
            self._failure = self._failure or error
            self._over.set()

    async def _open(self) -> None:
        plan = self._plan
        await run_once(plan.spec("access", "access", "init"))
        # Nobody else uses this data (run.lock), and a newer version must go on with it by itself.
        await run_once(plan.spec("access", "access", "migrate", "--copy"))
        await self._start(replace(plan.spec("access", "access", "serve"), probe=self._access_answers))
        for role in ("relay", "webproxy"):
            await self._join(role)
        specs = [
            replace(plan.spec("relay", "relay", "serve"), probe=self._relay_answers),
            replace(plan.spec("webproxy", "webproxy", "serve"), probe=self._webproxy_answers),
        ]
        if plan.demo:
            specs += [plan.hmi(), plan.panel()]
        await asyncio.gather(*(self._start(spec) for spec in specs))
        await self._announce()
        if plan.demo:
            await self._bring_demo_machine()

    async def _start(self, spec: Spec) -> None:
        """Start a role and wait until it is ready."""
        child = self._children[spec.name] = Child(spec, self.say)
        self._tasks.create_task(self._guard(child.keep()))
        if spec.probe or spec.ready_event:
            try:
                async with asyncio.timeout(READY_S):
                    await child.ready.wait()
            except TimeoutError:
                raise RoleRefused(
                    "role_silent", f"{spec.name} did not get ready within {READY_S:g} seconds; see its lines above."
                ) from None

    async def _stop(self) -> None:
        for names, seconds in STOP_ORDER:
            children = [self._children[name] for name in names if name in self._children]
            await asyncio.gather(*(child.stop(seconds) for child in children))

    async def _join(self, role: str) -> None:
        """Let a role join the installation, once."""
        if (self._plan.identity(role) / "certificate.pem").exists():
            return
        spec = self._plan.spec
        token = await run_once(spec("access", "access", "join-token", "--role", role))
        variable = f"PANELGATE_{role.upper()}_JOIN_TOKEN"
        await run_once(spec(role, role, "join", "--access", self._plan.access_url, **{variable: token.split()[0]}))
        self.say("panelgate", f"{role} joined the installation")

    async def _announce(self) -> None:
        link, code = f"{self._plan.portal}/", ""
        if await self._setup_needed():
            code = (await run_once(self._plan.spec("access", "access", "setup-code"))).split()[-1]
            link = f"{self._plan.portal}/setup#code={code}"
        click.echo(f"\n    Panelgate runs. Open {self._style.paint(link, '1')}")
        if code:
            click.echo(f"    The set-up code is   {self._style.paint(code, '1')}")
        click.echo("    Ctrl-C stops it; the next run goes on with the same data.\n")

    async def _bring_demo_machine(self) -> None:
        """Enrol the demonstration's agent once somebody has set the installation up, and run it."""
        plan = self._plan
        if not _enrolled(plan.agent_state):
            await self._set_up()
            if not await self._enrol():
                return
        await self._start(plan.agent())

    async def _enrol(self) -> bool:
        """Enrol the demonstration's agent; False, with a line in the log, when the installation doesn't want it."""
        plan = self._plan
        try:
            key = json.loads((await run_once(plan.spec("access", "access", "add-demo"))).splitlines()[-1])["key"]
        except RoleRefused as refusal:
            self.say("panelgate", f"no demonstration machine: {refusal.message}")
            return False
        if key is None:
            self.say("panelgate", "no demonstration machine: it was deleted, or is enrolled with another data folder")
            return False
        shutil.rmtree(plan.agent_state, ignore_errors=True)  # of an enrolment that broke off
        await run_once(plan.enrol(key))
        self.say("panelgate", "the demonstration machine is enrolled")
        return True

    async def _set_up(self) -> None:
        """Wait until somebody has set the installation up; the access server tells only those who ask."""
        needed = True
        while needed:
            await asyncio.sleep(WATCH_SETUP_S)
            needed = await self._setup_needed()

    async def _setup_needed(self) -> bool:
        answer = await health.access_health(self._plan.access_url, self._plan.authority)
        return bool(answer is None or answer.get("setup_needed"))

    async def _access_answers(self) -> bool:
        return await health.access_health(self._plan.access_url, self._plan.authority) is not None

    async def _relay_answers(self) -> bool:
        url = f"https://{HERE}:{self._plan.relay_port}/health"
        return await health.ask(url, authority=self._plan.authority) is not None

    async def _webproxy_answers(self) -> bool:
        host = self._plan.portal.removeprefix("http://")
        return await health.ask(f"http://{HERE}:{self._plan.port}/", host=host) is not None


def _enrolled(state: Path) -> bool:
    """Whether an agent's folder holds a finished enrolment."""
    return (state / "agent.json").exists()


@contextlib.contextmanager
def _alone_with(data: Path) -> Iterator[None]:
    """Hold the data folder's lock; Unavailable when another run has it."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                "already_running", f"Panelgate runs already with the data in {data}. Stop it first, or set DATA=…"
            ) from None
        yield


_PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--port", envvar="PORT", default=8080, show_default=True, type=_PORT, help="Port of the portal.")
@click.option(
    "--access-port",
    envvar="ACCESS_PORT",
    default=8441,
    show_default=True,
    type=_PORT,
    help="Port of the access server.",
)
@click.option(
    "--relay-port", envvar="RELAY_PORT", default=8442, show_default=True, type=_PORT, help="Port of the relay."
)
@click.option(
    "--data",
    envvar="DATA",
    default="data",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of everything that is kept.",
)
@click.option(
    "--demo/--no-demo", envvar="DEMO", default=True, show_default=True, help="With the demonstration machine."
)
@click.option(
    "--origins",
    envvar=["ORIGINS", "PANELGATE_ORIGINS"],
    default="names",
    show_default=True,
    type=click.Choice(["names", "ports", "paths"]),
    help="Services have names of their own, or ports; or they share one address, unprotected from each other.",
)
def run(port: int, access_port: int, relay_port: int, data: Path, demo: bool, origins: str) -> None:
    """Run everything on this machine: access server, relay, web proxy, and a demonstration machine with its agent."""
    plan = Plan(data.resolve(), port, access_port, relay_port, demo, dict(os.environ), origins)
    with _alone_with(plan.data):
        health.check_ports(plan.ports())
        asyncio.run(Supervisor(plan, Style(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)).run())
    click.echo("Panelgate has stopped.")
