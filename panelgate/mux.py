"""Many byte streams in one: the multiplexer inside a circuit. Bytes in, events and bytes out; no I/O.

The rules of a stream, seen from either end, are the table below. A missing entry is the error: for RECV_* the other
side broke the protocol, for SEND_* we did. The initiator (the web proxy) opens streams with odd ids that only grow.

A stream is forgotten in CLOSED: each side has then sent FIN or RESET. What may still be in flight for a forgotten
stream is CREDIT and RESET, which are ignored; DATA or FIN for it is an error.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from panelgate import frames
from panelgate.frames import CircuitEnd, FrameReader, Kind, ProtocolError, StreamError


class State(IntEnum):
    """Of one stream, at one end."""

    IDLE = 0
    OPEN = 1
    SENT_FIN = 2  # we will send no more
    GOT_FIN = 3  # they will send no more
    SENT_RESET = 4  # we gave up; what they had already sent is dropped until their FIN or RESET
    CLOSED = 5


class Act(IntEnum):
    """What happens to a stream."""

    SEND_OPEN = 0
    SEND_DATA = 1
    SEND_CREDIT = 2
    SEND_FIN = 3
    SEND_RESET = 4
    RECV_OPEN = 5
    RECV_DATA = 6
    RECV_CREDIT = 7
    RECV_FIN = 8
    RECV_RESET = 9


TABLE: Final[dict[State, dict[Act, State]]] = {
    State.IDLE: {Act.SEND_OPEN: State.OPEN, Act.RECV_OPEN: State.OPEN},
    State.OPEN: {
        Act.SEND_DATA: State.OPEN,
        Act.SEND_CREDIT: State.OPEN,
        Act.SEND_FIN: State.SENT_FIN,
        Act.SEND_RESET: State.SENT_RESET,
        Act.RECV_DATA: State.OPEN,
        Act.RECV_CREDIT: State.OPEN,
        Act.RECV_FIN: State.GOT_FIN,
        Act.RECV_RESET: State.CLOSED,  # and it is answered with a RESET
    },
    State.SENT_FIN: {
        Act.SEND_CREDIT: State.SENT_FIN,
        Act.SEND_RESET: State.SENT_RESET,
        Act.RECV_DATA: State.SENT_FIN,
        Act.RECV_CREDIT: State.SENT_FIN,
        Act.RECV_FIN: State.CLOSED,
        Act.RECV_RESET: State.CLOSED,
    },
    State.GOT_FIN: {
        Act.SEND_DATA: State.GOT_FIN,
        Act.SEND_FIN: State.CLOSED,
        Act.SEND_RESET: State.CLOSED,
        Act.RECV_CREDIT: State.GOT_FIN,
        Act.RECV_RESET: State.CLOSED,  # and it is answered with a RESET
    },
    State.SENT_RESET: {
        Act.RECV_DATA: State.SENT_RESET,
        Act.RECV_CREDIT: State.SENT_RESET,
        Act.RECV_FIN: State.CLOSED,
        Act.RECV_RESET: State.CLOSED,
    },
    State.CLOSED: {},
}

WINDOW: Final = 256 * 1024  # what each stream may send before the first CREDIT
MAX_WINDOW: Final = 4 * 1024 * 1024  # 400 Mbit/s at 80 ms; one stream needs no more to fill any plant's line
GROWTH: Final = 16 * 1024 * 1024  # bytes by which all windows of a circuit together may outgrow WINDOW
RTT_SLACK: Final = 0.005  # s; what event loops on the way add to the line's round trip before a credit is back
MAX_STREAMS: Final = 256  # a browser opens 6 connections a host, and at most 255 WebSockets
MAX_PENDING: Final = 16 * 1024 * 1024  # bytes one writer may queue; more means it ignores pause_writing
MAX_UNREAD: Final = 32 * 1024 * 1024  # bytes received and not consumed in a circuit; half of an agent's 64 MiB
MAX_CONTROL: Final = 256 * 1024  # bytes of queued control frames; an honest peer never makes us queue so many
MAX_BATCH: Final = 64 * 1024  # one record: at 256 KiB a stream ran at 360 instead of 922 MB/s
QUANTUM: Final = 16 * 1024  # a stream's turn while one waits that has just begun: one TLS record
LONG_TURN: Final = 64 * 1024  # a turn when only long ones wait: a batch, as every turn costs a write at the far end
MIN_ROOM: Final = 1024  # a batch with less room than this goes out as it is: small frames are dear
RTT_MEMORY: Final = 300.0  # s; the smallest round trip counts so long: with less, our own queues pass for the line's
PING_AGAIN: Final = 5.0  # s; an unanswered PING is forgotten after this
RTT_EVERY: Final = 1.0  # s; how often a busy receiver measures the round trip
_PING: Final = struct.Struct(">Q")


class Opened(NamedTuple):
    """The other side opened a stream to `service`."""

    stream: int
    service: str


class Data(NamedTuple):
    """Bytes arrived; say `consumed` when they are worked off."""

    stream: int
    data: bytes


class Finished(NamedTuple):
    """The other side will send no more."""

    stream: int


class WasReset(NamedTuple):
    """The other side ended the stream early; nothing more can be sent or will come."""

    stream: int
    code: int
    text: str


class GoingAway(NamedTuple):
    """The other side ends the circuit."""

    code: int
    text: str


Event = Opened | Data | Finished | WasReset | GoingAway


class Misuse(Exception):
    """We asked the multiplexer for something the state of the stream doesn't allow: a bug of ours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes tests make small; `max_window` in bytes, as all of them."""

    window: int = WINDOW
    max_window: int = MAX_WINDOW
    growth: int = GROWTH
    streams: int = MAX_STREAMS
    pending: int = MAX_PENDING
    unread: int = MAX_UNREAD
    control: int = MAX_CONTROL


