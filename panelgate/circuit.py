"""A circuit: TLS 1.3 from web proxy to agent inside a carrier, and the multiplexer inside that.

The relay between them sees TLS records. All that one turn of the event loop produces leaves as one batch of records and
one write to the carrier. Both ends verify the other's certificate by role, id and fingerprint before any byte counts.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, cast

from panelgate import carrier as carriers
from panelgate.carrier import Carrier, CarrierClosed
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.frames import CircuitEnd, ProtocolError, StreamError
from panelgate.log import get_logger
from panelgate.mux import Data, Event, Finished, GoingAway, Misuse, Mux, Opened, WasReset
from panelgate.pki import Identity, Peer, Role, peer_identity
from panelgate.stream import Stream, StreamReset
from panelgate.wsframes import CloseCode

__all__ = ["Circuit", "CloseReason", "Stream", "StreamReset", "accept_circuit", "open_circuit"]

log = get_logger(__name__)

TICKET_HEADER: Final = "Panelgate-Ticket"
JOIN_HEADER: Final = "Panelgate-Join"
PING_SECONDS: Final = 8.0  # an idle side says something this often: two are missed before DEAD_SECONDS
DEAD_SECONDS: Final = 20.0  # silence that means the other side is gone
FLUSH: Final = 128 * 1024  # bytes one turn hands to the carrier; it pauses us at 64 KiB, so this bounds the overshoot
READ: Final = 256 * 1024  # bytes taken out of the inner TLS at once: what a socket delivers in one go

OnStream = Callable[[Stream, str], None]


class CloseReason(NamedTuple):
    """Why a circuit ended: a CircuitEnd and a short text."""

    code: int
    text: str


class Circuit:
    """One end of a circuit; made by `open_circuit` and `accept_circuit`.

    `closed` is a future that gets the CloseReason, `bytes_in` and `bytes_out` count the streams' payload,
    `peer` is whom the inner TLS proved. Everything is called on the event loop's thread.
    """

    def __init__(
        self, tls: ssl.SSLContext, *, initiator: bool, check_peer: Callable[[Peer], None],
        on_stream: OnStream | None = None,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_side=not initiator)
        self._plain = _read_buffer()
        self._mux = Mux(initiator=initiator, now=self._now())
        self._check_peer = check_peer
        self._on_stream = on_stream
        self._streams: dict[int, Stream] = {}
        self._carrier: Carrier | None = None
        self._paused = False  # the carrier's buffer is full
        self._flushing = False  # a flush is scheduled
        self._shaken = False  # the inner handshake is done
        self._heard = self._said = self._now()
        self._timer: asyncio.TimerHandle | None = None
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[CloseReason] = self._loop.create_future()
        self.peer: Peer | None = None
        self.bytes_in = 0
        self.bytes_out = 0

    # For users

    @property
    def is_open(self) -> bool:
        """Whether streams can be opened or are coming."""
        return self._shaken and not self.closed.done()

    @property
    def rtt(self) -> float | None:
        """The latest round trip to the other end in seconds; None until the first answer."""
        return self._mux.rtt

    @property
    def streams(self) -> int:
        """How many streams are alive."""
        return len(self._streams)

    def open_stream(self, service_id: str, protocol: asyncio.Protocol) -> Stream:
        """Open a stream to a service; data may be written at once, in connection_made or after.

        Whether the agent allows it and the target answers shows later, as a StreamReset. Unavailable("circuit_closed")
        when the circuit is gone, ("too_many_streams") when MAX_STREAMS are open.
        """
        if not self.is_open:
            raise Unavailable("circuit_closed", "the connection to the device was lost")
        try:
            ident = self._mux.open(service_id, self._now())
        except Misuse as error:
            raise Unavailable("too_many_streams", str(error)) from error
        stream = self._streams[ident] = Stream(self, ident, service_id, protocol)
        self._flush_soon()
        protocol.connection_made(stream)
        return stream

    def close(self, code: int = CircuitEnd.NORMAL, text: str = "") -> None:
        """End the circuit; the other end is told the reason, streams end with StreamReset(CLOSED)."""
        if self.closed.done():
            return
        if self._shaken:
            self._mux.go_away(code, text)
            self._flush(last=True)
        self._end(CloseReason(code, text))

    # What streams call

    def send(self, stream: Stream, data: bytes | bytearray | memoryview) -> None:
        """Queue `data` of a stream."""
        if self.closed.done():
            return
        try:
            queued = self._mux.write(stream.id, data)
        except Misuse as error:
            stream.reset(StreamError.LIMIT, str(error))
            return
        self.bytes_out += len(data)
        if not self._flushing:
            self._flush_soon()
        if queued > stream.high_water:
            stream.check_writer()

    def finish(self, stream: Stream) -> None:
        """FIN after what is queued."""
        self._mux.finish(stream.id)
        self._flush_soon()

    def reset(self, stream: Stream, code: int, text: str) -> None:
        """RESET now."""
        self._mux.reset(stream.id, code, text)
        self._flush_soon()

    def pending(self, stream: Stream) -> int:
        """Bytes queued and not handed to the carrier."""
        return self._mux.pending(stream.id)

    def consumed(self, stream: Stream, count: int) -> None:
        """`count` bytes were delivered."""
        mux = self._mux
        mux.consumed(stream.id, count, self._now())
        if not self._flushing and mux.wants_write:
            self._flush_soon()

    def forget(self, stream: Stream) -> None:
        """The stream is over."""
        self._streams.pop(stream.id, None)

    # What the carrier calls

    def carrier_data(self, data: bytes | memoryview) -> None:
        """Inner TLS records arrived, in any pieces."""
        if self.closed.done():
            return
        self._heard = self._now()
        self._incoming.write(data)
        try:
            if not self._shaken and not self._shake():
                return
            self._read()
        except ssl.SSLError as error:
            self._tls_failed(error)
        except ProtocolError as error:
            self._flush(last=True)
            self._end(CloseReason(CircuitEnd.PROTOCOL, str(error)))

    def carrier_message(self, text: str) -> None:
        """Never called in stream mode."""

    def carrier_closed(self, exc: Exception | None) -> None:
        """The carrier is gone, and the circuit with it."""
        text = str(exc or "closed")
        if isinstance(exc, CarrierClosed) and exc.reason.isidentifier():
            # The relay gives a word for machines: agent_timeout, agent_refused, cut_...
            text = exc.reason
            if not self.ready.done():
                kind = Refused if exc.code == CloseCode.POLICY else Unavailable
                self._not_ready(kind(text, "the relay ended the circuit before it was up"))
        self._end(CloseReason(CircuitEnd.CARRIER, text))

    def carrier_pause(self) -> None:
        """The carrier's buffer is full: what is written waits in its streams, where turns are fair."""
        self._paused = True

    def carrier_resume(self) -> None:
        """The carrier takes more."""
        self._paused = False
        self._flush_soon()

    # Inside

    def start(self, carrier: Carrier) -> None:
        """The carrier is open: begin the inner handshake."""
        self._carrier = carrier
        if not self.closed.done():
            self._timer = self._loop.call_later(PING_SECONDS, self._tick)
            try:
                self._shake()
            except ssl.SSLError as error:
                self._tls_failed(error)

    def _shake(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_outgoing()
            return False
        certificate = self._tls.getpeercert(binary_form=True)
        try:
            if self._tls.version() != "TLSv1.3" or not certificate:
                raise Refused("wrong_peer", "the other end showed no certificate")
            peer = peer_identity(certificate)
            self._check_peer(peer)
        except PanelgateError as error:
            log.warning("circuit refused", reason=error.code, **error.facts)
            self._send_outgoing()
            self._end(CloseReason(CircuitEnd.TLS, error.message), error)
            return False
        self.peer = peer
        self._shaken = True
        self._mux.ping(self._now())
        self._flush_soon()
        if not self.ready.done():
            self.ready.set_result(None)
        return True

    def _read(self) -> None:
        """Decrypt all that arrived and act on it."""
        tls, plain, incoming = self._tls, self._plain, self._incoming
        more = True
        while more and not self.closed.done():
            size = 0
            try:
                # Looking whether anything is left is cheaper than the exception that would say so.
                while size < READ and (more := bool(incoming.pending or tls.pending())):
                    count = tls.read(READ - size, plain[size:])
                    size += cast("int", count)
                    if not count:
                        self._end(CloseReason(CircuitEnd.CARRIER, "the other end closed its TLS"))
                        return
            except ssl.SSLWantReadError:
                more = False
            if size:
                for event in self._mux.feed(plain[:size], self._now()):
                    self._act(event)
        if self._mux.wants_write and not self._flushing:
            self._flush_soon()

    def _act(self, event: Event) -> None:
        if self.closed.done():
            return  # a callback ended the circuit while its siblings' events were waiting
        if isinstance(event, Data):
            self.bytes_in += len(event.data)
            stream = self._streams.get(event.stream)
            if stream is None:
                self._mux.consumed(event.stream, len(event.data), self._now())
            else:
                stream.got_data(event.data)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Finished):
            if (stream := self._streams.get(event.stream)) is not None:
                stream.got_eof()
        elif isinstance(event, WasReset):
            if (stream := self._streams.get(event.stream)) is not None:
                stream.got_reset(StreamReset(event.code, event.text))
        elif isinstance(event, GoingAway):
            self._end(CloseReason(event.code, event.text))

    def _opened(self, event: Opened) -> None:
        stream = self._streams[event.stream] = Stream(self, event.stream, event.service, None)
        if self._on_stream is None:
            stream.reset(StreamError.REFUSED)
            return
        try:
            self._on_stream(stream, event.service)
        except Exception:
            log.exception("on_stream failed", service=event.service)
            stream.reset(StreamError.INTERNAL)

    def _flush_soon(self) -> None:
        if not self._flushing and not self.closed.done():
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self, *, last: bool = False) -> None:
        """Hand what the streams have to the carrier. `last` sends control frames even when the carrier is full."""
        self._flushing = False
        if self.closed.done() or not self._shaken or (self._paused and not last):
            return
        mux, write = self._mux, self._tls.write
        room = FLUSH
        try:
            while room > 0 and mux.wants_write:
                batch = mux.batch()
                if not batch:
                    break
                write(batch)
                room -= len(batch)
                if last:
                    break
        except ssl.SSLError as error:
            self._tls_failed(error)
            return
        if room == FLUSH:
            return
        self._said = self._now()
        self._send_outgoing()
        if last:
            return
        for ident in mux.drained():
            if (stream := self._streams.get(ident)) is not None and stream.waits_for_room:
                stream.check_writer()
        if mux.wants_write:
            self._flush_soon()

    def _send_outgoing(self) -> None:
        if self._outgoing.pending and self._carrier is not None:
            self._carrier.write(self._outgoing.read())

    def _tick(self) -> None:
        now = self._now()
        if now - self._heard > DEAD_SECONDS:
            self._end(CloseReason(CircuitEnd.DEAD, "nothing was heard for too long"))
            return
        if self._shaken and now - self._said >= PING_SECONDS:
            self._mux.ping(now)
            self._flush_soon()
        due = min(self._said + PING_SECONDS, self._heard + DEAD_SECONDS)
        self._timer = self._loop.call_later(max(due - now, 1.0), self._tick)

    def _tls_failed(self, error: ssl.SSLError) -> None:
        text = getattr(error, "verify_message", None) or error.reason or str(error)
        log.warning("circuit's TLS failed", reason=text)
        if self._outgoing.pending:  # the alert tells the other end why
            self._send_outgoing()
        self._end(CloseReason(CircuitEnd.TLS, str(text)))

    def _not_ready(self, error: Exception) -> None:
        self.ready.set_exception(error)
        self.ready.exception()  # marks it as seen: whoever waits still gets it, but maybe nobody waits any more

    def _end(self, reason: CloseReason, error: Exception | None = None) -> None:
        if self.closed.done():
            return
        self.closed.set_result(reason)
        if not self.ready.done():
            self._not_ready(error or Unavailable("circuit_failed", f"the circuit did not come up: {reason.text}"))
        if self._timer is not None:
            self._timer.cancel()
        if self._carrier is not None:
            if reason.code in (CircuitEnd.DEAD, CircuitEnd.CARRIER):
                self._carrier.abort()
            else:
                self._carrier.close()
        for stream in list(self._streams.values()):
            stream.got_reset(StreamReset(StreamError.CLOSED, f"circuit ended: {reason.text}"))


