"""The bridge between a viewer in a browser and a panel: WebSocket on one side, a stream of a circuit on the other.

Everything here runs in protocol callbacks: no task and no await per chunk. Each side that cannot take more pauses the
other side's reading, so at most the two write buffers and one chunk are held. The panel's handshake and the browser's
run side by side (`webproxy.forward.rfb`), and data of the panel follows without a further round trip.

An end is final: one close code (`webproxy.forward.vncend`), one log line, one audit reason. Whether to connect again is
the page's decision; a bridge makes at most one attempt to authenticate.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.log import get_logger
from panelgate.stream import StreamReset
from panelgate.tasks import spawn
from panelgate.wsframes import (
    CloseCode,
    Opcode,
    StreamUnmasker,
    WebSocketError,
    close_payload,
    frame,
    header,
    parse_close,
)
from webproxy.forward.rfb import BROWSER_GREETING, BadClient, BrowserHandshake, Failure, PanelHandshake, Step
from webproxy.forward.rfbinput import ClientMessages
from webproxy.forward.vncend import (
    ACCESS_CHANGED,
    OF_STREAM,
    OF_TROUBLE,
    SESSION_OVER,
    End,
    close_reason,
    end_of,
)

if TYPE_CHECKING:
    from panelgate.circuit import Circuit, Stream
    from webproxy.connections import Connection
    from webproxy.forward.visit import Visit
    from webproxy.sessions import ServiceSession
    from webproxy.web import Web

OPEN_SECONDS: Final = 15.0
"""For the circuit: the relay gives an agent ten seconds to arrive, the rest is the ticket and TLS."""
HANDSHAKE_SECONDS: Final = 15.0
"""From opening the stream to the panel's first bytes after its handshake: a slow panel on a slow line needs five."""
CLOSE_SECONDS: Final = 1.0
"""For the browser to take the close frame; a session's end must be over within two seconds."""
HEARTBEAT_SECONDS: Final = 5.0
"""Between pings to the browser, whose answers are the shown round trip."""
SILENT_SECONDS: Final = 60.0
"""Without any byte from the browser, its link is dead; a ping may wait half a minute behind a picture."""
RECHECK_SECONDS: Final = 60.0
"""Between looks whether the person did something, which keeps the session from idling out."""
EARLY_BYTES: Final = 64 * 1024
"""Bytes of the browser held until the panel is ready; an honest viewer sends nothing before ServerInit."""
BROWSER_BUFFER: Final = 256 * 1024
"""High-water mark towards the browser: a picture's worth at 10 Mbit/s and 200 ms."""

log = get_logger(__name__)


class _PanelSide(asyncio.Protocol):
    """The panel's half of a bridge: callbacks of the stream."""

    def __init__(self, bridge: VncBridge) -> None:
        self._bridge = bridge

    def data_received(self, data: bytes) -> None:
        self._bridge.panel_data(data)

    def eof_received(self) -> bool:
        self._bridge.panel_ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._bridge.panel_ended(exc)

    def pause_writing(self) -> None:
        self._bridge.hold_browser(True)

    def resume_writing(self) -> None:
        self._bridge.hold_browser(False)


