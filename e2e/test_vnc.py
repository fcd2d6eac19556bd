"""A VNC panel in the browser: pixels, touch, keys, and what happens when it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.eye import look
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import free_port, wait_until
from e2e.harness.servers import Panel

ADDRESS = "127.0.82.20"
COLOUR = (0x20, 0x40, 0x80)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    panel = Panel(tmp_path_factory.mktemp("panel"), port=free_port(ADDRESS), host=ADDRESS)
    yield panel
    panel.close()


@pytest.fixture(scope="module")
def machine(installation: Installation, ada: SignedIn) -> Iterator[str]:
    """A machine of its own for these panels; the id of its device."""
    device = ada.api.device("line", lan="127.0.82.0/24")
    agent = Agent(installation, "line", ada.api.key(device["id"]), allow=[ADDRESS])
    ada.api.wait_online("line")
    yield device["id"]
    agent.stop()


@pytest.fixture(scope="module")
def services(ada: SignedIn, machine: str, panel: Panel) -> None:
    ada.api.service(machine, "press", ADDRESS, panel.port, "vnc", password="plc12345")
    ada.api.service(machine, "wrong", ADDRESS, panel.port, "vnc", password="nonsense")
    ada.api.service(machine, "closed", ADDRESS, free_port(ADDRESS), "vnc", password="x")


def connected(page: Page, installation: Installation, service: str = "line/press") -> None:
    page.goto(f"{installation.portal}/acme/{service}")
    expect(page.locator("body")).to_have_attribute("data-state", "connected")
    expect(page.locator("#picture canvas")).to_be_visible()


PIXEL = """([x, y]) => {
  const canvas = document.querySelector("#picture canvas");
  return Array.from(canvas.getContext("2d").getImageData(x, y, 1, 1).data).slice(0, 3);
}"""
PLACE = """([x, y]) => {
  const canvas = document.querySelector("#picture canvas");
  const box = canvas.getBoundingClientRect();
  return [box.left + (x + 0.5) * box.width / canvas.width, box.top + (y + 0.5) * box.height / canvas.height];
}"""


def test_the_panels_pixels_are_on_the_canvas_and_an_independent_client_agrees(
    page: Page, installation: Installation, panel: Panel, services: None
) -> None:
    connected(page, installation)
    points = [(5, 5), (400, 300), (799, 479), (60, 60), (200, 120)]
    wait_until("the panel's colour is drawn", lambda: tuple(page.evaluate(PIXEL, [5, 5])) == COLOUR)

    expected = look(ADDRESS, panel.port, "plc12345", points)
    assert [tuple(page.evaluate(PIXEL, list(point))) for point in points] == expected
    shot(page, "vnc")


def test_clicks_and_typed_text_arrive_at_the_program(
    page: Page, installation: Installation, panel: Panel, services: None
) -> None:
    connected(page, installation)
    before = len(panel.clicks())
    x, y = page.evaluate(PLACE, [120, 110])
    page.mouse.click(x, y)
    wait_until("the click arrives", lambda: len(panel.clicks()) > before)
    at = panel.clicks()[-1]
    assert abs(at[0] - 120) <= 2
    assert abs(at[1] - 110) <= 2
    known = len(panel.keysyms())
    page.keyboard.type("plc7")
    page.keyboard.press("Shift+H")
    page.keyboard.press("Enter")
    wait_until("the keys arrive", lambda: "Return" in panel.keysyms()[known:])
    typed = [key for key in panel.keysyms()[known:] if not key.startswith("Shift")]
    assert typed == ["p", "l", "c", "7", "H", "Return"]


def test_a_wrong_password_is_said_once_and_never_tried_again(
    page: Page, installation: Installation, panel: Panel, services: None
) -> None:
    before = panel.server.text.count("Connections: accepted")
    page.goto(f"{installation.portal}/acme/line/wrong")
    expect(page.locator("body")).to_have_attribute("data-state", "ended")
    expect(page.locator("#veil-happened")).to_contain_text("password")
    shot(page, "vnc-wrong-password")
    page.wait_for_timeout(4_000)  # long enough for a loop to show
    assert panel.server.text.count("Connections: accepted") == before + 1


def test_a_closed_port_is_named(page: Page, installation: Installation, services: None) -> None:
    page.goto(f"{installation.portal}/acme/line/closed")
    expect(page.locator("#veil-happened")).to_contain_text(ADDRESS)
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    shot(page, "vnc-closed-port")


def test_the_password_never_reaches_the_browser(page: Page, installation: Installation, services: None) -> None:
    seen: list[bytes] = []

    def keep(frame: str | bytes) -> None:
        seen.append(frame if isinstance(frame, bytes) else frame.encode())

    page.on("websocket", lambda socket: socket.on("framereceived", keep))
    connected(page, installation)
    first = b"".join(seen)[:18]
    assert first.startswith(b"RFB 003.008\n\x01\x01\x00\x00\x00\x00")
    assert b"plc12345" not in b"".join(seen)
    assert "plc12345" not in page.content()


def test_the_panel_comes_back_by_itself(
    page: Page, installation: Installation, ada: SignedIn, machine: str, tmp_path: Path
) -> None:
    port = free_port(ADDRESS)
    ada.api.service(machine, "restarts", ADDRESS, port, "vnc", password="plc12345")
    with closing(Panel(tmp_path / "one", port=port, host=ADDRESS, colour="#804020")):
        connected(page, installation, "line/restarts")
        wait_until("the first colour", lambda: tuple(page.evaluate(PIXEL, [5, 5])) == (0x80, 0x40, 0x20))
    expect(page.locator("body")).not_to_have_attribute("data-state", "connected", timeout=5_000)
    shot(page, "vnc-reconnecting")
    with closing(Panel(tmp_path / "two", port=port, host=ADDRESS, colour="#206040")):
        expect(page.locator("body")).to_have_attribute("data-state", "connected", timeout=40_000)
        wait_until("the second colour", lambda: tuple(page.evaluate(PIXEL, [5, 5])) == (0x20, 0x60, 0x40))


def test_the_demonstration_panel_lives(page: Page, installation: Installation, ada: SignedIn) -> None:
    connected(page, installation, "demo-machine/panel")
    shot(page, "demo-panel")
    picture = page.locator("#picture canvas")
    first = picture.screenshot()
    wait_until("the picture changes", lambda: picture.screenshot() != first)
