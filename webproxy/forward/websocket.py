"""WebSockets of HTTP services: the upgrade is forwarded, and after the device's 101 bytes are passed both ways.

No frame is looked at, so subprotocol, extensions and close codes are exactly the device's. Only where a service's
options ask for its addresses to be replaced, text messages are read, and compression of messages is not offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panelgate.log import get_logger
from panelgate.wsframes import Opcode, WebSocketError, close_payload, frame
from webproxy.forward import problems
from webproxy.forward.exchange import EARLY_BYTES, Exchange
from webproxy.forward.headers import response_lines
from webproxy.forward.pool import SOCKETS_LIMIT
from webproxy.forward.request import RequestHead
from webproxy.forward.wstext import TextFrames

if TYPE_CHECKING:
    from panelgate.response import ResponseHead
    from webproxy.forward.pool import Upstream
    from webproxy.forward.protocol import FrontProtocol
    from webproxy.forward.visit import Visit


log = get_logger(__name__)


class WebSocketExchange(Exchange):
    """One WebSocket. Until the 101 an exchange like any other, a refusal included; afterwards a pair of pipes."""

    __slots__ = ("_down", "_up", "is_tunnel")
    websocket = True

    def __init__(self, front: FrontProtocol, head: RequestHead) -> None:
        super().__init__(front, head)
        self.is_tunnel = False
        self._up: TextFrames | None = None  # towards the device, and
        self._down: TextFrames | None = None  # towards the browser: where addresses are replaced
        # Bytes that a hasty browser sends behind the handshake wait in the same place as an early body.
        self._complete = True
        self._retries = 0

    def dispatch(self, visit: Visit, cookie: bytes) -> None:
        """Send the upgrade."""
        self.visit = visit
        if len(visit.sockets) >= SOCKETS_LIMIT or not visit.add_socket(self):
            self.fail(problems.MANY_SOCKETS)
            return
        super().dispatch(visit, cookie)

    def begin(self, upstream: Upstream) -> None:
        """A WebSocket needs a stream of its own, without a past."""
        early, self._early = self._early, []
        super().begin(upstream)
        self._early = early

    def browser_data(self, data: bytes) -> None:
        """Bytes of the browser behind its upgrade request."""
        upstream = self.upstream
        if self.is_tunnel and upstream is not None:
            if self._up is not None:
                data = self._through(self._up, data)
            self._connection.up += len(data)
            if data:
                upstream.stream.write(data)
            return
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > EARLY_BYTES:
            self.hold_browser(True)

    def upstream_data(self, data: bytes) -> None:
        """Bytes of the device."""
        if self.is_tunnel:
            if self.front is not None and not self.front.transport.is_closing():
                self._connection.down += len(data)
                if self._down is not None:
                    data = self._through(self._down, data)
                if self.front is not None and data:
                    self.front.transport.write(data)
            return
        super().upstream_data(data)

    def _respond(self, head: ResponseHead, body: bytes, *, done: bool) -> None:
        front, upstream = self.front, self.upstream
        if head.status != 101 or front is None or upstream is None:
            super()._respond(head, body, done=done)
            return
        lines = response_lines(self.visit.rules, head, self.visit.cookie_names)
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        rest, rules = upstream.reader.rest, self.visit.rules
        plain = not rules.rewrite
        first = rest if plain else b""
        front.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n%b" % (b"".join(lines), first))
        self.responded = True
        self.is_tunnel = True
        early = b"".join(self._early)
        self._early.clear()
        if not plain:
            self._up = TextFrames(rules.addresses.back(), client=True)
            self._down = TextFrames(rules.addresses, client=False)
            self.upstream_data(rest)
        if early:
            self.browser_data(early)
        if self._holding:
            self.hold_browser(False)
        self.visit.pool.tunnelled(front.loop.time())

    def _through(self, side: TextFrames, data: bytes) -> bytes:
        """`data` with its text messages changed; nothing when the connection ends over it."""
        try:
            return side.feed(data)
        except WebSocketError as error:
            log.info("websocket ended", reason=str(error), session_id=self.visit.session.session_id)
            aligned = self._down is not None and (side is self._down or self._down.between_frames)
            front = self._release()
            if front is not None:
                if aligned:
                    closing = close_payload(error.code, str(error))
                    front.transport.write(frame(Opcode.CLOSE, closing, client=False))
                front.close_when_flushed()
            return b""

    def _finish(self) -> None:
        if self.is_tunnel and self.front is not None:
            return  # the reader is done with the 101; the tunnel has just begun
        self.visit.drop_socket(self)
        super()._finish()

    def upstream_over(self, upstream: Upstream, exc: Exception | None) -> None:
        """The device's side has ended."""
        if self.is_tunnel:
            self.upstream = None
            front = self._release()
            if front is not None:
                front.close_when_flushed()
            return
        super().upstream_over(upstream, exc)

    def _release(self) -> FrontProtocol | None:
        if self.visit is not None:
            self.visit.drop_socket(self)
        for side in (self._up, self._down):
            if side is not None:
                side.end()
        return super()._release()

    def cut(self, reason: str) -> None:
        """The session has ended: no close frame, since the device may be in the middle of one."""
        if self.is_tunnel:
            front = self._release()
            if front is not None:
                front.break_off()
            return
        super().cut(reason)
