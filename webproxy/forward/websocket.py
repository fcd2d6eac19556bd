"""WebSockets of HTTP services: the upgrade is forwarded, and after the device's 101 bytes are passed both ways.

No frame is looked at, so subprotocol, extensions and close codes are exactly the device's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webproxy.forward import problems
from webproxy.forward.exchange import EARLY_BYTES, Exchange
from webproxy.forward.headers import response_lines
from webproxy.forward.request import RequestHead

if TYPE_CHECKING:
    from panelgate.response import ResponseHead
    from webproxy.forward.pool import Upstream
    from webproxy.forward.protocol import FrontProtocol
    from webproxy.forward.visit import Visit


class WebSocketExchange(Exchange):
    """One WebSocket. Until the 101 an exchange like any other, a refusal included; afterwards a pair of pipes."""

    __slots__ = ("is_tunnel",)
    websocket = True

    def __init__(self, front: FrontProtocol, head: RequestHead) -> None:
        super().__init__(front, head)
        self.is_tunnel = False
        # Bytes that a hasty browser sends behind the handshake wait in the same place as an early body.
        self._complete = True
        self._retries = 0

    def dispatch(self, visit: Visit, cookie: bytes) -> None:
        """Send the upgrade."""
        self.visit = visit
        if not visit.add_socket(self):
            self.fail(problems.CROWDED)
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
            self._connection.up += len(data)
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
        front.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n%b" % (b"".join(lines), upstream.reader.rest))
        self.responded = True
        self.is_tunnel = True
        early = b"".join(self._early)
        self._early.clear()
        if early:
            self._connection.up += len(early)
            upstream.stream.write(early)
        if self._holding:
            self.hold_browser(False)

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
        return super()._release()

    def cut(self, reason: str) -> None:
        """The session has ended: no close frame, since the device may be in the middle of one."""
        if self.is_tunnel:
            front = self._release()
            if front is not None:
                front.break_off()
            return
        super().cut(reason)