class VncBridge(asyncio.Protocol):
    """One viewer: `attach` it to a browser's transport behind the WebSocket handshake; it ends by itself.

    `client` is the browser as the audit names it: ``{"address", "user_agent"}``.
    """

    def __init__(self, web: Web, session: ServiceSession, token: str, client: Mapping[str, str]) -> None:
        self.reference = secrets.token_hex(4)
        self.ended: End | int | None = None
        """Why it ended: an End, or the browser's own close code."""
        self._web, self._session, self._token, self._client = web, session, token, client
        self._transport: asyncio.Transport | None = None
        self._circuit: Circuit | None = None
        self._stream: Stream | None = None
        self._connection: Connection | None = None
        self._frames = StreamUnmasker(client=False)
        self._browser = BrowserHandshake()
        self._panel = PanelHandshake(None)
        self._messages = ClientMessages(watch=session.permission != "operate")
        self._early = bytearray()
        self._picture = False
        self._done_before = 0
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._visit: Visit | None = None
        self._heard = self._loop.time()
        self._log = log.bind(
            reference=self.reference, session_id=session.session_id, service_id=session.service["id"],
            device=session.device["slug"], account=session.account["slug"],
        )  # fmt: skip

    # -- the browser's side: asyncio.Protocol ------------------------------------------------------------------------

    def attach(self, transport: asyncio.Transport, initial: bytes = b"") -> None:
        """Take over `transport`, whose WebSocket handshake is answered; `initial` is what arrived behind it."""
        self._transport = transport
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=BROWSER_BUFFER)
        transport.write(b"".join(frame(Opcode.BINARY, part, client=False) for part in BROWSER_GREETING))
        self._unsubscribe = self._web.events.subscribe(self._event)
        if not self._join_visit(self._session):
            self._finish(End.TOO_MANY)
            return
        self._later("heartbeat", HEARTBEAT_SECONDS, self._heartbeat)
        self._later("recheck", RECHECK_SECONDS, self._recheck)
        self._run("viewer open", self._open())
        if initial:
            self.data_received(initial)

    def data_received(self, data: bytes) -> None:
        """Bytes of the browser's WebSocket."""
        self._heard = self._loop.time()
        try:
            for opcode, piece in self._frames.feed(data):
                payload = bytes(piece)
                if self.ended is None and opcode == Opcode.BINARY:
                    self._browser_data(payload)
                elif opcode == Opcode.CLOSE:
                    self._browser_closed(payload)
                    return
                elif self.ended is None and opcode == Opcode.PING:
                    self._send(frame(Opcode.PONG, payload, client=False))
                elif self.ended is None and opcode == Opcode.PONG:
                    self._pong(payload)
        except WebSocketError as error:
            self._finish(End.BAD_CLIENT, log_detail=str(error))
        except BadClient as error:
            self._finish(End.BAD_CLIENT, log_detail=str(error))

    def eof_received(self) -> bool:
        """The browser went away without a close frame."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The browser's transport is gone."""
        self._transport = None
        self._finish(CloseCode.ABNORMAL)
        self._forget("close")

    def pause_writing(self) -> None:
        """The browser takes no more for now."""
        if self._stream is not None:
            self._stream.pause_reading()

    def resume_writing(self) -> None:
        """The browser takes more again."""
        if self._stream is not None and self.ended is None:
            self._stream.resume_reading()

    def _browser_data(self, data: bytes) -> None:
        if not self._browser.done:
            data = self._browser.feed(data)
        inputs = self._messages.inputs
        passed = self._messages.feed(data)
        if inputs == 0 and self._messages.inputs:
            self._log.info("viewer first input")
        if not passed:
            return
        if self._stream is not None and self._panel.done:
            self._stream.write(passed)
            if self._connection is not None:
                self._connection.add_up(len(passed))
        elif len(self._early) + len(passed) > EARLY_BYTES:
            raise BadClient("too much before the panel was ready")
        else:
            self._early += passed

    def _browser_closed(self, payload: bytes) -> None:
        """The browser closed, or answered our close."""
        if self.ended is not None:
            if self._transport is not None:
                self._transport.close()
            return
        try:
            code, _ = parse_close(payload)
        except WebSocketError as error:
            code = error.code
        self._finish(code)

    # -- the panel's side --------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                viewer = await self._web.circuits.viewer(self._session, self._token)
                self._circuit = viewer.circuit
                self._connection = await self._web.connections.begin(
                    self._session, self._token, viewer.circuit_id, dict(self._client)
                )
        except PanelgateError as error:
            since = error.facts.get("since")
            self._finish(end_of(error), since if isinstance(since, str) else "", log_detail=error.code)
            return
        except TimeoutError:
            self._finish(End.RELAY_LOST, log_detail="circuit timed out")
            return
        if self.ended is not None:
            self._release()
            return
        self._panel = PanelHandshake(viewer.password.reveal() if viewer.password else None)
        viewer.circuit.closed.add_done_callback(self._circuit_closed)
        self._later("handshake", HANDSHAKE_SECONDS, self._handshake_late)
        try:
            self._stream = viewer.circuit.open_stream(self._session.service["id"], _PanelSide(self))
        except Unavailable as error:
            self._finish(end_of(error), log_detail=error.code)
            return
        self._log.info("viewer started", watch=self._messages.watch)

    def panel_data(self, data: bytes) -> None:
        """Bytes of the panel, behind or within its handshake."""
        if self.ended is not None or self._stream is None:
            return
        if not self._panel.done:
            self._panel.feed(data)
            if output := self._panel.take_output():
                self._stream.write(output)
            if self._panel.failure is not None:
                self._failed(self._panel.failure)
                return
            if not self._panel.done:
                return
            data = self._panel.rest
            if self._early:
                self._stream.write(bytes(self._early))
                self._early.clear()
            self._status(watch=self._messages.watch)
        if not data or self._transport is None:
            return
        if not self._picture:
            self._picture = True
            self._forget("handshake")
        self._transport.writelines((header(Opcode.BINARY, len(data)), data))
        if self._connection is not None:
            self._connection.add_down(len(data))

    def panel_ended(self, exc: Exception | None) -> None:
        """The stream is over: `exc` is a StreamReset, or None when the panel closed its side."""
        if self.ended is not None:
            return
        if isinstance(exc, StreamReset) and exc.code in OF_STREAM:
            self._finish(OF_STREAM[exc.code], log_detail=str(exc))
        elif self._panel.done:
            self._finish(End.PANEL_CLOSED)
        else:
            self._failed(self._panel.ended())

    def hold_browser(self, hold: bool) -> None:
        """Stop or go on reading from the browser, because the panel's side takes no more or takes more again."""
        if self._transport is not None and not self._transport.is_closing():
            if hold:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _failed(self, failure: Failure) -> None:
        self._finish(OF_TROUBLE[failure.trouble], failure.said)

    def _handshake_late(self) -> None:
        if self._panel.step in (Step.REASON, Step.REASON_LENGTH):
            self._failed(self._panel.ended())
        else:
            self._finish(End.TIMED_OUT, log_detail=self._panel.step.name)

    def _circuit_closed(self, closed: asyncio.Future[Any]) -> None:
        self._finish(End.RELAY_LOST, log_detail="" if closed.cancelled() else str(closed.result()))

    # -- what may change while it is open ----------------------------------------------------------------------------

    def _join_visit(self, session: ServiceSession) -> bool:
        """Be one of the things that the visit cuts when its session ends; False when there are too many."""
        self._visit = self._web.visits.of(session, self._token)
        return self._visit.add_socket(self)

    def cut(self, reason: str) -> None:
        """The visit is over: the session ended, or what it may do changed."""
        self._visit = None
        if reason == ACCESS_CHANGED:
            self._run("viewer check", self._check())
        else:
            self._finish(End.SESSION_ENDED if reason in SESSION_OVER else End.PERMISSION_TAKEN, log_detail=reason)

    def _event(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "session.ended" and event.get("session_id") == self._session.session_id:
            self._finish(End.SESSION_ENDED)
        elif kind == "resync" or (kind == "access.changed" and event.get("account_id") == self._session.account["id"]):
            self._run("viewer check", self._check())

    def _recheck(self) -> None:
        """Once a minute, if the person did something: asking counts as activity and keeps the session from idling."""
        self._later("recheck", RECHECK_SECONDS, self._recheck)
        done = self._messages.inputs + self._messages.dropped
        if done != self._done_before:
            self._done_before = done
            self._run("viewer check", self._check())

    async def _check(self) -> None:
        """Ask whether the user still may; an access server that is down changes nothing for an open viewer."""
        try:
            session = await self._web.sessions.get(self._token, self._session.label)
        except Refused as error:
            self._finish(end_of(error), log_detail=error.code)
            return
        except PanelgateError:
            return
        if self.ended is not None:
            return
        if session.service != self._session.service:
            self._finish(End.SERVICE_CHANGED)
            return
        if self._visit is None and not self._join_visit(session):
            self._finish(End.TOO_MANY)
            return
        self._session = session
        watch = session.permission != "operate"
        if watch != self._messages.watch:
            self._messages.watch = watch
            self._log.info("viewer permission changed", watch=watch)
            self._status(watch=watch)

    # -- heartbeat and status ----------------------------------------------------------------------------------------

    def _heartbeat(self) -> None:
        now = self._loop.time()
        if now - self._heard > SILENT_SECONDS:
            self._finish(End.BROWSER_SILENT)
            return
        self._send(frame(Opcode.PING, struct.pack(">d", now), client=False))
        self._later("heartbeat", HEARTBEAT_SECONDS, self._heartbeat)

    def _pong(self, payload: bytes) -> None:
        if len(payload) != 8 or not self._picture:
            return
        (sent,) = struct.unpack(">d", payload)
        browser = self._loop.time() - sent
        if not 0 <= browser < SILENT_SECONDS:
            return
        device = self._circuit.rtt if self._circuit is not None else None
        self._status(ms=round(1000 * (browser + (device or 0))))

    def _status(self, **facts: Any) -> None:
        """Tell the page something beside the picture: a text frame, which the stream of RFB never uses."""
        self._send(frame(Opcode.TEXT, json.dumps(facts).encode(), client=False))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _finish(self, end: End | int, detail: str = "", *, log_detail: str = "") -> None:
        """End once: tell the browser and the audit, let go of the panel."""
        if self.ended is not None:
            return
        self.ended = end
        reason = end.name.lower() if isinstance(end, End) else "browser_closed"
        self._log.info(
            "viewer ended", reason=reason, detail=log_detail or detail, code=int(end), inputs=self._messages.inputs,
            dropped=self._messages.dropped,
        )  # fmt: skip
        for name in list(self._timers):
            self._forget(name)
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._visit is not None:
            self._visit.drop_socket(self)
        if self._transport is not None:
            payload = (
                close_payload(end, close_reason(self.reference, detail))
                if isinstance(end, End)
                else close_payload(CloseCode.NORMAL, "")
            )
            self._send(frame(Opcode.CLOSE, payload, client=False))
            if isinstance(end, End):
                self.hold_browser(False)
                self._later("close", CLOSE_SECONDS, self._abort)
            else:
                self._transport.close()
        self._release(reason)
        for task in self._tasks:
            task.cancel()

    def _release(self, reason: str = "browser_closed") -> None:
        if self._connection is not None:
            self._connection.end(reason)
        if self._stream is not None:
            self._stream.abort()
        if self._circuit is not None:
            self._circuit.close(0, "viewer ended")

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _later(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        self._forget(name)
        self._timers[name] = self._loop.call_later(seconds, callback)

    def _forget(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _run(self, name: str, coroutine: Any) -> None:
        task = spawn(name, coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
