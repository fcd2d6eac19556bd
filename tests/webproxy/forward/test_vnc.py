"""The bridge between an independent WebSocket client and scripted panels, over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncvnc
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from tests.fakes.rfb_panel import SERVER_INIT, RfbPanel
from tests.fakes.vnc_site import FakeWeb, VncSite
from webproxy.forward import visit, vnc
from webproxy.forward.vncend import End

PASSWORD = "plc12345"
HELLO = b"RFB 003.008\n\x01\x00"
KEY = struct.pack(">BBxxI", 4, 1, 0x41)
UPDATE = struct.pack(">BBHHHH", 3, 0, 0, 0, 800, 480)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


class Viewer:
    """A browser's side: collects the stream and the notes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[bytes] = []
        self.notes: list[dict[str, Any]] = []

    @property
    def stream(self) -> bytes:
        return b"".join(self.frames)

    async def until(self, end: bytes) -> None:
        async with asyncio.timeout(3):
            while not self.stream.endswith(end):
                await self.take()

    async def take(self) -> None:
        message = await self.socket.recv()
        if isinstance(message, bytes):
            self.frames.append(message)
        else:
            self.notes.append(json.loads(message))

    async def closed(self) -> tuple[int, str]:
        async with asyncio.timeout(3):
            try:
                while True:
                    await self.take()
            except ConnectionClosed:
                return self.socket.close_code or 0, self.socket.close_reason or ""


@asynccontextmanager
async def opened(site: VncSite, *, hello: bytes = HELLO) -> AsyncIterator[Viewer]:
    async with connect(site.socket, proxy=None, compression=None) as socket:
        viewer = Viewer(socket)
        with suppress(ConnectionClosed):  # some ends come at once
            await socket.send(hello)
        yield viewer


async def end_with(web: FakeWeb) -> tuple[int, str, str]:
    """Connect once; return close code, detail, and the reason in the audit."""
    async with VncSite(web) as site, opened(site) as viewer:
        code, reason = await viewer.closed()
        assert reason.startswith(site.bridges[0].reference)
        assert site.bridges[0].ended == code
        assert web.callbacks == []
        return code, reason[9:], web.begun[0].reason if web.begun else ""


async def test_first_frames_hold_no_challenge_and_the_stream_follows() -> None:
    async with RfbPanel(password=PASSWORD) as panel:
        web = FakeWeb(panel.port, PASSWORD)
        async with VncSite(web) as site, opened(site) as viewer:
            await viewer.until(SERVER_INIT)
            assert viewer.frames[:3] == [b"RFB 003.008\n", b"\x01\x01", bytes(4)]
            assert viewer.stream == b"".join(viewer.frames[:3]) + SERVER_INIT
            assert viewer.notes[0] == {"watch": False}
            await viewer.socket.send(UPDATE + KEY[:3])
            await viewer.socket.send(KEY[3:])
            await panel.wait_for(UPDATE + KEY)
            panel.send(b"picture")
            await viewer.until(b"picture")
            assert panel.shared == [1]
            assert web.begun[0].up == len(UPDATE + KEY)
            assert web.begun[0].down == len(SERVER_INIT + b"picture")
        await until(lambda: web.begun[0].reason == "browser_closed")
        assert not web.opened[0].is_open


async def test_the_panel_is_not_kept_waiting_by_the_browser() -> None:
    async with RfbPanel() as panel, VncSite(FakeWeb(panel.port)) as site, opened(site, hello=b"") as viewer:
        await viewer.until(SERVER_INIT)
        for byte in HELLO + UPDATE:
            await viewer.socket.send(bytes([byte]))
        await panel.wait_for(UPDATE)


async def test_a_wrong_password_is_tried_once() -> None:
    async with RfbPanel(password=PASSWORD) as panel:
        assert await end_with(FakeWeb(panel.port, "wrong")) == (
            End.PASSWORD_WRONG, "Authentication failure", "password_wrong",
        )  # fmt: skip
        assert (panel.attempts, panel.connections) == (1, 1)


async def test_no_stored_password() -> None:
    async with RfbPanel(password=PASSWORD) as panel:
        assert (await end_with(FakeWeb(panel.port)))[:2] == (End.PASSWORD_MISSING, "")
        assert panel.attempts == 0


@pytest.mark.parametrize(
    ("script", "hang_up", "code", "detail"),
    [
        (b"SSH-2.0-dropbear\r\n", False, End.NOT_VNC, "SSH-2.0-dropbear"),
        (b"RFB 003.008\n\x01\x13", False, End.NO_COMMON_TYPE, "VeNCrypt (TLS) [19]"),
        (b"RFB 003.008\n\0\0\0\0\x04Busy", False, End.PANEL_REFUSED, "Busy"),
        (b"RFB 003.003\n\0\0\0\0\0\0\0\x20Locked", True, End.PANEL_REFUSED, "Locked"),
        (b"", True, End.PANEL_REFUSED, ""),
        (b"RFB 003.003\n\0\0\0\x01" + SERVER_INIT, True, End.PANEL_CLOSED, ""),
    ],
)
async def test_what_a_panel_may_say(script: bytes, hang_up: bool, code: End, detail: str) -> None:
    async with RfbPanel(script=script, hang_up=hang_up) as panel:
        assert (await end_with(FakeWeb(panel.port)))[:2] == (code, detail)


