"""Streams to one service for one user session, kept between requests and never shared with anybody else.

A device may sign a user in by connection (NTLM), and an answer that runs over its end may reach the next request on the
same connection: both stay within one user's one service.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from panelgate.log import get_logger
from panelgate.response import ResponseReader

if TYPE_CHECKING:
    from panelgate.circuit import Circuit, Stream
    from webproxy.forward.exchange import Exchange

IN_USE_LIMIT = 16  # streams at once: small controllers have few sockets, and a browser opens six by itself
WAITING_LIMIT = 64  # requests that wait for a stream; a page of 200 pictures asks for six at a time
WAITING_SECONDS = 30.0  # a person has given up by then
IDLE_SECONDS = 30.0  # a kept stream without use: longer than a page's polling, shorter than devices' patience
HEAD_SECONDS = 300.0  # until a response begins; long polls answer within two minutes
SILENT_SECONDS = 3600.0  # within a response; event streams may be quiet for long

log = get_logger(__name__)


class Upstream(asyncio.Protocol):
    """One stream to the device; it answers one request at a time."""

    __slots__ = ("alive", "circuit", "exchange", "pool", "quiet_since", "reader", "received", "seen", "stream", "uses")

    def __init__(self, pool: Pool, circuit: Circuit) -> None:
        self.pool = pool
        self.circuit = circuit
        self.exchange: Exchange | None = None
        self.reader = ResponseReader()
        self.stream: Stream = None  # type: ignore[assignment]  # set by Pool before anything can arrive
        self.alive = True
        self.uses = 0
        self.received = 0
        self.seen = -1
        self.quiet_since = 0.0

    def data_received(self, data: bytes) -> None:
        """Bytes of the device. An exception ends this stream only."""
        exchange = self.exchange
        if exchange is None:
            # Bytes that nobody asked for must not become the next answer.
            self.pool.discard(self)
            return
        self.received += len(data)
        try:
            exchange.upstream_data(data)
        except Exception:
            log.exception("response failed")
            exchange.broken()

    def eof_received(self) -> bool:
        """The device sends no more."""
        self._over(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is gone; `exc` says why when the agent knows."""
        self._over(exc)

    def _over(self, exc: Exception | None) -> None:
        if not self.alive:
            return
        exchange = self.exchange
        self.pool.discard(self)
        if exchange is not None:
            try:
                exchange.upstream_over(self, exc)
            except Exception:
                log.exception("response failed")
                exchange.broken()

    def pause_writing(self) -> None:
        """The device is slower than the browser's upload."""
        if self.exchange is not None:
            self.exchange.hold_browser(True)

    def resume_writing(self) -> None:
        """The device takes more again."""
        if self.exchange is not None:
            self.exchange.hold_browser(False)


class Pool:
    """The streams of one user session to one service."""

    def __init__(self, service_id: str) -> None:
        self.service_id = service_id
        self.idle: list[Upstream] = []
        self.busy: set[Upstream] = set()
        self.waiting: deque[tuple[Exchange, Circuit, float]] = deque()
        self.opened = 0

    def submit(self, exchange: Exchange, circuit: Circuit, prefer: Upstream | None, now: float) -> bool:
        """Give `exchange` a stream now or as soon as one is free; False when too many wait already.

        `prefer` is the stream the same browser connection used last: devices that sign in by connection need it.
        """
        idle = self.idle
        if idle:
            if prefer is not None and prefer in idle:
                idle.remove(prefer)
                upstream = prefer
            else:
                upstream = idle.pop()
            self.busy.add(upstream)
            exchange.begin(upstream)
            return True
        if len(self.busy) < IN_USE_LIMIT:
            exchange.begin(self.open(circuit))
            return True
        if len(self.waiting) >= WAITING_LIMIT:
            return False
        self.waiting.append((exchange, circuit, now))
        return True

    def open(self, circuit: Circuit) -> Upstream:
        """A new stream, in use."""
        upstream = Upstream(self, circuit)
        self.busy.add(upstream)
        self.opened += 1
        try:
            upstream.stream = circuit.open_stream(self.service_id, upstream)
        except BaseException:
            self.busy.discard(upstream)
            upstream.alive = False
            raise
        return upstream

    def give_back(self, upstream: Upstream, now: float) -> None:
        """The exchange on `upstream` is complete and left the stream clean."""
        upstream.exchange = None
        upstream.uses += 1
        self.busy.discard(upstream)
        if not upstream.alive:
            return
        upstream.quiet_since = now
        self.idle.append(upstream)
        self._next(now)

    def discard(self, upstream: Upstream) -> None:
        """Close `upstream`: it is not to be used again."""
        upstream.exchange = None
        self.busy.discard(upstream)
        if upstream in self.idle:
            self.idle.remove(upstream)
        if upstream.alive:
            upstream.alive = False
            if upstream.stream is not None:
                upstream.stream.abort()
        self._next(None)

    def _next(self, now: float | None) -> None:
        while self.waiting and (self.idle or len(self.busy) < IN_USE_LIMIT):
            exchange, circuit, since = self.waiting.popleft()
            if exchange.front is None:
                continue
            if circuit.is_open or self.idle:
                self.submit(exchange, circuit, None, since if now is None else now)
            else:
                exchange.circuit_lost()

    def sweep(self, now: float) -> None:
        """Close what has been idle, give up on what has been silent or waiting for too long; `now` in monotonic s."""
        for upstream in [upstream for upstream in self.idle if now - upstream.quiet_since > IDLE_SECONDS]:
            self.discard(upstream)
        for upstream in list(self.busy):
            if upstream.received != upstream.seen or upstream.exchange is None:
                upstream.seen = upstream.received
                upstream.quiet_since = now
                continue
            limit = HEAD_SECONDS if upstream.reader.head is None else SILENT_SECONDS
            if now - upstream.quiet_since > limit and not upstream.exchange.is_tunnel:
                upstream.exchange.timed_out()
        while self.waiting and now - self.waiting[0][2] > WAITING_SECONDS:
            self.waiting.popleft()[0].crowded()

    def close(self) -> None:
        """End every stream; the exchanges on them have been told before."""
        self.waiting.clear()
        for upstream in [*self.idle, *self.busy]:
            self.discard(upstream)
