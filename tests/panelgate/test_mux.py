"""Two multiplexers joined by lists of bytes; no socket, no clock."""

import contextlib
import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panelgate import frames, mux
from panelgate.frames import CircuitEnd, Kind, ProtocolError, StreamError
from panelgate.mux import Data, Event, Finished, GoingAway, Limits, Misuse, Mux, Opened, State, WasReset

SMALL = Limits(window=1000, max_window=4000, growth=4000, streams=4, pending=5000, unread=3000, control=2000)


class Pair:
    """An initiator `a` and an acceptor `b`; bytes travel when told to, in whatever pieces."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.a = Mux(initiator=True, limits=limits)
        self.b = Mux(initiator=False, limits=limits)
        self.wire = {self.a: b"", self.b: b""}  # by sender
        self.now = 0.0

    def other(self, end: Mux) -> Mux:
        return self.b if end is self.a else self.a

    def send(self, end: Mux) -> None:
        while end.wants_write and (batch := end.batch()):
            self.wire[end] += batch

    def arrive(self, sender: Mux, count: int | None = None) -> list[Event]:
        raw = self.wire[sender]
        count = len(raw) if count is None else count
        self.wire[sender] = raw[count:]
        return self.other(sender).feed(raw[:count], self.now)

    def over(self, sender: Mux) -> list[Event]:
        """Send all that waits and let it arrive."""
        self.send(sender)
        return self.arrive(sender)

    def settle(self) -> list[Event]:
        """Carry bytes both ways until nothing moves; all events, in order."""
        events: list[Event] = []
        while self.a.wants_write or self.b.wants_write or any(self.wire.values()):
            events += self.over(self.a) + self.over(self.b)
        return events


def opened(limits: Limits | None = None) -> tuple[Pair, int]:
    pair = Pair(limits)
    stream = pair.a.open("service", 0.0)
    assert pair.settle() == [Opened(stream, "service")]
    return pair, stream


def text(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data))


def test_data_follows_open_at_once() -> None:
    pair = Pair()
    stream = pair.a.open("hmi", 0.0)
    pair.a.write(stream, b"GET / HTTP/1.1\r\n\r\n")
    assert pair.over(pair.a) == [Opened(1, "hmi"), Data(1, b"GET / HTTP/1.1\r\n\r\n")]


def test_half_close_in_both_directions_forgets_the_stream() -> None:
    pair, stream = opened()
    pair.a.write(stream, b"question")
    pair.a.finish(stream)
    pair.a.finish(stream)
    assert pair.over(pair.a) == [Data(stream, b"question"), Finished(stream)]
    assert (pair.a.state(stream), pair.b.state(stream)) == (State.SENT_FIN, State.GOT_FIN)
    pair.b.consumed(stream, 8, 0.0)
    pair.b.write(stream, b"answer")
    pair.b.finish(stream)
    assert pair.over(pair.b) == [Data(stream, b"answer"), Finished(stream)]
    assert pair.a.streams == pair.b.streams == 0
    assert pair.a.state(stream) is State.CLOSED
    assert pair.a.state(stream + 2) is State.IDLE


def test_writing_after_the_end_is_our_mistake() -> None:
    pair, stream = opened()
    pair.a.finish(stream)
    for ended in (stream, 99):
        with pytest.raises(Misuse):
            pair.a.write(ended, b"x")


def test_finish_waits_for_what_is_queued() -> None:
    pair, stream = opened(SMALL)
    pair.a.write(stream, b"x" * 1500)
    pair.a.finish(stream)
    events = pair.over(pair.a)
    assert len(text(events)) == 1000
    assert Finished(stream) not in events
    pair.b.consumed(stream, 1000, 0.0)
    assert Finished(stream) in pair.settle()


def test_a_sender_stops_at_its_credit_and_goes_on_at_half_a_window() -> None:
    pair, stream = opened(SMALL)
    pair.a.write(stream, b"x" * 2500)
    assert len(text(pair.settle())) == 1000
    assert pair.a.pending(stream) == 1500
    pair.b.consumed(stream, 499, 0.0)
    assert pair.settle() == []
    pair.b.consumed(stream, 1, 0.0)
    assert len(text(pair.settle())) == 500


def test_an_over_sending_peer_is_cut() -> None:
    pair, stream = opened(SMALL)
    raw = frames.encode(Kind.DATA, stream, b"x" * 1001)
    with pytest.raises(ProtocolError, match="more data than was granted"):
        pair.b.feed(raw, 0.0)
    assert pair.over(pair.b) == [GoingAway(CircuitEnd.PROTOCOL, "more data than was granted")]


def test_a_slow_reader_slows_only_its_own_stream() -> None:
    pair, slow = opened(SMALL)
    quick = pair.a.open("quick", 0.0)
    pair.a.write(slow, b"s" * 4000)
    pair.settle()
    for _ in range(20):
        pair.a.write(quick, b"q" * 500)
        events = pair.settle()
        assert {event.stream for event in events if isinstance(event, Data)} == {quick}
        pair.b.consumed(quick, len(text(events)), 0.0)
    assert pair.a.pending(slow) == 3000


def test_short_messages_overtake_long_ones() -> None:
    pair, bulk = opened()
    small = pair.a.open("small", 0.0)
    pair.a.write(bulk, b"b" * 200_000)
    pair.b.feed(pair.a.batch(), 0.0)
    pair.a.write(small, b"ping")
    arrived = [event.stream for event in pair.b.feed(pair.a.batch(), 0.0) if isinstance(event, Data)]
    assert arrived[:2] == [small, bulk]


def test_long_streams_take_turns_of_one_batch_and_are_not_starved() -> None:
    pair = Pair()
    streams = [pair.a.open("bulk", 0.0) for _ in range(4)]
    for stream in streams:
        pair.a.write(stream, b"x" * 100_000)
    counts: dict[int, int] = defaultdict(int)
    for _ in range(1 + len(streams)):
        for event in pair.b.feed(pair.a.batch(), 0.0):
            if isinstance(event, Data):
                counts[event.stream] += len(event.data)
    # The first batch has a record of each, since all are fresh then; from there on a batch is one stream's.
    assert set(counts) == set(streams)
    assert max(counts.values()) <= 2 * mux.QUANTUM + mux.LONG_TURN
    assert min(counts.values()) >= 3 * mux.QUANTUM
    # Somebody who always has a fresh short message doesn't keep the long ones from going on.
    served = set()
    for _ in range(16):
        fresh = [pair.a.open("fresh", 0.0) for _ in range(8)]
        for stream in fresh:
            pair.a.write(stream, b"y" * mux.QUANTUM)
        served |= {event.stream for event in pair.b.feed(pair.a.batch(), 0.0) if isinstance(event, Data)}
    assert served >= set(streams)


def test_reset_drops_what_is_queued_and_is_answered() -> None:
    pair, stream = opened()
    pair.a.write(stream, b"never sent")
    pair.b.write(stream, b"in flight")
    pair.a.reset(stream, StreamError.CLOSED, "enough")
    assert not pair.a.pending(stream)
    assert pair.over(pair.b) == []  # what was in flight is dropped
    assert pair.a.state(stream) is State.SENT_RESET
    assert pair.over(pair.a) == [WasReset(stream, StreamError.CLOSED, "enough")]
    assert pair.over(pair.b) == []
    assert pair.a.streams == pair.b.streams == 0
    pair.a.reset(stream, StreamError.CLOSED)
    assert not pair.a.wants_write


def test_crossing_resets_and_a_late_credit_are_no_errors() -> None:
    pair, stream = opened(SMALL)
    pair.b.write(stream, b"x" * 600)
    pair.settle()
    pair.a.reset(stream, StreamError.CLOSED)
    pair.b.reset(stream, StreamError.TIMEOUT)
    assert pair.settle() == []
    pair, stream = opened(SMALL)
    pair.a.write(stream, b"x" * 600)
    pair.a.finish(stream)
    pair.b.feed(b"", 0.0)
    pair.send(pair.a)
    pair.arrive(pair.a, len(pair.wire[pair.a]) - 8)  # all but the FIN
    pair.b.finish(stream)
    pair.b.consumed(stream, 600, 0.0)
    assert pair.over(pair.b) == [Finished(stream)]  # the CREDIT behind the FIN is for a stream that is forgotten
    assert pair.settle() == [Finished(stream)]


def test_a_reset_after_fin_keeps_what_came_before_it() -> None:
    pair, stream = opened(SMALL)
    pair.a.write(stream, b"last words")
    pair.a.finish(stream)
    pair.send(pair.a)
    pair.a.reset(stream, StreamError.CLOSED)
    assert pair.over(pair.a)[-2:] == [Finished(stream), WasReset(stream, StreamError.CLOSED, "")]
    assert pair.b._unread == 10
    pair.b.consumed(stream, 4, 0.0)
    pair.b.consumed(stream, 6, 0.0)
    assert pair.b._unread == 0


def test_too_many_streams_are_refused_singly() -> None:
    pair = Pair(SMALL)
    for _ in range(4):
        pair.a.open("x", 0.0)
    with pytest.raises(Misuse, match="too many streams"):
        pair.a.open("x", 0.0)
    pair.settle()
    assert pair.b.feed(frames.encode(Kind.OPEN, 9, b"x"), 0.0) == []
    assert pair.b.state(9) is State.SENT_RESET


def test_a_flood_of_opens_is_cut() -> None:
    pair = Pair(SMALL)
    pair.settle()
    with pytest.raises(ProtocolError, match="too many streams"):
        pair.b.feed(b"".join(frames.encode(Kind.OPEN, 1 + 2 * n, b"x") for n in range(9)), 0.0)


def test_unread_bytes_of_a_circuit_are_limited() -> None:
    pair = Pair(SMALL)
    streams = [pair.a.open("x", 0.0) for _ in range(4)]
    for stream in streams:
        pair.a.write(stream, b"x" * 1000)
    events = pair.settle()
    resets = [event for event in events if isinstance(event, WasReset)]
    assert [event.code for event in resets] == [StreamError.LIMIT] * 2  # at the one that read nothing, and at its peer
    assert pair.b._unread == 3000


def test_a_writer_that_ignores_the_limit_is_told() -> None:
    pair, stream = opened(SMALL)
    with pytest.raises(Misuse, match="queued"):
        pair.a.write(stream, b"x" * 5001)


def test_a_peer_that_makes_us_answer_and_never_reads_is_cut() -> None:
    pair = Pair(SMALL)
    pair.settle()
    attack = b"".join(
        frames.encode(Kind.OPEN, 1 + 2 * n, b"x") + frames.reason(Kind.RESET, 1 + 2 * n, 10, "") for n in range(300)
    )
    with pytest.raises(ProtocolError, match="answer"):
        pair.b.feed(attack, 0.0)
    pair = Pair(SMALL)
    pair.settle()
    pair.b.feed(frames.encode(Kind.PING, 0, b"12345678") * 10_000, 0.0)
    assert len(pair.b.batch()) == 16  # of many unanswered pings only the last matters


@pytest.mark.parametrize(
    "raw",
    [
        frames.encode(Kind.OPEN, 2, b"even"),
        frames.encode(Kind.OPEN, 1, b"again"),
        frames.encode(Kind.DATA, 5, b"never opened"),
        frames.encode(Kind.FIN, 5),
        frames.credit(6, 1),
        frames.credit(1, 0xFFFFFFFF),
        frames.hello(),
        frames.encode(Kind.FIN, 1) * 2,
        frames.encode(Kind.FIN, 1) + frames.encode(Kind.DATA, 1, b"after the end"),
    ],
)
def test_protocol_errors(raw: bytes) -> None:
    pair, _ = opened()
    with pytest.raises(ProtocolError):
        pair.b.feed(raw, 0.0)
    assert pair.over(pair.b)[-1].code == CircuitEnd.PROTOCOL  # type: ignore[union-attr]


def test_only_the_initiator_opens() -> None:
    pair = Pair()
    pair.settle()
    with pytest.raises(ProtocolError):
        pair.a.feed(frames.encode(Kind.OPEN, 1, b"x"), 0.0)
    with pytest.raises(Misuse):
        pair.b.open("x", 0.0)
    with pytest.raises(Misuse):
        pair.a.open("", 0.0)


def test_the_first_frame_is_hello() -> None:
    with pytest.raises(ProtocolError, match="HELLO"):
        Mux(initiator=False).feed(frames.encode(Kind.PING, 0, bytes(8)), 0.0)
    with pytest.raises(ProtocolError, match="no common version"):
        Mux(initiator=False).feed(frames.hello(7, 9), 0.0)


def test_unknown_ignorable_frames_are_ignored() -> None:
    pair, stream = opened()
    assert pair.b.feed(frames.encode(0x81, 0, b"news") + frames.encode(0x82, stream, b"news"), 0.0) == []


def test_ping_measures_the_round_trip() -> None:
    pair, _ = opened()
    pair.a.ping(10.0)
    pair.a.ping(10.1)  # one measurement at a time
    pair.over(pair.a)
    pair.now = 10.25
    pair.over(pair.b)
    assert pair.a.rtt == pytest.approx(0.25)
    pair.a.ping(20.0)
    pair.send(pair.a)
    pair.a.ping(26.0)  # the first is lost in a queue: we must still be heard
    pair.settle()
    assert pair.a.rtt == pytest.approx(10.25 - 26.0)  # the second one's answer, by this test's standing clock


def test_go_away_ends_opening() -> None:
    pair, _ = opened()
    pair.a.go_away(CircuitEnd.REVOKED, "session ended")
    pair.a.go_away(CircuitEnd.NORMAL, "twice says nothing new")
    assert pair.over(pair.a) == [GoingAway(CircuitEnd.REVOKED, "session ended")]
    with pytest.raises(Misuse):
        pair.a.open("x", 0.0)


def run_link(rate: float, rtt: float, seconds: float) -> tuple[int, int]:
    """Bulk over a line of `rate` bytes/s and `rtt` s, in steps of one round trip; (bytes carried, last window)."""
    pair, stream = opened()
    pair.b.ping(0.0)
    pair.send(pair.b)
    pair.arrive(pair.b)
    pair.send(pair.a)
    pair.now = rtt
    pair.arrive(pair.a)
    carried, room = 0, 0.0
    while pair.now < seconds:
        pair.now += rtt
        room = min(room + rate * rtt, rate * rtt)
        pair.a.write(stream, b"x" * max(0, 5_000_000 - pair.a.pending(stream)))
        sent = 0
        while sent < room and pair.a.wants_write and (batch := pair.a.batch()):
            sent += len(batch)
            for event in pair.b.feed(batch, pair.now):
                if isinstance(event, Data):
                    carried += len(event.data)
                    pair.b.consumed(stream, len(event.data), pair.now)
        pair.send(pair.b)
        pair.arrive(pair.b)
    return carried, pair.b._streams[stream].window


def test_windows_grow_with_the_line_and_only_with_it() -> None:
    carried, window = run_link(rate=50e6, rtt=0.04, seconds=4.0)
    assert window > 0.9 * mux.MAX_WINDOW
    assert carried > 0.6 * 50e6 * 4
    carried, window = run_link(rate=2.5e6, rtt=0.04, seconds=4.0)
    assert window <= 2 * mux.WINDOW  # 20 Mbit/s at 40 ms is 100 KB: more would only make others wait


def test_growth_is_limited_over_all_streams_and_given_back() -> None:
    pair = Pair(Limits(window=1000, max_window=8000, growth=5000))
    pair.b.ping(0.0)
    pair.settle()
    streams = [pair.a.open("x", 0.0) for _ in range(3)]
    for step in range(40):
        pair.now = 0.001 * (step + 1)
        for stream in streams:
            pair.a.write(stream, b"x" * 4000) if pair.a.pending(stream) < 4000 else None
        for event in pair.settle():
            if isinstance(event, Data):
                pair.b.consumed(event.stream, len(event.data), pair.now)
    grown = sum(pair.b._streams[stream].window - 1000 for stream in streams)
    assert 0 < grown <= 5000
    assert pair.b._growth == grown
    for stream in streams:
        pair.a.reset(stream, StreamError.CLOSED)
    pair.settle()
    assert pair.b._growth == 0
    assert pair.b._unread == 0


STEP = st.tuples(
    st.sampled_from(["open", "write", "finish", "reset", "consume", "send", "arrive", "ping"]),
    st.booleans(),
    st.integers(0, 5),
    st.integers(1, 1500),
)


def invariants(end: Mux) -> None:
    for s in end._streams.values():
        assert s.credit >= 0
        assert s.granted >= 0
        if s.state not in (State.SENT_RESET, State.CLOSED):
            assert s.granted + s.unread + s.owed == s.window
        assert s.pending_size == sum(len(piece) for piece in s.pending)
        assert s.queued == (s in end._fresh or s in end._ready)
        assert s.queued == bool(s.pending_size and s.credit)
    assert end._unread == sum(s.unread for s in end._streams.values()) + sum(end._rest.values())


class Conversation(Pair):
    """Two ends doing what a list of steps says, remembering what was sent and what arrived."""

    def __init__(self) -> None:
        super().__init__(Limits(window=1000, max_window=4000, growth=4000, streams=50, pending=10**6, unread=10**6))
        self.sent: dict[tuple[Mux, int], bytes] = defaultdict(bytes)  # by sender
        self.got: dict[tuple[Mux, int], bytes] = defaultdict(bytes)  # by sender
        self.unread: dict[tuple[Mux, int], int] = defaultdict(int)  # by receiver
        self.finished: set[tuple[Mux, int]] = set()
        self.given_up: set[int] = set()
        self.known: list[int] = []
        self.noise = random.Random(1)

    def take(self, sender: Mux, count: int) -> None:
        for event in self.arrive(sender, min(count, len(self.wire[sender]))):
            if isinstance(event, Data):
                assert (sender, event.stream) not in self.finished
                self.got[sender, event.stream] += event.data
                self.unread[self.other(sender), event.stream] += len(event.data)
            elif isinstance(event, Finished):
                self.finished.add((sender, event.stream))

    def step(self, action: str, end: Mux, index: int, count: int) -> None:
        if action == "open":
            self.known.append(self.a.open("s", self.now))
        elif action == "send":
            self.send(end)
        elif action == "arrive":
            self.now += 0.01
            self.take(end, count)
        elif action == "ping":
            end.ping(self.now)
        elif self.known and end.state(stream := self.known[index % len(self.known)]) is not State.IDLE:
            self.stream_step(action, end, stream, count)

    def stream_step(self, action: str, end: Mux, stream: int, count: int) -> None:
        if action == "write":
            data = self.noise.randbytes(count)
            with contextlib.suppress(Misuse):
                end.write(stream, data)
                self.sent[end, stream] += data
        elif action == "finish":
            end.finish(stream)
        elif action == "reset":
            self.given_up.add(stream)
            end.reset(stream, StreamError.CLOSED)
            self.unread.pop((end, stream), None)
        else:
            self.read(end, stream, count)

    def read(self, end: Mux, stream: int, count: int) -> None:
        count = min(count, self.unread[end, stream])
        self.unread[end, stream] -= count
        end.consumed(stream, count, self.now)

    def read_everything(self) -> None:
        while self.a.wants_write or self.b.wants_write or any(self.wire.values()) or any(self.unread.values()):
            for end in (self.a, self.b):
                self.send(end)
                self.take(end, len(self.wire[end]))
            for end, stream in list(self.unread):
                self.read(end, stream, 10**6)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=120))
def test_any_conversation_keeps_order_bytes_and_credit(steps: list[tuple[str, bool, int, int]]) -> None:
    pair = Conversation()
    for action, first, index, count in steps:
        pair.step(action, pair.a if first else pair.b, index, count)
        invariants(pair.a)
        invariants(pair.b)
        for key, data in pair.got.items():
            assert pair.sent[key].startswith(data)
    pair.read_everything()
    for (sender, stream), data in pair.sent.items():
        if stream not in pair.given_up:
            assert pair.got[sender, stream] == data


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans())
def test_hostile_bytes_never_do_more_than_end_the_circuit(chunks: list[bytes], initiator: bool) -> None:
    end = Mux(initiator=initiator, limits=SMALL)
    try:
        end.feed(frames.hello(), 0.0)
        for chunk in chunks:
            end.feed(chunk, 0.0)
    except ProtocolError:
        assert end.wants_write
    end.batch()


FRAME = st.builds(
    lambda kind, stream, size: frames.encode(kind, stream, bytes(size)),
    st.integers(1, 9), st.sampled_from([0, 1, 1, 3, 3, 5, 2]), st.sampled_from([0, 1, 2, 4, 4, 8, 100]),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(FRAME, max_size=30))
def test_hostile_frames_keep_the_bounds(sent: list[bytes]) -> None:
    end = Mux(initiator=False, limits=SMALL)
    end.feed(frames.hello(), 0.0)
    try:
        for frame in sent:
            end.feed(frame, 0.0)
            invariants(end)
            assert end._unread <= SMALL.unread
            assert end.streams <= 2 * SMALL.streams
    except ProtocolError:
        pass
