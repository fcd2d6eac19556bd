"""kill -9 of each role in turn, and an agent that goes away: what is open recovers or says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import Process, free_port, listening, wait_until
from e2e.harness.servers import Panel
from panelgate.errors import Unavailable

ADDRESS = "127.0.81.10"
PAGE = "<!doctype html><title>Press</title><h1>Press 4</h1>"


class Plant:
    """An installation without the demonstration, one machine with a web page and a VNC panel."""

    def __init__(self, directory: Path) -> None:
        self.installation = Installation(directory / "installation", demo=False)
        self.installation.start()
        self.api = Administrator.set_up(self.installation)
        device = self.api.device("press", lan="127.0.81.0/24")
        self.device_id = device["id"]
        self.web_port = free_port(ADDRESS)
        (directory / "www").mkdir()
        (directory / "www" / "index.html").write_text(PAGE)
        self.web = Process(
            "web",
            ["python3", "-m", "http.server", str(self.web_port), "--bind", ADDRESS, "--directory", directory / "www"],
            directory / "web.log",
        )  # fmt: skip
        self.web.wait_for("the web page is served", lambda: listening(self.web_port, ADDRESS))
        self.panel = Panel(directory / "panel", port=free_port(ADDRESS), host=ADDRESS)
        self.api.service(self.device_id, "web", ADDRESS, self.web_port)
        self.api.service(self.device_id, "vnc", ADDRESS, self.panel.port, "vnc", password="plc12345")
        self.agent = Agent(self.installation, "press", self.api.key(self.device_id), allow=[ADDRESS])
        self.api.wait_online("press")

    def stop(self) -> None:
        self.agent.stop()
        self.panel.close()
        self.web.stop()
        self.installation.stop()


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    plant = Plant(tmp_path_factory.mktemp("plant"))
    yield plant
    plant.stop()


@pytest.fixture
def operator(plant: Plant, browser: Browser) -> Iterator[Page]:
    """A page signed in at the portal."""
    context = signed_in(browser, plant.api.token)
    yield context.new_page()
    context.close()


def open_both(operator: Page, plant: Plant) -> tuple[Page, Page]:
    """The web page and the VNC panel, both working."""
    operator.goto(f"{plant.installation.portal}/acme/press/web")
    expect(operator.get_by_role("heading", name="Press 4")).to_be_visible()
    viewer = operator.context.new_page()
    viewer.goto(f"{plant.installation.portal}/acme/press/vnc")
    expect(viewer.locator("body")).to_have_attribute("data-state", "connected")
    return operator, viewer


def recovered(web: Page, viewer: Page) -> None:
    expect(viewer.locator("body")).to_have_attribute("data-state", "connected", timeout=40_000)

    def loads() -> bool:
        answer = web.reload()
        return answer is not None and answer.status == 200

    wait_until("the web page loads again", loads, 30)


@pytest.mark.parametrize(
    "role", [("relay", "serve"), ("webproxy", "serve"), ("access", "serve")], ids=lambda words: words[0]
)
def test_a_killed_role_comes_back_and_open_pages_recover(operator: Page, plant: Plant, role: tuple[str, str]) -> None:
    web, viewer = open_both(operator, plant)
    former = plant.installation.kill(*role)
    shot(viewer, f"killed-{role[0]}")
    wait_until("it was started again", lambda: _pid(plant, role) not in {0, former}, 20)
    wait_until("the machine is online", lambda: _status(plant) == "online", 40)
    recovered(web, viewer)


def _status(plant: Plant) -> str:
    try:
        return plant.api.status("press")
    except Unavailable:
        return "access server not there"


def _pid(plant: Plant, role: tuple[str, str]) -> int:
    try:
        return plant.installation.role(*role).pid
    except AssertionError:
        return 0


def test_a_killed_agent_is_offline_with_a_page_that_waits_for_it(operator: Page, plant: Plant) -> None:
    web, viewer = open_both(operator, plant)
    machine = operator.context.new_page()
    machine.goto(f"{plant.installation.portal}/machines/press")
    expect(machine.get_by_text("Online").first).to_be_visible()
    plant.agent.stop(9)
    try:
        expect(machine.get_by_text("Offline").first).to_be_visible(timeout=30_000)
        shot(machine, "machine-offline")
        answer = web.reload(timeout=30_000)
        assert answer is not None
        assert answer.status == 503
        expect(web.get_by_role("heading", level=1)).to_contain_text("offline")
        shot(web, "service-offline")
        shot(viewer, "viewer-offline")
    finally:
        plant.agent.start()
    expect(web.get_by_role("heading", name="Press 4")).to_be_visible(timeout=40_000)
    expect(machine.get_by_text("Online").first).to_be_visible(timeout=20_000)
    expect(viewer.locator("body")).to_have_attribute("data-state", "connected", timeout=40_000)


def test_a_switched_off_web_page_is_named_and_can_be_retried(operator: Page, plant: Plant) -> None:
    plant.api.service(plant.device_id, "off", ADDRESS, free_port(ADDRESS))
    answer = operator.goto(f"{plant.installation.portal}/acme/press/off")
    assert answer is not None
    assert answer.status == 502
    expect(operator.get_by_role("heading", level=1)).to_be_visible()
    expect(operator.locator("main")).to_contain_text(ADDRESS)
    shot(operator, "service-closed-port")


def test_access_down_keeps_what_is_open_and_explains_what_is_new(operator: Page, plant: Plant) -> None:
    web, viewer = open_both(operator, plant)
    access = plant.installation.role("access", "serve")
    access.suspend()
    try:
        answer = web.reload()
        assert answer is not None
        assert answer.status == 200
        expect(viewer.locator("body")).to_have_attribute("data-state", "connected")
        fresh = operator.context.new_page()
        fresh.goto(f"{plant.installation.portal}/machines", timeout=30_000)
        expect(fresh.get_by_role("heading", level=1)).to_be_visible()
        shot(fresh, "access-down")
    finally:
        access.resume()
    recovered(web, viewer)


def test_a_second_run_continues_with_the_same_data(plant: Plant, operator: Page) -> None:
    plant.installation.stop()
    plant.installation.start()
    assert "#code=" not in (plant.installation.link or "")
    plant.api.wait_online("press", 70)
    operator.goto(f"{plant.installation.portal}/acme/press/web")
    expect(operator.get_by_role("heading", name="Press 4")).to_be_visible()
