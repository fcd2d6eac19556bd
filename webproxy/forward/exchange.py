"""One request and its response on their way: streamed both ways, head parsed once, no task while things go well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panelgate.errors import PanelgateError
from panelgate.frames import StreamError
from panelgate.log import get_logger
from panelgate.response import CHUNKED, CLOSE, LENGTH, NONE, BadResponse, ResponseHead
from panelgate.tasks import spawn
from webproxy.forward import aside, problems
from webproxy.forward.bodies import BadBody, BodyFilter, filter_of
from webproxy.forward.credentials import shown
from webproxy.forward.headers import request_bytes, response_lines
from webproxy.forward.markup import rewriters
from webproxy.forward.problems import Problem
from webproxy.forward.redirects import RedirectRefused
from webproxy.forward.request import SAFE_METHODS, RequestHead

if TYPE_CHECKING:
    from panelgate.circuit import Circuit
    from webproxy.connections import Connection
    from webproxy.forward.cache import Copy, Entry
    from webproxy.forward.pool import Upstream
    from webproxy.forward.protocol import FrontProtocol
    from webproxy.forward.visit import Visit

EARLY_BYTES = 64 * 1024  # bytes of a body held while the way to the device opens; then the browser waits
DRAIN_BYTES = 512 * 1024  # written of an unpacked body in one turn of the loop: some 20 ms of replacing
RETRIES = 1  # a GET without any answer is asked again: a kept connection may have died unnoticed

_RESET_BY_LOSS = (StreamError.CLOSED, StreamError.PEER_RESET)
# The circuit's ticket may be older than the service.
_NOT_DIALLED = (StreamError.REFUSED, StreamError.UNKNOWN_SERVICE)
_UNKNOWN = (CHUNKED, CLOSE)
_NO_LENGTH = frozenset({204, 304})
log = get_logger(__name__)


class Exchange:
    """One request of a browser. It ends exactly once: by `_finish`, `fail`, `abandon` or `cut`."""

    __slots__ = (
        "_anew", "_chunk", "_complete", "_connection", "_early", "_early_size", "_filter", "_holding", "_resting",
        "_retries", "asked", "cookie", "copy", "front", "head", "kept", "replay", "request", "responded", "signed_anew",
        "upstream", "visit",
    )  # fmt: skip
    is_tunnel = False
    websocket = False

    def __init__(self, front: FrontProtocol, head: RequestHead) -> None:
        self.front: FrontProtocol | None = front  # None once it has ended
        self.head = head
        self.visit: Visit = None  # type: ignore[assignment]  # set by dispatch, before anything else is called
        self.upstream: Upstream | None = None
        self.request = b""
        self.cookie = b""
        self.responded = False  # whether the browser got the response's head
        # For aside.py: what the cache has of it, or is about to keep; the body in case it must be sent again, signed.
        self.kept: Entry | None = None
        self.copy: Copy | None = None
        self.asked = 0.0
        self.replay: aside.Replay | None = None
        self.signed_anew = False
        self._connection: Connection = None  # type: ignore[assignment]  # set by dispatch
        self._anew = False  # whether a new circuit was asked for already
        self._chunk = False
        self._filter: BodyFilter | None = None  # what the body passes through, when addresses in it are replaced
        self._resting = False  # the filter has more, and goes on in the loop's next turn
        self._complete = not head.has_body
        self._early: list[bytes] = []
        self._early_size = 0
        self._holding = False
        self._retries = RETRIES if head.method in SAFE_METHODS and not head.has_body else 0

    # ---- towards the device

    def dispatch(self, visit: Visit, cookie: bytes) -> None:
        """Send the request; `cookie` is the finished Cookie header for the device."""
        front = self.front
        if front is None:
            return
        self.visit = visit
        self.cookie = cookie
        prepared = self.head.prepared
        if prepared is not None and prepared[0] is visit.rules and prepared[1] is cookie:
            self.request = prepared[2]
        else:
            client = front.client_address() if visit.rules.options.forwarded else ""
            self.request = request_bytes(visit.rules, self.head, cookie, websocket=self.websocket, client=client)
            self.head.prepared = (visit.rules, cookie, self.request)
        circuit = front.web.circuits.current(visit.session)
        if circuit is None:
            self.circuit_lost()
            return
        connection = visit.connection
        if connection is None or connection.reason:
            connection = visit.counted(front.client_facts, lambda: front.web.circuits.circuit_id(visit.session))
        self._connection = connection
        try:
            self._submit(circuit, front.last_upstream)
        except (PanelgateError, ConnectionError, OSError):
            # The circuit went away between the look and the use.
            self._lost(None)

    def circuit_lost(self) -> None:
        """There is no circuit: open one, then send."""
        if self.front is not None:
            self.visit.used = self.front.loop.time()  # nothing of it is in the pool yet, and it is in use all the same
        spawn("request waits for circuit", self._through_new_circuit())

    async def _through_new_circuit(self) -> None:
        front = self.front
        if front is None:
            return
        visit = self.visit
        try:
            circuit = await front.web.circuits.http(visit.session, visit.token)
        except PanelgateError as error:
            self.fail(problems.of_error(error))
            return
        if self.front is None:
            return
        if not visit.alive:
            self.fail(problems.NO_SESSION)
            return
        self._connection = visit.counted(front.client_facts, lambda: front.web.circuits.circuit_id(visit.session))
        try:
            self._submit(circuit, None)
        except (PanelgateError, ConnectionError, OSError):
            self.fail(problems.RELAY_LOST)

    def _submit(self, circuit: Circuit, prefer: Upstream | None) -> None:
        """Wait for a stream, unless the request is answered without one."""
        front, visit = self.front, self.visit
        if front is None or (visit.attends and aside.before(self)):
            return
        if not visit.pool.submit(self, circuit, prefer, front.loop.time()):
            self.fail(problems.CROWDED)

    def again(self) -> None:
        """Send the request once more: the answer that has begun is not the browser's."""
        upstream, front, replay = self.upstream, self.front, self.replay
        self.upstream = self.replay = None
        if upstream is None or front is None:
            return
        if upstream.reader.done and upstream.reader.reusable and self._complete and upstream.alive:
            upstream.pool.give_back(upstream, front.loop.time())
        else:
            upstream.pool.discard(upstream)
        if replay is not None:
            self._early, self._early_size = replay.pieces, replay.size
        try:
            if not self.visit.pool.submit(self, upstream.circuit, upstream, front.loop.time()):
                self.fail(problems.CROWDED)
        except (PanelgateError, ConnectionError, OSError):
            self._lost(None)

    def begin(self, upstream: Upstream) -> None:
        """Use `upstream`; called by the pool, at once or after waiting."""
        front = self.front
        if front is None:
            upstream.pool.discard(upstream)
            return
        self.upstream = upstream
        upstream.exchange = self
        upstream.reader.reset(self.head.method, upgrade=self.websocket)
        data = aside.sent(self) if self.visit.attends else self.request
        if self._early:
            if self.replay is not None:
                for piece in self._early:
                    self.replay.add(piece)
            data = b"".join([data, *self._early])
            self._early.clear()
            self._early_size = 0
        self._connection.up += len(data)
        if front.write_paused:
            upstream.stream.pause_reading()
        upstream.stream.write(data)
        if self.head.expect and not self._complete:
            front.send_continue()
        if self._holding:
            self.hold_browser(False)

    def request_body(self, data: bytes) -> None:
        """Bytes of the request's body, in the browser's framing taken apart."""
        if self.head.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._send(data)

    def request_complete(self) -> None:
        """The request's body has ended."""
        if self._complete:
            return
        if self.head.chunked:
            self._send(b"0\r\n\r\n")
        self._complete = True

    def _send(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is not None:
            if self.replay is not None:
                self.replay.add(data)
            self._connection.up += len(data)
            upstream.moved += len(data)
            upstream.stream.write(data)
            return
        if self.front is None:
            return
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > EARLY_BYTES and not self._holding:
            self.hold_browser(True)

    def hold_browser(self, hold: bool) -> None:
        """Stop or go on reading from the browser."""
        self._holding = hold
        if self.front is not None:
            self.front.hold_upload(hold)

    def hold_device(self, hold: bool) -> None:
        """Stop or go on reading from the device: the browser is slow."""
        if not hold and self._filter is not None:
            self._drain(self._filter)
            hold = self.front is None or self.front.write_paused or self._resting
        if self.upstream is not None:
            if hold:
                self.upstream.stream.pause_reading()
            else:
                self.upstream.stream.resume_reading()

    # ---- from the device

    def upstream_data(self, data: bytes) -> None:
        """Bytes of the device."""
        upstream, front = self.upstream, self.front
        if upstream is None or front is None:
            return
        if front.transport.is_closing():
            self._release()  # the browser has gone, and connection_lost has not been called yet
            return
        reader = upstream.reader
        self._connection.down += len(data)
        fresh = not self.responded
        try:
            body = reader.feed(data)
        except BadResponse as error:
            self._bad(str(error))
            return
        if self.copy is not None and body and not self.copy.add(body):
            self.copy = None
        if fresh:
            head = reader.head
            if head is None:
                return
            if (self.visit.attends or head.status == 401) and aside.takes(self, head, body):
                return
            self._respond(head, body, done=reader.done)
        elif self._filter is not None:
            self._filter.feed(body, last=reader.done)
        elif self._chunk:
            if body:
                front.transport.write(b"%x\r\n%b\r\n%b" % (len(body), body, b"0\r\n\r\n" if reader.done else b""))
            elif reader.done:
                front.transport.write(b"0\r\n\r\n")
        elif body:
            front.transport.write(body)
        self._go_on(done=reader.done)

    def _go_on(self, *, done: bool) -> None:
        """After a piece of the body: what waits in the filter goes out, and after the last one that's all."""
        if self._filter is not None:
            self._drain(self._filter)
        elif done:
            self._finish()

    def _drain(self, body: BodyFilter) -> None:
        """Write what the filter has, as far as the browser takes it, and not all of it in one go."""
        front, room = self.front, DRAIN_BYTES
        try:
            while front is not None and not front.write_paused and not body.done and not self._resting:
                if not self.visit.alive:
                    self.cut("the session has ended")  # the device's stream may be gone, and nobody else knows of this
                    return
                if room <= 0:
                    self._rest()
                    return
                piece = body.take()
                room -= len(piece)
                if piece:
                    front.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunk else piece)
                elif not body.done:
                    return
        except BadBody as error:
            self._bad(str(error))
            return
        if body.done and front is not None:
            if self._chunk:
                front.transport.write(b"0\r\n\r\n")
            self._filter = None
            self._finish()

    def _rest(self) -> None:
        """Let all others have their turn: a few bytes can unpack to a gigabyte, and this browser may be fast."""
        self._resting = True
        if self.upstream is not None:
            self.upstream.stream.pause_reading()
        if self.front is not None:
            self.front.loop.call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        front = self.front
        if front is None or self._filter is None:
            return
        if self.upstream is not None and not front.write_paused:
            self.upstream.stream.resume_reading()
        if self._filter is not None:
            self._drain(self._filter)

    def answer(self, head: ResponseHead, body: bytes) -> None:
        """Answer with what is kept; the stream, if one was used, is free again."""
        self._respond(head, body, done=True)
        self._go_on(done=True)

    def _respond(self, head: ResponseHead, body: bytes, *, done: bool) -> None:
        """Write the response's head, and what came of the body with it, in one go."""
        front = self.front
        if front is None:
            return
        visit, prepared, framing, length = self.visit, head.prepared, head.framing, head.length
        rules, seen = visit.rules, head if visit.sign_in is None else shown(head)
        try:
            if rules.touches and visit.rewrites(head):
                prepared = (rules, b"".join(response_lines(rules, seen, visit.cookie_names, rewritten=True)))
                framing, length, body = self._rewrite(head, body, done=done)
                done = self._filter is None
            elif prepared is None or prepared[0] is not rules:
                prepared = head.prepared = (rules, b"".join(response_lines(rules, seen, visit.cookie_names)))
        except RedirectRefused as refused:
            self.fail(problems.redirected(refused.address))
            return
        except BadBody as error:
            self._bad(str(error))
            return
        lines = [prepared[1]]
        tail = body
        self.responded = True
        if framing == LENGTH:
            lines.append(b"Content-Length: %d\r\n" % length)
        elif framing in _UNKNOWN:
            if done:
                lines.append(b"Content-Length: %d\r\n" % len(body))
            elif self.head.version == "1.1":
                lines.append(b"Transfer-Encoding: chunked\r\n")
                self._chunk = True
                tail = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            else:
                front.close_after()
        elif head.status not in _NO_LENGTH and length >= 0:
            lines.append(b"Content-Length: %d\r\n" % length)
        if not self._complete or self.websocket:
            # The device answered before the whole body came, or an upgrade was refused: what follows can't be read.
            front.close_after()
        if front.closing_after:
            lines.append(b"Connection: close\r\n")
        elif self.head.version == "1.0":
            lines.append(b"Connection: keep-alive\r\n")
        front.transport.write(
            b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (head.status, head.reason, b"".join(lines), tail)
        )  # fmt: skip

    def _rewrite(self, head: ResponseHead, data: bytes, *, done: bool) -> tuple[int, int, bytes]:
        """Let the body pass through a filter: framing, length, and what can be sent at once. BadBody as it says."""
        if head.framing == NONE:
            return NONE, -1, data
        rules = self.visit.rules
        more = rewriters(rules.outer, head, self.head) if rules.root else ()
        body = filter_of(rules.addresses if rules.rewrite else None, head, *more)
        first = body.begin(data, last=done)
        self._filter = None if body.done else body
        return CHUNKED, -1, first

    def _finish(self) -> None:
        """The response is complete."""
        if self.copy is not None:
            aside.done(self)
        upstream, front = self.upstream, self.front
        self.upstream = self.front = None
        if upstream is not None:
            if upstream.reader.reusable and self._complete and upstream.alive:
                if front is not None and front.write_paused:
                    upstream.stream.resume_reading()
                upstream.pool.give_back(upstream, front.loop.time() if front is not None else 0.0)
                if front is not None:
                    front.last_upstream = upstream
            else:
                upstream.pool.discard(upstream)
        if front is not None:
            front.exchange_done()

    def upstream_over(self, upstream: Upstream, exc: Exception | None) -> None:
        """The stream has ended, by the device (None) or by the agent or a lost circuit (`exc`)."""
        self.upstream = None
        reader = upstream.reader
        if self.front is None or (reader.done and self._filter is not None):
            return  # in the second case the body is here, and goes out as the browser takes it
        if self.front.transport.is_closing():
            self._release()
            return
        if getattr(exc, "code", None) is None and (reader.head is not None or reader.started):
            try:
                reader.eof()
            except BadResponse as error:
                self._bad(str(error))
                return
            if self._filter is not None:
                self._filter.feed(b"", last=True)
            elif self._chunk:
                self.front.transport.write(b"0\r\n\r\n")
            aside.forget(self)  # an end that only a closed connection tells may be anywhere
            self._go_on(done=True)
            return
        if self.responded or reader.started:
            self._bad("closed before the end of the answer")
            return
        if self._asks_anew(exc, upstream):
            self.circuit_lost()
            return
        self._lost(exc, reused=upstream.uses > 0)

    def _asks_anew(self, exc: Exception | None, upstream: Upstream) -> bool:
        """Whether to try a new circuit: the agent refused before it dialled, so the device got nothing of this."""
        front = self.front
        if getattr(exc, "code", None) not in _NOT_DIALLED or self._anew or self.head.has_body or front is None:
            return False
        self._anew = True
        return front.web.circuits.renew(self.visit.session, upstream.circuit)

    def _lost(self, exc: Exception | None, *, reused: bool = True) -> None:
        """Nothing came back: ask again once when that can do no harm, else say what is known."""
        code = getattr(exc, "code", None)
        passing = code in _RESET_BY_LOSS or (code is None and reused)
        if self._retries and passing:
            self._retries -= 1
            self.circuit_lost()
        elif passing and self.head.method not in SAFE_METHODS:
            self.fail(problems.NOT_REPEATED)
        else:
            visit, front = self.visit, self.front
            page = front.web.refusals.problem(exc, visit.session, visit.token) if front is not None else None
            self.fail(page or problems.of_stream(exc))

    # ---- ends

    def _bad(self, detail: str) -> None:
        log.info("response is garbage", detail=detail, session_id=self.visit.session.session_id)
        self.fail(problems.garbage(detail))

    def broken(self) -> None:
        """A bug of ours in a callback."""
        self.fail(problems.BROKEN)

    def timed_out(self, *, page: bool = False) -> None:
        """The device was silent for too long; `page`: for a person who waits for a page."""
        self.fail(problems.SLOW_PAGE if page else problems.TIMED_OUT)

    def crowded(self) -> None:
        """No stream became free in time."""
        self.fail(problems.CROWDED)

    def _release(self) -> FrontProtocol | None:
        upstream, front = self.upstream, self.front
        self.upstream = self.front = None
        self._early.clear()
        aside.forget(self)
        self.replay = None
        if upstream is not None:
            upstream.pool.discard(upstream)
        return front

    def fail(self, problem: Problem) -> None:
        """End with a page; when the response has begun already, by breaking the connection off."""
        responded = self.responded
        front = self._release()
        if front is None:
            return
        if responded:
            # The browser can't be told any more; the log can.
            log.info("response broken off", kind=problem.kind, session_id=self.visit.session.session_id)
            front.break_off()
        else:
            front.show(problem, self.head, self.visit)

    def abandon(self) -> None:
        """The browser has gone."""
        self._release()

    def cut(self, reason: str) -> None:
        """The session has ended."""
        del reason
        self.fail(problems.NO_SESSION)
