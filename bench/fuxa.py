"""FUXA's viewer in Chromium over an uplink of 1 Mbit/s and 150 ms round trip: bytes over the link, and the time.

The agent's connections to the relay cross the link; for the rival, those of the ssh client to its server. Second load:
the same user with a new browser profile, so nothing of it is the browser's own cache. `make bench-fuxa`.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from bench.link import Link
from bench.measure import ROUNDS, Goal, judge
from bench.stage import reverse_tunnel
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import free_port
from e2e.harness.servers import start_fuxa

RATE = 125_000  # bytes a second: 1 Mbit/s
ROUND_TRIP = 0.150  # seconds
LOAD_SECONDS = 300.0  # 9 MB take 75 s
SETTLED_MS = 1500.0  # without a request: the page has all it needs for its first view
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@dataclass(frozen=True)
class Way:
    """One way to FUXA: where it begins, its link, and what a new profile of the same user needs."""

    origin: str
    link: Link
    context: Callable[[Browser], BrowserContext]


@dataclass(frozen=True)
class Load:
    """Bytes over the link, and seconds until the view's texts were drawn."""

    bytes: int
    seconds: float


def load(way: Way, context: BrowserContext) -> Load:
    """Load the viewer in a new tab."""
    page = context.new_page()
    page.set_default_timeout(LOAD_SECONDS * 1000)
    before, start = way.link.bytes, time.monotonic()
    page.goto(f"{way.origin}/", wait_until="commit")
    page.locator("svg text").first.wait_for(state="visible")
    seconds = time.monotonic() - start
    page.wait_for_timeout(SETTLED_MS)
    found = Load(way.link.bytes - before, seconds)
    page.close()
    print(f"  {way.origin}: {found.bytes:,} bytes, {found.seconds:.1f} s", file=sys.stderr, flush=True)
    return found


def three(way: Way, browser: Browser) -> tuple[Load, Load, Load]:
    """The first load, the second with a new profile, and a third with the second's profile kept."""
    first = way.context(browser)
    second = way.context(browser)
    try:
        return load(way, first), load(way, second), load(way, second)
    finally:
        first.close()
        second.close()


def _connections(pids: Callable[[], list[int]]) -> Callable[[int], bool]:
    def slow(port: int) -> bool:
        found: set[int] = set()
        for pid in pids():
            with contextlib.suppress(psutil.Error):
                found |= {c.laddr.port for c in psutil.Process(pid).net_connections("tcp")}
        return port in found

    return slow


@contextlib.contextmanager
def ways() -> Iterator[tuple[Way, Way]]:
    """Ours and OpenSSH's way, each with a link of its own."""
    directory = Path(tempfile.mkdtemp(prefix="panelgate-bench-"))
    stops: list[Callable[[], None]] = [lambda: shutil.rmtree(directory, ignore_errors=True)]
    agents: list[Agent] = []

    def agent_pids() -> list[int]:
        return [agent.process.child.pid for agent in agents if agent.process is not None]

    try:
        port = free_port()
        stops.append(start_fuxa(directory / "fuxa", port).stop)
        installation = Installation(directory / "installation", demo=False)
        ours = Link(installation.relay_port, rate=RATE, round_trip=ROUND_TRIP, slow=_connections(agent_pids)).start()
        stops.append(ours.stop)
        installation.link_port = ours.port
        stops.append(installation.stop)
        installation.start()
        administrator = Administrator.set_up(installation)
        device = administrator.device("plant", lan="127.0.0.1/32")
        service = administrator.service(device["id"], "fuxa", "127.0.0.1", port)
        agent = Agent(installation, "plant", administrator.key(device["id"]), allow=["127.0.0.1"])
        agents.append(agent)
        stops.append(lambda: agent.stop(signal.SIGKILL))
        administrator.wait_online("plant", 60)

        def signed_in(browser: Browser) -> BrowserContext:
            value = administrator.service_cookie(service["host_label"])
            host = f"{service['host_label']}.apps.localhost"
            cookie = {"name": "__Host-pg", "value": value, "domain": host, "path": "/", "sameSite": "Lax"}
            return browser.new_context(
                storage_state={"cookies": [{**cookie, "expires": -1, "secure": True, "httpOnly": True}]}  # type: ignore[typeddict-item,list-item]
            )

        links: list[Link] = []

        def through(server: int) -> int:
            links.append(Link(server, rate=RATE, round_trip=ROUND_TRIP, slow=lambda _: True).start())
            stops.append(links[0].stop)
            return links[0].port

        tunnel, ssh = reverse_tunnel(directory, "127.0.0.1", port, through)
        stops += [process.stop for process in tunnel]
        yield (
            Way(installation.service_origin(service["host_label"]), ours, signed_in),
            Way(ssh, links[0], lambda browser: browser.new_context()),
        )
    finally:
        for stop in reversed(stops):
            stop()


def main() -> None:
    """Measure."""
    names = ("first load", "second load, new profile", "third load, profile kept")
    loads: list[tuple[tuple[Load, Load, Load], tuple[Load, Load, Load]]] = []
    with ways() as (ours, ssh), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        loads += [(three(ours, browser), three(ssh, browser)) for _ in range(min(ROUNDS, 2))]
        browser.close()
    for index, name in enumerate(names):
        goals = (Goal.SHARE, 0.2), (Goal.SHARE, 0.5)
        for (kind, goal), unit in zip(goals, ("bytes", "s"), strict=True):
            pairs = [
                (a[index].bytes, b[index].bytes) if unit == "bytes" else (a[index].seconds, b[index].seconds)
                for a, b in loads
            ]
            judge(
                f"FUXA's viewer at 1 Mbit/s and 150 ms, {name}", "OpenSSH -R", unit,
                kind if index == 1 else Goal.SHOWN, goal if index == 1 else 0, pairs,
            )  # fmt: skip


if __name__ == "__main__":
    main()