class _Stream:
    __slots__ = (
        "credit", "epoch", "finishing", "granted", "id", "measured", "owed", "pending", "pending_size", "queued",
        "rules", "state", "unread", "window",
    )  # fmt: skip

    def __init__(self, ident: int, window: int, state: State, now: float) -> None:
        self.id = ident
        self.state = state
        self.rules = TABLE[state]
        self.credit = window  # INVARIANT: what we may still send; never below 0
        self.pending: deque[bytes | memoryview] = deque()
        self.pending_size = 0
        self.finishing = False  # FIN follows the pending bytes
        self.queued = False  # waits for its turn in one of the two rings
        self.granted = window  # INVARIANT: what they may still send; never below 0
        self.window = window  # INVARIANT: granted + unread + owed == window, but after a RESET
        self.unread = 0  # received and not consumed
        self.owed = 0  # consumed and not credited
        self.epoch = now  # since when `measured` bytes were consumed
        self.measured = 0


class Mux:
    """One end of a circuit's multiplexer.

    Feed it what arrives, take from `batch` what is to be sent; times are seconds of any steady clock.
    After a ProtocolError only `batch` is of use: it holds the GOAWAY that says why.
    """

    def __init__(self, *, initiator: bool, now: float = 0.0, limits: Limits | None = None) -> None:
        self._initiator = initiator
        self._limits = limits or Limits()
        self._reader = FrameReader()
        self._streams: dict[int, _Stream] = {}
        self._last = -1  # the highest stream id that was opened; ids are odd
        self._control: list[bytes | memoryview] = [frames.hello()]
        self._control_size = len(self._control[0])
        self._fresh: deque[_Stream] = deque()  # streams that had nothing to send a moment ago: they go first
        self._ready: deque[_Stream] = deque()  # streams in the middle of something long: they take turns
        self._turns = 0  # every fourth turn is a long stream's, so that short ones can't starve it
        self._drained: list[int] = []
        self._rest: dict[int, int] = {}  # bytes that closed streams' readers still hold
        self._pong: bytes | None = None
        self._going = False
        self._growth = 0
        self._unread = 0
        self._line: float | None = None  # s; the smallest round trip of late
        self._line_at = now
        self._pinged: float | None = None
        self._ping_number = 0
        self._last_rtt = now
        self.version: int | None = None  # known when the other side's HELLO is here
        self.rtt: float | None = None  # s; the latest measurement

    # What is asked of it

    def open(self, service: str, now: float) -> int:
        """Open a stream to `service`; its id. Data may be written at once. Misuse when there are too many."""
        if not self._initiator:
            raise Misuse("only the initiator opens streams")
        if self._going:
            raise Misuse("the circuit is ending")
        if len(self._streams) >= self._limits.streams:
            raise Misuse("too many streams")
        name = service.encode()
        if not 0 < len(name) <= frames.MAX_SERVICE:
            raise Misuse("impossible service id")
        self._last += 2
        self._streams[self._last] = _Stream(self._last, self._limits.window, State.OPEN, now)
        self._say(frames.encode(Kind.OPEN, self._last, name))
        return self._last

    def write(self, stream: int, data: bytes | bytearray | memoryview) -> int:
        """Queue `data`; how many bytes of the stream are queued then.

        Misuse when the stream is finished, reset or unknown, or when too much is queued."""
        s = self._streams.get(stream)
        if s is None or s.finishing or Act.SEND_DATA not in s.rules:
            raise Misuse("write to a stream that is finished")
        size = len(data)
        if not size:
            return s.pending_size
        if s.pending_size + size > self._limits.pending:
            raise Misuse(f"more than {self._limits.pending} bytes queued")
        # A caller may reuse a bytearray; bytes never change.
        s.pending.append(data if isinstance(data, bytes) else bytes(data))
        s.pending_size += size
        if not s.queued and s.credit:
            s.queued = True
            self._fresh.append(s)
        return s.pending_size

    def finish(self, stream: int) -> None:
        """Half-close: FIN after what is queued. Saying it twice is no error, saying it after a reset is none either."""
        s = self._streams.get(stream)
        if s is None or s.finishing or Act.SEND_FIN not in s.rules:
            return
        if s.pending_size:
            s.finishing = True
        else:
            self._send_fin(s)

    def reset(self, stream: int, code: int, text: str = "") -> None:
        """Give the stream up in both directions; what is queued is dropped. Nothing happens when it is over already."""
        s = self._streams.get(stream)
        if s is None or Act.SEND_RESET not in s.rules:
            return
        self._drop(s)
        self._say(frames.reason(Kind.RESET, stream, code, text))
        self._move(s, Act.SEND_RESET)

    def consumed(self, stream: int, count: int, now: float) -> None:
        """`count` received bytes are worked off: the other side may send as many again."""
        s = self._streams.get(stream)
        if s is None:
            self._rest_consumed(stream, count)
            return
        if s.unread < count:
            if Act.SEND_RESET in s.rules:
                raise Misuse("consumed more than was received")
            return
        s.unread -= count
        self._unread -= count
        s.owed += count
        s.measured += count
        if s.owed * 2 >= s.window and Act.SEND_CREDIT in s.rules:
            extra = self._growth_for(s, now)
            s.window += extra
            s.granted += s.owed + extra
            self._say(frames.credit(stream, s.owed + extra))
            s.owed = 0

    def ping(self, now: float) -> None:
        """Say that we are here and measure the round trip, unless a measurement has just begun.

        An answer may hang behind half a minute of data on a slow line: what matters then is to be heard.
        """
        if self._pinged is None or now - self._pinged > PING_AGAIN:
            self._pinged = now
            self._ping_number += 1
            self._say(frames.encode(Kind.PING, 0, _PING.pack(self._ping_number)))

    def go_away(self, code: int, text: str = "") -> None:
        """Say why the circuit ends; nothing else should be sent after it."""
        if not self._going:
            self._going = True
            self._say(frames.reason(Kind.GOAWAY, 0, code, text))

    # What it answers

    @property
    def streams(self) -> int:
        """How many streams are not closed."""
        return len(self._streams)

    @property
    def wants_write(self) -> bool:
        """Whether `batch` has something to give."""
        return bool(self._control or self._fresh or self._ready or self._pong)

    def pending(self, stream: int) -> int:
        """How many queued bytes of a stream have not left."""
        s = self._streams.get(stream)
        return 0 if s is None else s.pending_size

    def state(self, stream: int) -> State:
        """The state of a stream; CLOSED for a forgotten one, IDLE for one that never was."""
        s = self._streams.get(stream)
        if s is not None:
            return s.state
        return State.CLOSED if 0 < stream <= self._last and stream % 2 else State.IDLE

    def drained(self) -> list[int]:
        """The streams whose queue became shorter since the last call."""
        drained, self._drained = self._drained, []
        return drained

    def batch(self, limit: int = MAX_BATCH) -> bytes:
        """The next bytes to send, about `limit` of them at most: control frames first, then streams in turns."""
        parts = self._control
        room = limit - self._control_size
        self._control, self._control_size = [], 0
        if self._pong is not None:
            parts.append(self._pong)
            self._pong = None
        fresh, ready = self._fresh, self._ready
        while room > MIN_ROOM and (fresh or ready):
            self._turns += 1
            s = fresh.popleft() if fresh and (not ready or self._turns & 3) else ready.popleft()
            turn = QUANTUM if fresh else LONG_TURN if ready else frames.MAX_DATA
            count = min(s.pending_size, s.credit, turn, room - frames.HEADER_SIZE)
            parts.append(frames.data_header(s.id, count))
            room -= count + frames.HEADER_SIZE
            self._take(s, count, parts)
            self._drained.append(s.id)
            if s.pending_size and s.credit:
                ready.append(s)
                continue
            s.queued = False
            if s.finishing and not s.pending_size:
                parts.append(frames.encode(Kind.FIN, s.id))
                self._move(s, Act.SEND_FIN)
        return b"".join(parts)

    def feed(self, data: bytes | memoryview, now: float) -> list[Event]:
        """What `data` from the other side means, in order. ProtocolError when it broke the rules."""
        try:
            events = self._understand(self._reader.feed(data), now)
            if self._control_size > self._limits.control:
                raise ProtocolError("the other side makes us answer more than it reads")
            return events
        except ProtocolError as error:
            self.go_away(CircuitEnd.PROTOCOL, str(error))
            raise

    # How it works

    def _understand(self, arrived: list[frames.Frame], now: float) -> list[Event]:
        events: list[Event] = []
        if self.version is None and arrived:
            if arrived[0].kind != Kind.HELLO:
                raise ProtocolError("the first frame is not HELLO")
            self.version = frames.common_version(*frames.parse_hello(arrived[0].payload))
            del arrived[0]
        for kind, ident, payload in arrived:
            if kind == 3 and (s := self._streams.get(ident)) is not None:  # Kind.DATA, the hot path
                self._got_data(s, payload, events)
            elif ident:
                self._got_stream_frame(kind, ident, payload, events, now)
            else:
                self._got_circuit_frame(kind, payload, events, now)
        return events

    def _got_data(self, s: _Stream, payload: bytes, events: list[Event]) -> None:
        if Act.RECV_DATA not in s.rules:
            raise ProtocolError(f"DATA for a stream in state {s.state.name}")
        size = len(payload)
        s.granted -= size
        if s.granted < 0:
            raise ProtocolError("more data than was granted")
        if s.state is State.SENT_RESET:
            return
        s.unread += size
        self._unread += size
        if self._unread > self._limits.unread:
            self.reset(s.id, StreamError.LIMIT, "too much unread data in the circuit")
            events.append(WasReset(s.id, StreamError.LIMIT, "too much unread data in the circuit"))
            return
        events.append(Data(s.id, payload))

    def _got_stream_frame(self, kind: int, ident: int, payload: bytes, events: list[Event], now: float) -> None:
        if kind == Kind.OPEN:
            self._got_open(ident, payload, events, now)
            return
        if kind >= frames.IGNORABLE:
            return
        s = self._streams.get(ident)
        if s is None:
            if ident > self._last or not ident % 2 or kind not in (Kind.CREDIT, Kind.RESET):
                raise ProtocolError(f"{Kind(kind).name} for a stream that isn't there")
            return
        if kind == Kind.CREDIT:
            self._expect(s, Act.RECV_CREDIT)
            s.credit += frames.parse_credit(payload)
            if s.credit > 0x7FFFFFFF:
                raise ProtocolError("more credit than anybody needs")
            if s.pending_size and not s.queued:
                s.queued = True
                self._fresh.append(s)
        elif kind == Kind.FIN:
            silent = s.state is State.SENT_RESET
            self._expect(s, Act.RECV_FIN)
            self._move(s, Act.RECV_FIN)
            if not silent:
                events.append(Finished(ident))
        else:
            self._got_reset(s, payload, events)

    def _got_reset(self, s: _Stream, payload: bytes, events: list[Event]) -> None:
        before = s.state
        self._expect(s, Act.RECV_RESET)
        self._drop(s)
        self._move(s, Act.RECV_RESET)
        if before in (State.OPEN, State.GOT_FIN):
            self._say(frames.reason(Kind.RESET, s.id, StreamError.CLOSED, ""))
        if before is not State.SENT_RESET:
            events.append(WasReset(s.id, *frames.parse_reason(payload)))

    def _got_open(self, ident: int, payload: bytes, events: list[Event], now: float) -> None:
        if self._initiator:
            raise ProtocolError("only the initiator opens streams")
        if not ident % 2 or ident <= self._last:
            raise ProtocolError(f"OPEN with stream id {ident}")
        service = frames.parse_text(payload)
        self._last = ident
        s = self._streams[ident] = _Stream(ident, self._limits.window, State.OPEN, now)
        if len(self._streams) + len(self._rest) > self._limits.streams:
            # Twice the limit can't be a misunderstanding: what we refused and they have not yet closed counts as well.
            if len(self._streams) > 2 * self._limits.streams:
                raise ProtocolError("too many streams")
            self.reset(s.id, StreamError.LIMIT, "too many streams")
            return
        events.append(Opened(ident, service))

    def _got_circuit_frame(self, kind: int, payload: bytes, events: list[Event], now: float) -> None:
        if kind == Kind.PING:
            self._pong = frames.encode(Kind.PONG, 0, payload)  # an older unsent answer is of no use any more
        elif kind == Kind.PONG:
            if self._pinged is not None and payload == _PING.pack(self._ping_number):
                self.rtt = now - self._pinged
                if self._line is None or self.rtt <= self._line or now - self._line_at > RTT_MEMORY:
                    self._line, self._line_at = self.rtt, now
                self._pinged = None
                self._last_rtt = now
        elif kind == Kind.GOAWAY:
            events.append(GoingAway(*frames.parse_reason(payload)))
        elif kind == Kind.HELLO:
            raise ProtocolError("a second HELLO")

    def _growth_for(self, s: _Stream, now: float) -> int:
        """By how much a window should grow: to twice the bandwidth-delay product of what was just measured.

        A window that limits the stream shows a product as large as itself, so it doubles until the line is the limit.
        The round trip is the smallest of late: the latest includes the queues that large windows make.
        """
        elapsed = now - s.epoch
        rate = s.measured / elapsed if elapsed > 0 else 0.0
        s.epoch, s.measured = now, 0
        if now - self._last_rtt > RTT_EVERY:
            self.ping(now)
        if self._line is None or s.window >= self._limits.max_window:
            return 0
        wanted = int(2 * rate * (self._line + RTT_SLACK))
        extra = min(wanted, self._limits.max_window, 2 * s.window) - s.window
        extra = max(0, min(extra, self._limits.growth - self._growth))
        self._growth += extra
        return extra

    def _take(self, s: _Stream, count: int, parts: list[bytes | memoryview]) -> None:
        """Move `count` pending bytes of `s` into `parts` without copying them."""
        s.credit -= count
        s.pending_size -= count
        pending = s.pending
        while count:
            piece = pending.popleft()
            if len(piece) > count:
                view = memoryview(piece)
                parts.append(view[:count])
                pending.appendleft(view[count:])
                return
            parts.append(piece)
            count -= len(piece)

    def _send_fin(self, s: _Stream) -> None:
        self._say(frames.encode(Kind.FIN, s.id))
        self._move(s, Act.SEND_FIN)

    def _drop(self, s: _Stream) -> None:
        """Forget what is queued to send."""
        s.pending.clear()
        s.pending_size = 0
        s.finishing = False
        if s.queued:
            s.queued = False
            ring = self._fresh if s in self._fresh else self._ready
            ring.remove(s)

    def _expect(self, s: _Stream, act: Act) -> None:
        if act not in s.rules:
            raise ProtocolError(f"{act.name[5:]} for a stream in state {s.state.name}")

    def _move(self, s: _Stream, act: Act) -> None:
        whole = s.state is State.GOT_FIN  # all they meant to send is here
        s.state = s.rules[act]
        s.rules = TABLE[s.state]
        if act is Act.SEND_RESET or (act is Act.RECV_RESET and not whole):
            self._unread -= s.unread  # nobody will read it
            s.unread = 0
        if s.state is State.CLOSED:
            self._growth -= s.window - self._limits.window
            del self._streams[s.id]
            if s.unread:
                self._rest[s.id] = s.unread

    def _rest_consumed(self, stream: int, count: int) -> None:
        left = self._rest.pop(stream, 0)
        self._unread -= min(count, left)
        if left > count:
            self._rest[stream] = left - count

    def _say(self, frame: bytes) -> None:
        self._control.append(frame)
        self._control_size += len(frame)
