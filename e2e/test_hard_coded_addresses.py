"""An HMI that names its plant's addresses in page, script, data and messages: in Chromium, directly and from afar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import free_port, wait_until
from e2e.harness.servers import start_hard_coded


@dataclass
class Plant:
    """One HMI as two services: `plain` without options, `hmi` with rewriting and its socket as a companion."""

    installation: Installation
    token: str
    page_port: int

    def behind(self, slug: str) -> str:
        return self.installation.service_origin(f"{slug}--plant--acme")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    directory = tmp_path_factory.mktemp("hard-coded")
    installation = Installation(directory / "installation", demo=False)
    stops: list[Callable[[], None]] = [installation.stop]
    try:
        installation.start()
        ada = Administrator.set_up(installation)
        page, socket, trend = free_port(), free_port(), free_port()
        stops.append(start_hard_coded(directory / "hmi", page, socket, trend).stop)
        device = ada.device("plant", lan="127.0.0.1/32")
        ada.service(device["id"], "socket", "127.0.0.1", socket)
        ada.service(device["id"], "trend", "127.0.0.1", trend)
        ada.service(device["id"], "hmi", "127.0.0.1", page, options={"rewrite": True, "companions": ["socket"]})
        ada.service(device["id"], "plain", "127.0.0.1", page)
        stops.append(Agent(installation, "plant", ada.key(device["id"]), allow=["127.0.0.1"]).stop)
        ada.wait_online("plant")
        yield Plant(installation, ada.token, page)
    finally:
        for stop in reversed(stops):
            stop()


def works(page: Page) -> None:
    """Values move, the HMI knows who asks, and nothing is complained of."""
    value = page.locator("#value")
    expect(value).not_to_have_text("no value", timeout=20_000)
    first = value.inner_text()
    wait_until("the value moves", lambda: bool(page.evaluate("1")) and value.inner_text() != first)
    expect(page.locator("#heard")).to_have_text("known")
    expect(page.locator("#error")).to_have_text("")


def test_directly(contexts: Callable[..., BrowserContext], plant: Plant) -> None:
    page = contexts().new_page()
    page.goto(f"http://127.0.0.1:{plant.page_port}/")
    works(page)


@pytest.fixture
def remote(browser: Browser, plant: Plant) -> Iterator[Page]:
    """A browser far away: nothing but the installation can be reached from it."""
    context = signed_in(browser, plant.token)
    context.route(f"http://127.0.0.1:{plant.page_port}/**", lambda route: route.abort())
    yield context.new_page()
    context.close()


def test_without_options_it_can_not_be_reached_by_its_own_address(remote: Page, plant: Plant) -> None:
    failed: list[str] = []
    remote.on("requestfailed", lambda request: failed.append(request.url))
    remote.goto(plant.behind("plain") + "/")
    expect(remote.locator("#value")).to_have_text("no value")
    wait_until("its script can't be loaded", lambda: bool(remote.evaluate("1")) and bool(failed))
    assert failed == [f"http://127.0.0.1:{plant.page_port}/hmi.js"]


def test_with_rewriting_and_a_companion_it_works(remote: Page, plant: Plant) -> None:
    asked: list[str] = []
    remote.on("request", lambda request: asked.append(request.url))
    remote.goto(plant.behind("hmi") + "/")
    works(remote)
    shot(remote, "hard-coded-addresses")
    assert not [url for url in asked if "127.0.0.1" in url]
    remote.locator("#trend").click()
    expect(remote.locator("h1")).to_have_text("Trend of the mixer", timeout=20_000)
    assert remote.url == plant.behind("trend") + "/trend"


def test_a_companion_is_no_page(remote: Page, plant: Plant) -> None:
    remote.goto(plant.behind("hmi") + "/")
    remote.goto(plant.behind("hmi") + "/.pg/companion/socket/")
    expect(remote.locator("h1")).to_be_visible()
    assert remote.url == plant.behind("socket") + "/"
