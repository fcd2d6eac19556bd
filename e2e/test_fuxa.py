"""FUXA, a real web HMI with socket.io, through the whole chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, WebSocket, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import Process, free_port, wait_until
from e2e.harness.servers import FUXA, start_fuxa


@pytest.fixture(scope="module")
def fuxa(tmp_path_factory: pytest.TempPathFactory, installation: Installation, ada: SignedIn) -> Iterator[Process]:
    assert FUXA.exists(), "FUXA is missing: run `make setup-test`"
    port = free_port()
    process = start_fuxa(tmp_path_factory.mktemp("fuxa"), port)
    # FUXA can't be told to listen on 127.0.80.x only: this machine's declared LAN is the one address it has.
    device = ada.api.device("plant", lan="127.0.0.1/32")
    ada.api.service(device["id"], "fuxa", "127.0.0.1", port)
    agent = Agent(installation, "plant", ada.api.key(device["id"]), allow=["127.0.0.1"])
    ada.api.wait_online("plant")
    yield process
    agent.stop()
    process.stop()


def test_the_demo_project_is_drawn_and_live(page: Page, installation: Installation, fuxa: Process) -> None:
    errors: list[str] = []
    sockets: list[str] = []
    frames: list[str | bytes] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def keep(frame: str | bytes) -> None:
        frames.append(frame)

    def opened(socket: WebSocket) -> None:
        sockets.append(socket.url)
        socket.on("framereceived", keep)

    page.on("websocket", opened)
    page.goto(f"{installation.portal}/acme/plant/fuxa")
    page.wait_for_url(f"{installation.service_origin('fuxa--plant--acme')}/**")
    expect(page.locator("svg text").first).to_be_visible(timeout=40_000)
    wait_until("socket.io is on a WebSocket", lambda: any("socket.io" in url and "websocket" in url for url in sockets))
    known = len(frames)
    # Playwright hears of frames only while it is called.
    wait_until("live values come", lambda: bool(page.evaluate("1")) and len(frames) > known + 3)
    shot(page, "fuxa")
    assert errors == []