def _read_buffer() -> memoryview:
    """One buffer for all circuits: it is filled and emptied within one callback, and nothing keeps a view of it."""
    global _buffer  # noqa: PLW0603  # made on first use, so that roles without circuits don't pay for it
    if _buffer is None:
        _buffer = memoryview(bytearray(READ))
    return _buffer


_buffer: memoryview | None = None


def _expecting(role: Role, fingerprint: str, ident: str | None = None) -> Callable[[Peer], None]:
    def check(peer: Peer) -> None:
        if peer.role is not role or peer.fingerprint != fingerprint or (ident is not None and peer.id != ident):
            facts: dict[str, Iterable[str]] = {"peer": f"{peer.role}:{peer.id}", "fingerprint": peer.fingerprint}
            raise Refused("wrong_peer", "the other end of the circuit is somebody else", facts)

    return check


async def _come_up(
    circuit: Circuit, identity: Identity, relay_url: str, circuit_id: str, headers: dict[str, str], timeout: float
) -> Circuit:
    try:
        async with asyncio.timeout(timeout):
            circuit.start(
                await carriers.connect(
                    f"{relay_url.rstrip('/')}/v1/circuit/{circuit_id}",
                    ssl=identity.client_context(),
                    headers=headers,
                    protocol=circuit,
                    timeout=timeout,
                )
            )
            await circuit.ready
    except TimeoutError:
        circuit.close(CircuitEnd.HANDSHAKE, "timeout")
        raise Unavailable("circuit_timeout", "the circuit did not come up in time") from None
    except BaseException:
        circuit.close(CircuitEnd.HANDSHAKE, "failed")
        raise
    return circuit


