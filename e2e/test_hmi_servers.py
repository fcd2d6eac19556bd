"""Real HMI servers: what Chromium shows of them directly, it shows through the whole chain, without a new complaint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import free_port, wait_until
from e2e.harness.servers import NODE_RED, start_fuxa, start_modbus_simulator, start_node_red


@dataclass
class Plant:
    """Where each server is, directly and behind the chain; `token` is the administrator's portal session."""

    installation: Installation
    token: str
    ports: dict[str, int] = field(default_factory=dict)

    def direct(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def behind(self, name: str) -> str:
        return self.installation.service_origin(f"{name}--plant--acme")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    assert NODE_RED.exists(), "Node-RED is missing: run `make setup-test`"
    directory = tmp_path_factory.mktemp("servers")
    installation = Installation(directory / "installation", demo=False)
    stops: list[Callable[[], None]] = [installation.stop]
    try:
        installation.start()
        ada = Administrator.set_up(installation)
        plant = Plant(installation, ada.token)
        plant.ports = {name: free_port() for name in ("node-red", "fuxa", "modbus")}
        plant.ports["workers"] = plant.ports["node-red"]  # another service of the same server
        stops.append(start_node_red(directory / "node-red", plant.ports["node-red"]).stop)
        stops.append(start_fuxa(directory / "fuxa", plant.ports["fuxa"]).stop)
        stops.append(start_modbus_simulator(directory / "modbus", plant.ports["modbus"], free_port()).stop)
        device = ada.device("plant", lan="127.0.0.1/32")
        for name, port in plant.ports.items():
            options = {"service_workers": True} if name == "workers" else {}
            ada.service(device["id"], name, "127.0.0.1", port, options=options)
        stops.append(Agent(installation, "plant", ada.key(device["id"]), allow=["127.0.0.1"]).stop)
        ada.wait_online("plant")
        yield plant
    finally:
        for stop in reversed(stops):
            stop()


@dataclass
class Complaints:
    """What a page complains of: errors on its console, exceptions, requests that failed. Origins are left out."""

    found: set[str] = field(default_factory=set)

    def of(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._add("exception", str(error)))
        page.on("requestfailed", self._failed)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._add("console", message.text)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page went on, or gave it up itself
            self._add("request", f"{request.failure} {request.url}")

    def _add(self, kind: str, text: str) -> None:
        text = re.sub(r"(?:https?|wss?)://[^/\s'\"]+", "ORIGIN", text)
        self.found.add(f"{kind}: {re.sub(r'[?&](?:t|sid|_)=[^&]*', '', text)}")


def moves(page: Page, read: Callable[[], str]) -> None:
    """A live value changes by itself."""
    first = read()
    assert first
    wait_until("the value moves", lambda: bool(page.evaluate("1")) and read() != first, 20)


def node_red_editor(page: Page, origin: str) -> None:
    page.goto(f"{origin}/")
    expect(page.locator(".red-ui-flow-node").first).to_be_visible(timeout=30_000)
    expect(page.locator("#red-ui-palette").get_by_text("inject", exact=True).first).to_be_visible(timeout=30_000)


def dashboard_1(page: Page, origin: str) -> None:
    page.goto(f"{origin}/ui/")
    value = page.get_by_text(re.compile(r"Part \d+"))
    expect(value).to_be_visible(timeout=30_000)
    moves(page, value.inner_text)


def dashboard_2(page: Page, origin: str) -> None:
    page.goto(f"{origin}/dashboard/press")
    value = page.get_by_text(re.compile(r"Part \d+"))
    expect(value).to_be_visible(timeout=30_000)
    moves(page, value.inner_text)


def fuxa_viewer(page: Page, origin: str) -> None:
    # The values of its demonstration project stand still: what lives is its WebSocket.
    frames: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))  # noqa: PLW0108
    page.goto(f"{origin}/")
    expect(page.locator("svg text").first).to_be_visible(timeout=40_000)
    moves(page, lambda: f"{len(frames)} frames")


def fuxa_editor(page: Page, origin: str) -> None:
    page.goto(f"{origin}/editor")
    expect(page.locator("#svgcontent, #svgcanvas").first).to_be_visible(timeout=40_000)


def modbus_registers(page: Page, origin: str) -> None:
    page.goto(f"{origin}/")
    expect(page.locator("body")).to_contain_text("Modbus", ignore_case=True)
    page.goto(f"{origin}/api/registers?range_start=3&range_stop=3&type=-1&action=-1&submit=Add")
    rows = page.locator("tbody").first  # it remembers what was added before
    expect(rows).to_contain_text("uint16")
    page.get_by_role("button", name="Add").click()
    expect(rows).to_contain_text("uint16")


CASES: list[tuple[str, str, Callable[[Page, str], None], set[str]]] = [
    ("editor of Node-RED", "node-red", node_red_editor, set()),
    ("dashboard 1", "node-red", dashboard_1, set()),
    # Its service worker is refused unless the option allows it; the page works without.
    ("dashboard 2", "node-red", dashboard_2, {"fetching the script"}),
    ("dashboard 2 with its service worker", "workers", dashboard_2, set()),
    ("viewer of FUXA", "fuxa", fuxa_viewer, set()),
    ("editor of FUXA", "fuxa", fuxa_editor, set()),
    ("pymodbus simulator", "modbus", modbus_registers, set()),
]


@pytest.mark.parametrize(("title", "server", "look", "accepted"), CASES, ids=[case[0] for case in CASES])
def test_what_chromium_shows_directly_it_shows_through_panelgate(
    browser: Browser, contexts: Callable[..., BrowserContext], plant: Plant,
    title: str, server: str, look: Callable[[Page, str], None], accepted: set[str],
) -> None:  # fmt: skip
    direct, behind = Complaints(), Complaints()
    plain = contexts().new_page()
    direct.of(plain)
    look(plain, plant.direct(server))
    context = signed_in(browser, plant.token)
    try:
        page = context.new_page()
        # The hand-off happens before it counts what the panel's own pages complain of.
        page.goto(f"{plant.installation.portal}/acme/plant/{server}/favicon.ico")
        behind.of(page)
        look(page, plant.behind(server))
        shot(page, f"server-{title.replace(' ', '-').lower()}")
    finally:
        context.close()
    new = {text for text in behind.found - direct.found if not any(word in text.lower() for word in accepted)}
    assert new == set()


def test_what_a_device_leaves_uncompressed_crosses_the_uplink_compressed(browser: Browser, plant: Plant) -> None:
    direct = httpx.get(plant.direct("fuxa"))
    script = re.search(r"main\.[0-9a-f]+\.js", direct.text)
    assert script is not None
    assert "content-encoding" not in httpx.head(f"{plant.direct('fuxa')}/{script[0]}").headers
    context = signed_in(browser, plant.token)
    try:
        page = context.new_page()
        page.goto(f"{plant.installation.portal}/acme/plant/fuxa/favicon.ico")
        with page.expect_response(f"**/{script[0]}") as waiting:
            page.goto(f"{plant.behind('fuxa')}/")
        answer = waiting.value
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.body() == httpx.get(f"{plant.direct('fuxa')}/{script[0]}").content
        sizes = answer.request.sizes()
        assert sizes["responseBodySize"] < len(answer.body()) / 2
    finally:
        context.close()