async def test_a_closed_port() -> None:
    panel = RfbPanel()
    async with panel:
        pass
    assert await end_with(FakeWeb(panel.port)) == (End.PORT_CLOSED, "", "port_closed")


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (Unavailable("device_offline", facts={"since": "2026-01-31T12:00:00Z"}), 4006, "2026-01-31T12:00:00Z"),
        (Unavailable("access_down"), End.ACCESS_DOWN, ""),
        (Unavailable("relay_lost"), End.RELAY_LOST, ""),
        (Refused("no_session"), End.SESSION_ENDED, ""),
        (Refused("not_allowed"), End.PERMISSION_TAKEN, ""),
        (BadInput("odd"), End.BROKEN, ""),
    ],
)
async def test_no_way_to_the_device(error: PanelgateError, code: int, detail: str) -> None:
    web = FakeWeb(1)
    web.circuit_error = error
    assert (await end_with(web))[:2] == (code, detail)
    assert web.begun == []


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vnc, "HANDSHAKE_SECONDS", 0.1)
    async with RfbPanel(script=b"") as panel:
        assert (await end_with(FakeWeb(panel.port)))[0] == End.TIMED_OUT
    async with RfbPanel(script=b"RFB 003.008\n\0\0\0\0\x20Locked") as panel:
        assert (await end_with(FakeWeb(panel.port)))[:2] == (End.PANEL_REFUSED, "Locked")


@asynccontextmanager
async def running(permission: str = "operate") -> AsyncIterator[tuple[FakeWeb, VncSite, Viewer, RfbPanel]]:
    async with RfbPanel() as panel:
        web = FakeWeb(panel.port, permission=permission)
        async with VncSite(web) as site, opened(site) as viewer:
            await viewer.until(SERVER_INIT)
            yield web, site, viewer, panel


async def test_the_end_of_the_session_ends_it_at_once() -> None:
    async with running() as (web, _, viewer, _):
        web.emit({"type": "session.ended", "session_id": "another"})
        web.emit({"type": "session.ended", "session_id": web.session.session_id})
        async with asyncio.timeout(1):
            assert (await viewer.closed())[0] == End.SESSION_ENDED
        assert web.begun[0].reason == "session_ended"


async def test_a_permission_taken_away() -> None:
    async with running() as (web, _, viewer, _):
        web.session_error = Refused("not_allowed")
        web.emit({"type": "access.changed", "account_id": "another"})
        web.emit({"type": "access.changed", "account_id": web.session.account["id"]})
        assert (await viewer.closed())[0] == End.PERMISSION_TAKEN


@pytest.mark.parametrize(
    ("reason", "end"),
    [("signed out", End.SESSION_ENDED), ("session_expired", End.SESSION_ENDED), ("not_allowed", End.PERMISSION_TAKEN)],
)
async def test_the_end_of_the_visit(reason: str, end: End) -> None:
    async with running() as (web, _, viewer, _):
        web.visits.gone("token", web.session.label, reason)
        assert (await viewer.closed())[0] == end


async def test_a_visit_that_begins_anew_keeps_the_viewer() -> None:
    async with running() as (web, _, viewer, panel):
        web.session = dataclasses.replace(web.session, permission="watch")
        web.visits.changed("token", web.session)
        while viewer.notes[-1] != {"watch": True}:
            await viewer.take()
        await viewer.socket.send(KEY + UPDATE)
        await panel.wait_for(UPDATE)
        web.visits.gone("token", web.session.label, "signed out")
        assert (await viewer.closed())[0] == End.SESSION_ENDED


async def test_a_service_that_leads_elsewhere_now() -> None:
    async with running() as (web, _, viewer, _):
        web.session = dataclasses.replace(web.session, service={**web.session.service, "port": 5901})
        web.emit({"type": "access.changed", "account_id": web.session.account["id"]})
        assert (await viewer.closed())[0] == End.SERVICE_CHANGED


async def test_too_many_viewers_in_one_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "SOCKETS_LIMIT", 0)
    assert (await end_with(FakeWeb(1)))[0] == End.TOO_MANY


async def test_access_down_changes_nothing_for_an_open_viewer() -> None:
    async with running() as (web, site, viewer, panel):
        web.session_error = Unavailable("access_down")
        web.emit({"type": "resync"})
        await viewer.socket.send(KEY)
        await panel.wait_for(KEY)
        assert site.bridges[0].ended is None