async def open_circuit(
    *, relay_url: str, circuit_id: str, ticket: str, identity: Identity, agent_id: str, agent_fingerprint: str,
    timeout: float,
) -> Circuit:  # fmt: skip
    """The web proxy's end, within `timeout` seconds: dial the relay with the ticket, meet the agent in inner TLS.

    Refused and Unavailable as the relay says, or ("wrong_peer"), ("circuit_failed"), ("circuit_timeout").
    """
    circuit = Circuit(
        identity.circuit_context(server=False), initiator=True,
        check_peer=_expecting(Role.AGENT, agent_fingerprint, agent_id),
    )  # fmt: skip
    return await _come_up(circuit, identity, relay_url, circuit_id, {TICKET_HEADER: ticket}, timeout)


async def accept_circuit(
    *, relay_url: str, circuit_id: str, join: str, identity: Identity, webproxy_fingerprint: str, on_stream: OnStream,
    timeout: float,
) -> Circuit:  # fmt: skip
    """The agent's end, within `timeout` seconds: dial back with the one-time `join`, meet the web proxy in inner TLS.

    `on_stream(stream, service_id)` is called for each stream that is opened; it decides, and sets a protocol at once or
    later (what arrives meanwhile waits), or calls `stream.reset`. Errors as `open_circuit`.
    """
    circuit = Circuit(
        identity.circuit_context(server=True), initiator=False, on_stream=on_stream,
        check_peer=_expecting(Role.WEBPROXY, webproxy_fingerprint),
    )  # fmt: skip
    return await _come_up(circuit, identity, relay_url, circuit_id, {JOIN_HEADER: join}, timeout)
