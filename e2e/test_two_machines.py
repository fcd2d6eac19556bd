"""Two machines whose LANs have the same addresses, each in a network namespace of its own, side by side."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import Process, wait_until

LAN = "192.168.0.12"
NAMES = ("left", "right")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


class Machine:
    """A network of its own with one link to us: a host 192.168.0.12 that only programs inside it reach."""

    def __init__(self, name: str, number: int) -> None:
        self.space = f"pg-{name}"
        self.ours = f"10.201.{number}.1"
        self.prefix = ["ip", "netns", "exec", self.space]
        # What a run left behind that was killed: deleting the space takes both ends of its link along.
        subprocess.run(["ip", "netns", "del", self.space], check=False, capture_output=True, timeout=10)
        ip("netns", "add", self.space)
        ip("link", "add", f"pg{number}a", "type", "veth", "peer", "name", f"pg{number}b")
        ip("link", "set", f"pg{number}b", "netns", self.space)
        ip("addr", "add", f"{self.ours}/30", "dev", f"pg{number}a")
        ip("link", "set", f"pg{number}a", "up")
        for words in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"10.201.{number}.2/30", "dev", f"pg{number}b"],
            ["link", "set", f"pg{number}b", "up"],
            # A host of the machine's LAN: no gateway, reachable only through the agent (rows G5, G6).
            ["link", "add", "lan0", "type", "bridge"],
            ["addr", "add", f"{LAN}/24", "dev", "lan0"],
            ["link", "set", "lan0", "up"],
        ):
            subprocess.run([*self.prefix, "ip", *words], check=True, capture_output=True, timeout=10)

    def remove(self) -> None:
        ip("netns", "del", self.space)


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    made = [Machine(name, number) for number, name in enumerate(NAMES, 1)]
    yield made
    for machine in made:
        machine.remove()


@pytest.fixture(scope="module")
def plant(
    machines: list[Machine], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, Administrator]]:
    directory = tmp_path_factory.mktemp("two")
    # Both namespaces reach us under the first one's address: the kernel answers for all its own addresses.
    installation = Installation(directory / "installation", demo=False, hosts=[machines[0].ours])
    subprocess.run(
        [*machines[1].prefix, "ip", "route", "add", machines[0].ours, "via", machines[1].ours], check=True, timeout=10
    )
    started: list[Process | Agent] = []
    try:
        installation.start()
        api = Administrator.set_up(installation)
        for machine, name in zip(machines, NAMES, strict=True):
            www = directory / name
            www.mkdir()
            (www / "index.html").write_text(f"<!doctype html><title>{name}</title><h1>Machine {name}</h1>")
            server = ["python3", "-m", "http.server", "80", "--bind", LAN, "--directory", str(www)]
            web = Process(f"web {name}", [*machine.prefix, *server], Path(directory / f"{name}.log"))
            started.append(web)
            device = api.device(name, lan="192.168.0.0/24")
            api.service(device["id"], "web", LAN, 80)
            # In the namespace that address is the agent's own as well, so its owner has to allow it by name.
            started.append(Agent(installation, name, api.key(device["id"]), allow=[LAN], prefix=machine.prefix))
            api.wait_online(name)
        yield installation, api
    finally:
        for process in reversed(started):
            process.stop()
        installation.stop()


def test_the_same_address_at_two_machines_shows_the_right_page_in_each_tab(
    plant: tuple[Installation, Administrator], browser: Browser
) -> None:
    installation, api = plant
    context = signed_in(browser, api.token)
    tabs = {}
    for name in NAMES:
        tabs[name] = context.new_page()
        tabs[name].goto(f"{installation.portal}/acme/{name}/proxy/{LAN}/")
    for name, tab in tabs.items():
        expect(tab.get_by_role("heading", name=f"Machine {name}")).to_be_visible()
        tab.reload()
        expect(tab.get_by_role("heading", name=f"Machine {name}")).to_be_visible()
    shot(tabs["right"], "two-machines")
    context.close()


def test_the_device_sees_its_own_network_only(plant: tuple[Installation, Administrator]) -> None:
    """The page's server logs the agent's address on the LAN as its peer, never ours."""
    installation, _api = plant
    log = installation.directory.parent / "left.log"
    wait_until("the request is logged", lambda: "GET /" in log.read_text())
    assert {line.split()[0] for line in log.read_text().splitlines() if "GET /" in line} == {LAN}