async def test_a_watcher_sends_no_input_and_may_become_an_operator() -> None:
    async with running("watch") as (web, _, viewer, panel):
        assert viewer.notes == [{"watch": True}]
        await viewer.socket.send(KEY + UPDATE + KEY)
        await panel.wait_for(UPDATE)
        web.permit("operate")
        await viewer.take()
        assert viewer.notes[-1] == {"watch": False}
        await viewer.socket.send(KEY)
        await panel.wait_for(UPDATE + KEY)


@pytest.mark.parametrize("data", [b"\x07", struct.pack(">Bxxxi", 6, 2**30)])
async def test_an_unknown_message_ends_it(data: bytes) -> None:
    async with running() as (_, _, viewer, panel):
        await viewer.socket.send(data)
        assert (await viewer.closed())[0] == End.BAD_CLIENT
        assert panel.received == b""


async def test_early_bytes_are_bounded() -> None:
    async with RfbPanel(script=b"") as panel, VncSite(FakeWeb(panel.port)) as site, opened(site) as viewer:
        await viewer.socket.send(UPDATE * (vnc.EARLY_BYTES // len(UPDATE) + 1))
        assert (await viewer.closed())[0] == End.BAD_CLIENT


async def test_broken_frames_end_it() -> None:
    async with running() as (_, _, viewer, _):
        await viewer.socket.send("text has no meaning here")
        assert (await viewer.closed())[0] == End.BAD_CLIENT


async def test_a_lost_circuit() -> None:
    async with running() as (web, _, viewer, _):
        web.opened[0].closed.set_result((5, "carrier lost"))
        assert (await viewer.closed())[0] == End.RELAY_LOST


async def test_round_trips_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vnc, "HEARTBEAT_SECONDS", 0.05)
    async with running() as (_, _, viewer, _):
        while not viewer.notes or "ms" not in viewer.notes[-1]:
            await viewer.take()
        assert 12 <= viewer.notes[-1]["ms"] < 500  # twelve of the fake circuit


async def test_a_browser_that_fell_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vnc, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(vnc, "SILENT_SECONDS", -1.0)
    async with running() as (web, _, viewer, _):
        assert (await viewer.closed())[0] == End.BROWSER_SILENT
        assert web.begun[0].reason == "browser_silent"


async def test_a_browser_that_does_not_read_holds_the_panel_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty megabytes for a browser that takes none: what is held is bounded, and its end is quick."""
    monkeypatch.setattr(vnc, "CLOSE_SECONDS", 0.1)
    async with RfbPanel() as panel:
        web = FakeWeb(panel.port)
        async with VncSite(web) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"GET /.pg/vnc HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n")
            await reader.readuntil(SERVER_INIT)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            panel.send(bytes(20_000_000))
            held = 0
            for _ in range(40):
                await asyncio.sleep(0.01)
                transport = site.bridges[0]._transport
                assert transport is not None
                held = max(held, transport.get_write_buffer_size())
            assert 0 < held <= 2 * vnc.BROWSER_BUFFER + 65536
            assert web.begun[0].down < 19_000_000
            web.emit({"type": "session.ended", "session_id": web.session.session_id})
            await until(lambda: site.bridges[0]._transport is None)
            writer.close()


async def test_two_viewers_of_one_panel() -> None:
    async with RfbPanel() as panel, VncSite(FakeWeb(panel.port)) as site, opened(site) as one, opened(site) as two:
        await one.until(SERVER_INIT)
        await two.until(SERVER_INIT)
        assert panel.shared == [1, 1]


async def test_an_independent_client_is_content() -> None:
    """asyncvnc speaks through the bridge as noVNC does: no password, and the size of the panel's screen."""
    async with (
        RfbPanel(password=PASSWORD) as panel,
        VncSite(FakeWeb(panel.port, PASSWORD)) as site,
        connect(site.socket, proxy=None, compression=None) as socket,
    ):
        reader = asyncio.StreamReader()

        async def pump() -> None:
            async for message in socket:
                if isinstance(message, bytes):
                    reader.feed_data(message)

        class Writer:
            def __init__(self) -> None:
                self.queue: list[bytes] = []

            def write(self, data: bytes) -> None:
                self.queue.append(data)

            async def drain(self) -> None:
                await socket.send(b"".join(self.queue))
                self.queue.clear()

        writer = Writer()

        async def flush() -> None:
            while True:
                await asyncio.sleep(0.01)
                if writer.queue:
                    await writer.drain()

        async with asyncio.timeout(3), asyncio.TaskGroup() as group:
            tasks = [group.create_task(pump()), group.create_task(flush())]
            client = await asyncvnc.Client.create(reader, writer)
            assert (client.video.width, client.video.height) == (800, 480)
            for task in tasks:
                task.cancel()
