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
    from webproxy.forward.protocol import FrontProtocol

IN_USE_LIMIT = 16  # streams at once: small controllers have few sockets, and a browser opens six by itself
SOCKETS_LIMIT = 12  # of them for WebSockets, which keep theirs: with all sixteen no page would load any more
WAITING_LIMIT = 64  # requests that wait for a stream; a page of 200 pictures asks for six at a time
WAITING_SECONDS = 30.0  # a person has given up by then
IDLE_SECONDS = 30.0  # a kept stream without use: longer than a page's polling, shorter than devices' patience
KEPT = 2  # streams kept so long; a page's burst leaves six and more, and the agent has sixteen for all users together
SPARE_SECONDS = 3.0  # for those beyond: shorter than the agent lets another user's stream wait for a place
HEAD_SECONDS = 300.0  # without a byte until a response's head is there; long polls answer within two minutes
PAGE_SECONDS = 30.0  # the same where a person looks at an empty window, unless that page was so slow before
SLOW_LIMIT = 64  # pages known to be slow, per user session and service
HOLD_SECONDS = 10.0  # between two steps of a sign-in by connection; a browser takes the next at once
SILENT_SECONDS = 3600.0  # within a response; event streams may be quiet for long

log = get_logger(__name__)


class Upstream(asyncio.Protocol):
    """One stream to the device; it answers one request at a time."""

    __slots__ = ("alive", "circuit", "exchange", "moved", "pool", "quiet_since", "reader", "seen", "stream", "uses")

    def __init__(self, pool: Pool, circuit: Circuit) -> None:
        self.pool = pool
        self.circuit = circuit
        self.exchange: Exchange | None = None
        self.reader = ResponseReader()
        self.stream: Stream = None  # type: ignore[assignment]  # set by Pool before anything can arrive
        self.alive = True
        self.uses = 0
        self.moved = 0  # bytes of answers, and of requests' bodies: an upload takes its time before any answer
        self.seen = -1
        self.quiet_since = 0.0

    def data_received(self, data: bytes) -> None:
        """Bytes of the device. An exception ends this stream only."""
        exchange = self.exchange
        if exchange is None:
            # Bytes that nobody asked for must not become the next answer.
            self.pool.discard(self)
            return
        self.moved += len(data)
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
    """The streams of one user session to one service.

    Devices that sign in by connection (NTLM, Negotiate) get `by_connection`: one stream, requests one after another,
    and nobody else's request between two steps of the sign-in.
    """

    def __init__(self, service_id: str) -> None:
        self.by_connection = False
        self._only: Upstream | None = None
        # The browser connection that is in the middle of signing in, and since when.
        self._holder: FrontProtocol | None = None
        self._held_since = 0.0
        self.service_id = service_id
        self.idle: list[Upstream] = []
        self.busy: set[Upstream] = set()
        self.waiting: deque[tuple[Exchange, Circuit, float]] = deque()
        self.opened = 0
        # Paths of pages that were given up, as their hashes: the next time they get longer. The oldest goes first.
        self._slow: dict[int, None] = {}

    def submit(self, exchange: Exchange, circuit: Circuit, prefer: Upstream | None, now: float) -> bool:
        """Give `exchange` a stream now or as soon as one is free; False when too many wait already.

        `prefer` is the stream the same browser connection used last: devices that sign in by connection need it.
        """
        if exchange.head.authorization and not self.by_connection and _signs_connection(exchange.head.authorization):
            self._begin_by_connection(None)
        if self._holder is not None and not self._may_pass(exchange, now):
            if len(self.waiting) >= WAITING_LIMIT:
                return False
            self.waiting.append((exchange, circuit, now))
            return True
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
        if self._has_room():
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
        if self.by_connection:
            self._only = upstream
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
        if self.by_connection and upstream is not self._only:
            self.discard(upstream)
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
        if upstream is self._only:
            self._lost_only()
        self._next(None)

    def _has_room(self) -> bool:
        """Whether one more stream may be opened; a WebSocket's is no longer one for requests."""
        if not self.by_connection:
            return len(self.busy) < IN_USE_LIMIT
        return all(upstream.exchange is not None and upstream.exchange.is_tunnel for upstream in self.busy)

    # ---- sign-in by connection

    def keep_to(self, upstream: Upstream, holder: FrontProtocol | None, now: float) -> None:
        """The device signs in by connection: from now on `upstream` alone is used.

        `holder` is the browser connection whose next request is the next step of the sign-in; None between sign-ins.
        """
        self._begin_by_connection(upstream)
        self._holder, self._held_since = holder, now

    def _begin_by_connection(self, upstream: Upstream | None) -> None:
        if self.by_connection and self._only is upstream:
            return
        self.by_connection = True
        self._only = upstream
        for other in list(self.idle):
            if other is not upstream:
                self.discard(other)

    def _may_pass(self, exchange: Exchange, now: float) -> bool:
        """Whether `exchange` is the next step of the sign-in under way, or none is under way any more."""
        holder = self._holder
        if holder is None or holder is exchange.front:
            return True
        if holder.transport.is_closing() or now - self._held_since > HOLD_SECONDS:
            self._holder = None
            return True
        return False

    def stepped(self, exchange: Exchange) -> None:
        """The step of `exchange` was answered; `keep_to` says so when there is another."""
        if self._holder is exchange.front:
            self._holder = None

    def _lost_only(self) -> None:
        """The stream of the sign-in is gone: so is the browser's connection, and the browser begins anew, as it would
        with the device itself. On another stream the next step would count as a wrong password."""
        self._only = None
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.sign_in_lost(self)

    def tunnelled(self, now: float) -> None:
        """A stream has become a WebSocket, and took its sign-in along: the next request opens another."""
        if self.by_connection:
            self._next(now)

    def _next(self, now: float | None) -> None:
        while self.waiting and (self.idle or self._has_room()):
            if self._holder is not None:
                at = self._held_since if now is None else now
                turn = next((one for one in self.waiting if self._may_pass(one[0], at)), None)
                if turn is None:
                    return
                self.waiting.remove(turn)
                self.waiting.appendleft(turn)
            exchange, circuit, since = self.waiting.popleft()
            if exchange.front is None:
                continue
            if circuit.is_open or self.idle:
                self.submit(exchange, circuit, None, since if now is None else now)
            else:
                exchange.circuit_lost()

    def sweep(self, now: float) -> None:
        """Close what has been idle, give up on what has been silent or waiting for too long; `now` in monotonic s."""
        spare = self.idle[:-KEPT]  # the longest idle stand in front
        for upstream in list(self.idle):
            if now - upstream.quiet_since > (SPARE_SECONDS if upstream in spare else IDLE_SECONDS):
                self.discard(upstream)
        for upstream in list(self.busy):
            exchange = upstream.exchange
            if upstream.moved != upstream.seen or exchange is None:
                upstream.seen = upstream.moved
                upstream.quiet_since = now
                continue
            quiet = now - upstream.quiet_since
            if quiet <= PAGE_SECONDS or exchange.is_tunnel:
                continue
            if upstream.reader.head is not None:
                if quiet > SILENT_SECONDS:
                    exchange.timed_out()
            elif exchange.head.is_navigation and self._is_first(exchange.head.path):
                exchange.timed_out(page=True)
            elif quiet > HEAD_SECONDS:
                exchange.timed_out()
        if self._holder is not None and self.waiting:
            self._next(now)  # the browser may have given up in the middle of a sign-in
        while self.waiting and now - self.waiting[0][2] > WAITING_SECONDS:
            self.waiting.popleft()[0].crowded()

    def _is_first(self, path: bytes) -> bool:
        """Whether the page at `path` was not given up before; it is known from now on."""
        key = hash(path)
        if key in self._slow:
            return False
        if len(self._slow) >= SLOW_LIMIT:
            del self._slow[next(iter(self._slow))]
        self._slow[key] = None
        return True

    def close(self) -> None:
        """End every stream; the exchanges on them have been told before."""
        self.waiting.clear()
        for upstream in [*self.idle, *self.busy]:
            self.discard(upstream)


def _signs_connection(authorization: bytes) -> bool:
    return authorization[:10].lower().startswith((b"ntlm ", b"negotiate "))
