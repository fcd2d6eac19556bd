"""The front: one listener for the portal and every service's origin, told apart by Host as soon as a head is complete.

Requests for the portal go uvicorn's usual way to the application. Requests for service origins are handled right here,
in protocol callbacks: one request at a time per browser connection, what is pipelined behind it waits.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from panelgate.log import get_logger
from panelgate.tasks import spawn
from webproxy.forward import paths, problems, request, secure
from webproxy.forward.problems import Problem
from webproxy.forward.request import COOKIES_LIMIT, HEAD_LIMIT, RequestHead, RequestRefused
from webproxy.forward.route import ServicePath
from webproxy.pages.problem import new_reference, render_problem
from webproxy.security import own_headers

if TYPE_CHECKING:
    from webproxy.forward.exchange import Exchange
    from webproxy.forward.places import Place
    from webproxy.forward.pool import Pool, Upstream
    from webproxy.forward.visit import Visit
    from webproxy.forward.websocket import WebSocketExchange
    from webproxy.web import Web

IDLE_SECONDS = 75.0  # without a complete head: longer than most load balancers keep theirs, so they close first
EARLY_BYTES = 64 * 1024  # of a hasty client behind its upgrade request
QUEUE_LIMIT = 64  # pipelined requests that wait; one read of the socket rarely holds more
LINGER_SECONDS = 1.0  # for the browser to read the last answer before a connection with unread bytes is closed
WRITE_HIGH = 256 * 1024  # bytes towards the browser before the device is held

_UPLOAD, _QUEUE = 1, 2  # reasons to stop reading
_REASONS = {
    200: b"OK", 303: b"See Other", 304: b"Not Modified", 307: b"Temporary Redirect", 308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed", 411: b"Length Required",
    421: b"Misdirected Request", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}  # fmt: skip
log = get_logger(__name__)


class _Waiting:
    """A pipelined request that has arrived before its turn."""

    __slots__ = ("body", "complete", "head", "keep_alive", "raw")

    def __init__(self, head: RequestHead | RequestRefused, raw: list[tuple[bytes, bytes]], *, keep_alive: bool) -> None:
        self.head = head
        self.raw = raw
        self.body: list[bytes] = []
        self.complete = False
        self.keep_alive = keep_alive


class FrontProtocol(HttpToolsProtocol):
    """One connection of a browser or a load balancer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.web: Web = self.app_state["web"]
        self.write_paused = False
        self.closing_after = False
        self.last_upstream: Upstream | None = None
        self._exchange: Exchange | None = None
        self._socket: WebSocketExchange | None = None
        self._head: RequestHead | None = None
        self._busy = False  # a request is being answered
        self._portal = False  # ... by the application
        self._over = False  # nothing more is read from this connection
        self._in_head = True
        self._fed = 0
        self._raw: list[tuple[bytes, bytes]] = []
        self._raw_now: list[tuple[bytes, bytes]] = []  # of the request being answered; others may wait behind it
        self._last: RequestHead | None = None
        self._last_raw: list[tuple[bytes, bytes]] = []
        self._queue: deque[_Waiting] = deque()
        self._arriving: _Waiting | None = None
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_since = 0.0
        self._service = ServicePath(self)
        self._line = secure.Line.PLAIN
        self.early = b""  # bytes behind an upgrade request that is still being decided
        self._upgrading = False
        self._heard_at: int | None = None  # which port's service may be asked for here; None for every one
        self._asks = False  # whether it may be unknown whose port was dialled
        self._shared = b""  # the host that all services share, where they do

    # ---- transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        tls = transport.get_extra_info("sslcontext") is not None
        self._line = secure.line_of(self.web.sites, self.web.clients, self.client, tls=tls)
        self._heard_at = self.web.places.heard_at(transport.get_extra_info("sockname")[1])
        self._asks = self.web.sites.ports is not None and self._heard_at != 0
        self._shared = self.web.sites.apps_host.encode()
        self._quiet_since = self.loop.time()
        self._timer = self.loop.call_later(IDLE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The browser has gone: what runs for it ends."""
        if self._timer is not None:
            self._timer.cancel()
        self._over = True
        self._queue.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close a connection that has been idle, or that has sent a piece of a head, for too long."""
        now = self.loop.time()
        if self._busy:
            self._quiet_since = now
        left = self._quiet_since + IDLE_SECONDS - now
        if left <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(max(left, 1.0), self._look)

    def data_received(self, data: bytes) -> None:
        """Bytes of the browser."""
        if self._socket is not None:
            self._socket.browser_data(data)
            return
        if self._over:
            if self._upgrading and len(self.early) < EARLY_BYTES:
                self.early += data
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._fed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._unreadable(error)
            return
        if self._fed > HEAD_LIMIT + COOKIES_LIMIT:
            # Also behind a head: trailers and what stands in a chunk's size line beside the size have no other end.
            if self._in_head:
                self._over = True
                self.show(problems.TOO_LARGE, None, None)
            else:
                self._give_up()

    def _unreadable(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, Exception) and isinstance(error, httptools.HttpParserCallbackError):
            log.error("front failed", exc_info=cause)
        self._give_up()

    def _give_up(self) -> None:
        """What comes makes no sense: nothing more is read."""
        self._over = True
        exchange = self._exchange
        if exchange is not None and not self._in_head and self._arriving is None:
            # The body of the request that is being answered makes no sense: its end can't be told any more.
            exchange.fail(problems.BAD_REQUEST)
            return
        if self._busy:
            # The answer under way belongs to an earlier request: it ends, then the connection does.
            self.closing_after = True
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.keep_alive = False
            return
        self.show(problems.BAD_REQUEST, None, None)

    def _upgraded(self, rest: bytes) -> None:
        """The parser has stopped at an upgrade: what follows belongs to the new protocol, or to nobody."""
        exchange = self._exchange
        if exchange is not None and exchange.websocket and not self._queue:
            socket = self._socket = cast("WebSocketExchange", exchange)
            if rest:
                socket.browser_data(rest)
            return
        self._over = True
        self.closing_after = True
        self.early = rest
        self._upgrading = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def pause_writing(self) -> None:
        """The browser is slow."""
        self.write_paused = True
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.hold_device(True)

    def resume_writing(self) -> None:
        """The browser has caught up."""
        self.write_paused = False
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.hold_device(False)

    def shutdown(self) -> None:
        """The server ends: idle connections close, the others after their answer."""
        if self._socket is not None:
            self._socket.cut("web proxy ends")
        elif self._exchange is not None or (self._busy and not self._portal):
            self.closing_after = True
        else:
            super().shutdown()

    # ---- parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self._raw = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; trailers behind a body are none, and whoever believed them could be told another address."""
        if self._in_head:
            self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is complete: decide whose it is."""
        if self._over:
            return
        self._in_head = False
        parser = self.parser
        head: RequestHead | RequestRefused
        if self._fed > HEAD_LIMIT and _too_large(self._raw):
            head = RequestRefused(431, "The request's head is larger than 128 kB, or its cookies than 720 kB.")
        else:
            # Panels poll: a request is often byte for byte the one before it, and need not be read again.
            method, last = parser.get_method(), self._last
            version = parser.get_http_version()
            if (
                last is not None
                and self._raw == self._last_raw
                and (self.url, method, version) == (last.target, last.method, last.version)
            ):
                head = last
            else:
                try:
                    head = request.read(method, self.url, version, self._raw)
                    if self._shared:
                        paths.take_apart(head, self._shared)
                    else:
                        self._last, self._last_raw = head, self._raw
                except RequestRefused as refused:
                    head = refused
        self._fed = 0
        keep_alive = parser.should_keep_alive()
        if self._busy or (self._asks and self._must_ask(head)):
            if len(self._queue) >= QUEUE_LIMIT:
                self._over = self.closing_after = True
                return
            self._arriving = _Waiting(head, self._raw, keep_alive=keep_alive)
            self._queue.append(self._arriving)
            self._hold(_QUEUE, True)
            return
        self._start(head, self._raw, keep_alive=keep_alive)

    def on_body(self, body: bytes) -> None:
        """Bytes of a request's body."""
        self._fed = 0
        if self._arriving is not None:
            self._arriving.body.append(body)
        elif self._portal:
            super().on_body(body)
        elif self._exchange is not None:
            self._exchange.request_body(body)

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        self._in_head = True
        self._fed = 0
        if self._arriving is not None:
            self._arriving.complete = True
            self._arriving = None
        elif self._portal:
            super().on_message_complete()
        elif self._exchange is not None:
            self._exchange.request_complete()

    # ---- requests in turn

    def _start(self, head: RequestHead | RequestRefused, raw: list[tuple[bytes, bytes]], *, keep_alive: bool) -> None:
        self._busy = True
        self._portal = False
        self._raw_now = raw
        self.closing_after = not keep_alive
        if isinstance(head, RequestRefused):
            self._over = True
            self._head = None
            self.show(_refusal(head), None, None)
            return
        self._head = head
        place = self._place_of(head.host)
        if place is None:
            self._unknown_host(head)
            return
        if self._line is not secure.Line.FINE and secure.is_plain(self._line, raw):
            self._send_to_https(head, place)
            return
        if place.is_portal or head.target.startswith(b"/.pg/static/"):
            self.to_portal()
            return
        if head.upgrade and not head.is_websocket:
            self.closing_after = True  # the parser stops here and can't read what follows
        self._service.serve(head, place)

    def _place_of(self, host: bytes) -> Place | None:
        place = self.web.places.of(host)
        if place is not None and self._heard_at is not None and place.port != self._heard_at:
            return None
        return place

    def _must_ask(self, head: RequestHead | RequestRefused) -> bool:
        """Whether it isn't known yet whose port was dialled: then it is asked, and the request waits in the queue."""
        if isinstance(head, RequestRefused) or not self.web.places.unsure(head.host):
            return False
        if self._place_of(head.host) is None or head.target.startswith(b"/.pg/static/"):
            return False  # answered without a service
        self._busy = True
        spawn("port look-up", self._ask(head.host))
        return True

    async def _ask(self, host: bytes) -> None:
        error = await self.web.places.ask(host)
        self._busy = False
        if error is not None and self._queue and not self.transport.is_closing():
            waiting = self._queue.popleft()
            self._over = self._busy = self.closing_after = True
            self.show(problems.of_error(error), cast("RequestHead", waiting.head), None)
            return
        self._next()

    def _unknown_host(self, head: RequestHead) -> None:
        if self._shared and paths.serve(self, head, self._shared):
            return
        bare = head.host.replace(b".:", b":") if b":" in head.host else head.host.rstrip(b".")
        place = self._place_of(bare) if bare != head.host else None
        if place is not None and head.method in request.SAFE_METHODS:
            # A trailing dot makes another origin of the same host: only one of them may exist.
            lines = own_headers("redirect", secure=self.web.sites.scheme == "https")
            self.answer(308, lines + b"Location: " + place.origin + head.prefix + head.target + b"\r\n", head=head)
            return
        self.show(problems.UNKNOWN_HOST, head, None)

    def _send_to_https(self, head: RequestHead, place: Place) -> None:
        """A page is asked for again by HTTPS; anything else has said too much already and is refused."""
        if head.is_navigation and head.method in request.SAFE_METHODS:
            self.closing_after = True
            lines = own_headers("redirect", secure=False)
            self.answer(308, lines + b"Location: " + place.origin + head.prefix + head.target + b"\r\n", head=head)
            return
        self.show(problems.PLAIN, head, None)

    def to_portal(self) -> None:
        """uvicorn's usual way, with the events that were kept."""
        head, raw = self._head, self._raw_now
        target = head.target if head is not None else self.url
        self._portal = True
        super().on_message_begin()
        self.url = target
        for name, value in raw:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The application has answered."""
        super().on_response_complete()
        self._quiet_since = self.loop.time()
        self._portal = False
        self._turn()

    def exchange_done(self) -> None:
        """A service's request is answered."""
        self._exchange = None
        self.server_state.total_requests += 1
        self._turn()

    def _turn(self) -> None:
        """The next request that waits, if any."""
        self._busy = False
        if self._held & _UPLOAD:
            self._hold(_UPLOAD, False)
        if self.closing_after:
            self._last_words()
            return
        if not self._queue:
            self._quiet_since = self.loop.time()
            return
        self.loop.call_soon(self._next)

    def _last_words(self) -> None:
        """Close after what was written has been read: with unread bytes here, closing would reset the connection."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
            self._hold(_UPLOAD | _QUEUE, False)
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _next(self) -> None:
        """Begin the next waiting request; in a loop turn of its own, so that a long queue is no deep recursion."""
        if self._busy or not self._queue or self.transport.is_closing():
            return
        if self._asks and self._must_ask(self._queue[0].head):
            return
        waiting = self._queue.popleft()
        if self._arriving is waiting:
            self._arriving = None
        place = None if isinstance(waiting.head, RequestRefused) else self.web.places.of(waiting.head.host)
        if place is not None and place.is_portal:
            # The application's requests are read from the parser's state, which is past this one: it must come again.
            self._over = True
            self.transport.close()
            return
        self._start(waiting.head, waiting.raw, keep_alive=waiting.keep_alive)
        exchange = self._exchange
        if exchange is not None and exchange.websocket and self._upgrading:
            # The parser has met this upgrade already: what follows it is the tunnel's.
            self._over = self._upgrading = False
            self._socket = cast("WebSocketExchange", exchange)
            self._socket.browser_data(self.early)
        elif exchange is not None:
            for piece in waiting.body:
                exchange.request_body(piece)
            if waiting.complete:
                exchange.request_complete()
        if not self._queue:
            self._hold(_QUEUE, False)

    # ---- answers of ours

    def answer(self, status: int, lines: bytes, body: bytes = b"", *, head: RequestHead | None) -> None:
        """Answer the current request ourselves: header lines as they are, `head` None when it could not be read."""
        self._exchange = None
        if self._over or head is None or head.has_body or head.upgrade:
            self.closing_after = True  # what is left of the request will not be read
        if self.transport.is_closing():
            return
        connection = b"Connection: close\r\n" if self.closing_after else b""
        plain = head is not None and head.method == b"HEAD"
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n%b%bContent-Length: %d\r\n\r\n%b"
            % (status, _REASONS.get(status, b""), lines, connection, len(body), b"" if plain else body)
        )
        if self.closing_after:
            self._over = True
        self._turn()

    def show(self, problem: Problem, head: RequestHead | None, visit: Visit | None, extra: bytes = b"") -> None:
        """Answer with a problem: a page to people, JSON to scripts."""
        sites = self.web.sites
        secure = sites.scheme == "https"
        facts = dict(problem.facts) | {"portal": sites.portal_origin}
        if visit is not None:
            session = visit.session
            facts |= {
                "device": session.device.get("name"), "account": session.account.get("slug"),
                "service": session.service.get("name"),
                "target": facts.get("target") or f"{session.service.get('host')}:{session.service.get('port')}",
            }  # fmt: skip
        reference = new_reference()
        log.info(
            "problem shown", kind=problem.kind, status=problem.status, reference=reference,
            session_id=visit.session.session_id if visit else None, facts=dict(problem.facts),
        )  # fmt: skip
        if head is not None and head.wants_page:
            body = render_problem(
                problem.kind, title=problem.title, happened=problem.happened, todo=problem.todo, reference=reference,
                retry_seconds=problem.retry_seconds if head.method == b"GET" else None, facts=facts,
                root=head.prefix.decode(),
            )  # fmt: skip
            lines = own_headers("notice", secure=secure) + b"Content-Type: text/html; charset=utf-8\r\n"
        else:
            error = {"code": problem.kind, "message": problem.happened, "facts": {"reference": reference}}
            body = json.dumps({"error": error}).encode()
            lines = own_headers("data", secure=secure) + b"Content-Type: application/json\r\n"
        if problem.status == 405:
            lines += b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
        self.answer(problem.status, lines + extra, body, head=head)

    def send_continue(self) -> None:
        """The device's side is ready for the body of a request that waits (RFC 9110 section 10.1.1)."""
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def close_after(self) -> None:
        """This connection ends with the current response."""
        self.closing_after = True

    def break_off(self) -> None:
        """The response can't be completed: the browser must see that."""
        self._over = True
        self._exchange = self._socket = None
        self.transport.abort()

    def sign_in_lost(self, pool: Pool) -> None:
        """The device's end of a sign-in by connection is gone, so this end goes too.

        Not while somebody else's request is on it: load balancers send everybody's by one connection.
        """
        exchange = self._exchange
        if not self._busy or (exchange is not None and exchange.visit is not None and exchange.visit.pool is pool):
            self.break_off()

    def close_when_flushed(self) -> None:
        """End a tunnel in order."""
        self._over = True
        self._exchange = self._socket = None
        self.transport.close()

    def give_away(self) -> tuple[asyncio.Transport, bytes]:
        """Leave the transport to another protocol, with what was read behind the upgrade request."""
        self._over = True
        self._exchange = None
        self.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        return self.transport, self.early

    def hold_upload(self, hold: bool) -> None:
        """Stop or go on reading because the device is slow."""
        self._hold(_UPLOAD, hold)

    def _hold(self, reason: int, hold: bool) -> None:
        held = self._held | reason if hold else self._held & ~reason
        if bool(held) != bool(self._held) and not self.transport.is_closing():
            if held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        self._held = held

    # ---- for the parts that decide

    def attach(self, exchange: Exchange) -> None:
        """`exchange` answers the current request; its body goes there."""
        self._exchange = exchange

    def client_address(self) -> str:
        """The address of the browser whose request is being answered."""
        return self.web.clients.address(self.client, self._raw_now)

    def client_facts(self) -> Mapping[str, str]:
        """Who the browser is, for the audit: address and User-Agent."""
        agent = b""
        head = self._head
        for line in head.lines if head is not None else ():
            if line[:11].lower() == b"user-agent:":
                agent = line[11:].strip()
        return {"address": self.client_address(), "user_agent": agent.decode("latin-1")[:400]}


def _too_large(raw: list[tuple[bytes, bytes]]) -> bool:
    cookies = sum(len(value) for name, value in raw if name.lower() == b"cookie")
    return cookies > COOKIES_LIMIT or sum(len(name) + len(value) + 4 for name, value in raw) - cookies > HEAD_LIMIT


def _refusal(refused: RequestRefused) -> Problem:
    base = problems.TOO_LARGE if refused.status == 431 else problems.BAD_REQUEST
    return replace(base, status=refused.status, happened=refused.text)
