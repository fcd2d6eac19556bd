"""Answers on their way through the agent: with compression they must be what they are without it."""

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import compress
from agent.exchange import FLUSH_SECONDS, SURPLUS, Exchanges, Shared
from panelgate.joining import Held, Joined, join
from panelgate.options import Compress
from panelgate.response import BadResponse, ResponseReader
from panelgate.stream import StreamReset
from tests.fakes.tunnel import SECONDS, Recorder, eventually

GET = b"GET /app.css HTTP/1.1\r\nHost: 10.0.0.5\r\nAccept-Encoding: gzip, br\r\n\r\n"
BODY = b"".join(b".panel-%d { color: #%06x }\n" % (number, number) for number in range(100))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n"


def sized(body: bytes = BODY, *lines: bytes, start: bytes = OK) -> bytes:
    return start + b"".join(line + b"\r\n" for line in lines) + b"Content-Length: %d\r\n\r\n" % len(body) + body


class FakeJoined:
    """Takes what comes out of turn."""

    def __init__(self) -> None:
        self.late = bytearray()
        self.aborted: Exception | None = None

    def write_to_a(self, data: bytes) -> None:
        self.late += data

    def abort(self, error: Exception) -> None:
        self.aborted = error


def exchanges(level: Compress = "static", shared: Shared | None = None) -> tuple[Exchanges, FakeJoined]:
    made, joined = Exchanges("s", level, shared or Shared()), FakeJoined()
    made.start(cast("Joined", joined))
    return made, joined


def asked(made: Exchanges, request: bytes = GET) -> None:
    assert made.a_to_b(request) == request


class Reading:
    """What a web proxy makes of an answer: its reader, and a browser's gzip."""

    def __init__(self) -> None:
        self.reader = ResponseReader()
        self.broken = False
        self.sent = b""  # the body as it travelled

    def feed(self, data: bytes) -> None:
        if data and not self.broken:
            try:
                self.sent += self.reader.feed(data)
            except BadResponse:
                self.broken = True

    def eof(self) -> None:
        try:
            self.reader.eof()
        except BadResponse:
            self.broken = True

    @property
    def coded(self) -> bool:
        head = self.reader.head
        return head is not None and b"gzip" in head.values(b"content-encoding")

    @property
    def body(self) -> bytes:
        return zlib.decompressobj(31).decompress(self.sent) if self.coded else self.sent

    @property
    def kept(self) -> list[tuple[bytes, bytes]]:
        """The headers that compression may not change."""
        head = self.reader.head
        assert head is not None
        changed = {
            b"content-length", b"transfer-encoding", b"content-encoding", b"vary", b"etag", b"accept-ranges",
            b"connection", b"trailer",
        }  # fmt: skip
        return [(key, value) for key, _, value in head.headers if key not in changed]


# ---- the whole of it: any answer in any pieces


LINES = [
    b"Content-Type: text/css", b"content-type:application/javascript", b"Content-Type: text/html", b'ETag: "a"',
    b"Connection: close", b"Connection: keep-alive", b"Accept-Ranges: bytes", b"Set-Cookie: a=b", b"Odd name: x",
    b"X: a\r\n b", b"Vary: Origin", b"Content-Encoding: gzip", b"Trailer: X", b"Content-Length: 7",
    b"Transfer-Encoding: identity",
]  # fmt: skip
HARMLESS = [b"Server: GoAhead", b"Cache-Control: max-age=60", b"X-Panel: 7", b"Connection:Close"]
STARTS = [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 304 Not Modified", b"http/1.1 200", b"HTTP/1.1 500 No"]


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """An answer, and whether the device closes behind it: mostly sound, sometimes not."""
    body = draw(st.sampled_from([BODY, b"x" * 3000, BODY, BODY[:1000], b""])) + draw(st.binary(max_size=200))
    lines = draw(st.one_of(st.just([]), st.lists(st.sampled_from(HARMLESS + LINES), max_size=3, unique=True)))
    framing = draw(st.sampled_from(["length", "chunked", "close", "short", "long", "length", "chunked"]))
    if draw(st.integers(0, 5)):
        lines = [LINES[0], *(line for line in lines if line != LINES[0])]
    sent = body
    if framing in ("length", "short", "long"):
        lines.append(b"Content-Length: %d" % (len(body) + {"length": 0, "short": -1, "long": 1}[framing]))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        size = draw(st.integers(1, 5000))
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n"
        sent += draw(st.sampled_from([b"\r\n", b"\r\n", b"X: y\r\n\r\n", b"\r\nsurplus", b""]))
    raw = b"\r\n".join([draw(st.sampled_from([*STARTS[:1] * 6, *STARTS])), *lines, b"", b""]) + sent
    raw = draw(st.sampled_from([b"", b"", b"", b"", b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n", b"\r\n"])) + raw
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return raw, draw(st.booleans())


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    marks = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True) if a < b]


@settings(max_examples=300)
@given(st.lists(answers(), min_size=1, max_size=3), st.lists(st.integers(0, 20000), max_size=6))
def test_an_answer_is_the_same_with_and_without(sent: list[tuple[bytes, bool]], places: list[int]) -> None:
    async def play() -> None:
        shared = Shared()
        made, joined = exchanges("static", shared)
        for raw, closes in sent:
            asked(made)
            plain, through = Reading(), Reading()
            for piece in cut(raw, places):
                plain.feed(piece)
                through.feed(made.b_to_a(piece))
                if joined.aborted:
                    break
            if closes and not joined.aborted:
                plain.eof()
                through.feed(made.b_ended())
                through.eof()
            check(plain, through, joined)
            if closes or plain.broken or not plain.reader.done or not plain.reader.reusable:
                break
        made.close()
        assert shared.encoders == 0

    asyncio.run(play())


def check(plain: Reading, through: Reading, joined: FakeJoined) -> None:
    if plain.broken:
        assert through.broken or joined.aborted
        return
    assert not through.broken
    assert not joined.aborted
    if plain.reader.head is None:
        assert through.reader.head is None
        return
    assert through.reader.head is not None
    assert through.reader.head.status == plain.reader.head.status
    assert through.kept == plain.kept
    assert through.reader.done == plain.reader.done
    # What the device labels as compressed is not ours to judge.
    body = through.sent if plain.coded else through.body
    if plain.reader.done:
        assert body == plain.sent
        assert through.reader.reusable == plain.reader.reusable
    else:
        assert plain.sent.startswith(body)


@given(st.lists(st.one_of(st.binary(max_size=50), st.sampled_from([GET, GET[:9], GET[9:], b"\r\n\r\n"])), max_size=8))
def test_whatever_the_web_proxy_sends_reaches_the_device(pieces: list[bytes]) -> None:
    made, _ = exchanges()
    for piece in pieces:
        assert made.a_to_b(piece) == piece


# ---- one exchange after the other


async def test_a_style_sheet_is_compressed_and_the_next_request_answered() -> None:
    made, _ = exchanges()
    for _ in range(2):
        asked(made)
        got = Reading()
        got.feed(made.b_to_a(sized()))
        assert got.coded
        assert got.body == BODY
        assert got.reader.done
        assert got.reader.reusable
    # And one whose request came in pieces, for something else.
    for request in (GET[:20], GET[20:]):
        asked(made, request)
    page = sized(start=OK.replace(b"css", b"html"))
    assert made.b_to_a(page) is page


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /x HTTP/1.1\r\nAccept-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody",
        b"HEAD / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nRange: bytes=0-\r\n\r\n",
    ],
)  # fmt: skip
async def test_other_answers_pass_as_the_objects_they_are(request_: bytes) -> None:
    made, _ = exchanges()
    asked(made, request_)
    answer = sized()
    assert made.b_to_a(answer) is answer
    asked(made)
    assert made.b_to_a(answer) is not answer


async def test_a_body_in_pieces_belongs_to_its_request() -> None:
    made, _ = exchanges()
    asked(made, b"PUT /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(GET))
    asked(made, GET[:10])
    asked(made, GET[10:])
    answer = sized()
    assert made.b_to_a(answer) is answer


@pytest.mark.parametrize(
    "odd",
    [
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nAccept-Encoding: gzip\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"\x16\x03\x01\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nab", b"x" * (compress.REQUEST_HEAD_LIMIT + 1),
    ],
)  # fmt: skip
async def test_after_anything_odd_everything_passes(odd: bytes) -> None:
    made, _ = exchanges()
    asked(made, odd)
    asked(made)
    answer = sized()
    assert made.b_to_a(answer) is answer


async def test_a_request_before_the_answer_ends_the_compression_behind_it() -> None:
    made, _ = exchanges()
    asked(made)
    asked(made)
    got = Reading()
    got.feed(made.b_to_a(sized()))
    assert got.body == BODY
    answer = sized()
    assert made.b_to_a(answer) is answer


async def test_a_request_within_an_answer_does_not_disturb_it() -> None:
    made, _ = exchanges()
    asked(made)
    answer = sized()
    got = Reading()
    got.feed(made.b_to_a(answer[:500]))
    asked(made)
    got.feed(made.b_to_a(answer[500:]))
    assert got.body == BODY
    assert got.reader.done
    # From here on nobody knows which request an answer belongs to.
    asked(made)
    assert made.b_to_a(answer) is answer


async def test_tags_are_weak_for_the_browser_and_strong_for_the_device() -> None:
    made, _ = exchanges()
    asked(made)
    assert b'\r\nETag: W/"a"\r\n' in made.b_to_a(sized(BODY, b'ETag: "a"'))
    again = GET[:-2] + b'If-None-Match: W/"a"\r\n\r\n'
    assert made.a_to_b(again) == again.replace(b'W/"a"', b'"a"')
    same = made.b_to_a(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n')
    assert same == b'HTTP/1.1 304 Not Modified\r\nETag: W/"a"\r\n\r\n'


# ---- what ends early


async def test_a_body_that_breaks_off_does_not_look_complete() -> None:
    made, _ = exchanges()
    asked(made)
    got = Reading()
    got.feed(made.b_to_a(sized()[:-1]))
    got.feed(made.b_ended())
    assert got.body == BODY[:-1]
    assert not got.reader.done
    got.eof()
    assert got.broken


async def test_a_device_of_http_1_0_that_closes_behind_its_answer() -> None:
    made, _ = exchanges()
    asked(made)
    got = Reading()
    got.feed(made.b_to_a(b"HTTP/1.0 200 OK\r\nContent-Type: text/css\r\n\r\n" + BODY))
    assert got.coded
    assert not got.reader.done
    got.feed(made.b_ended())
    assert got.body == BODY
    assert got.reader.done
    assert not got.reader.reusable


async def test_half_a_head_passes_when_the_device_closes() -> None:
    made, _ = exchanges()
    asked(made)
    assert made.b_to_a(OK) == b""
    assert made.b_ended() == OK


async def test_more_than_the_answer_is_told() -> None:
    made, _ = exchanges()
    asked(made)
    assert made.b_to_a(sized() + b"more").endswith(b"0\r\n\r\n" + SURPLUS)


async def test_garbage_within_a_body_breaks_the_connection() -> None:
    shared = Shared()
    made, joined = exchanges("static", shared)
    asked(made)
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    assert made.b_to_a(head + b"400\r\n" + b"x" * 0x400 + b"\r\n")
    assert made.b_to_a(b"no size\r\n") == b""
    assert isinstance(joined.aborted, StreamReset)
    assert "size" in joined.aborted.text
    assert shared.encoders == 0


# ---- bounds


async def test_a_head_without_end_is_not_kept() -> None:
    made, _ = exchanges()
    asked(made)
    piece = OK + b"X: " + b"x" * 65536 + b"\r\n"
    kept = out = 0
    for _ in range(4):
        got = len(made.b_to_a(piece))
        kept, out = kept + len(piece) - got, out + got
    assert out == 4 * len(piece)
    assert kept == 0


async def test_a_requests_head_without_end_is_not_kept() -> None:
    made, _ = exchanges()
    for _ in range(compress.REQUEST_HEAD_LIMIT // 1000 + 1):
        asked(made, b"x" * 1000)
    assert not made._begun


async def test_more_answers_at_once_than_encoders_pass_as_they_are() -> None:
    shared = Shared()
    answer = OK + b"\r\n" + BODY
    many = [exchanges("static", shared)[0] for _ in range(compress.ENCODERS_LIMIT + 1)]
    for made in many:
        asked(made)
    coded = [b"gzip" in made.b_to_a(answer)[:200] for made in many]
    assert coded == [True] * compress.ENCODERS_LIMIT + [False]
    for made in many:
        made.close()
    assert shared.encoders == 0


# ---- with sockets


class Site:
    """A device, the join with its filter, and a web proxy's end of the stream."""

    def __init__(self, device: Recorder, client: Recorder, joined: Joined) -> None:
        self.device = device
        self.client = client
        self.joined = joined

    def say(self, data: bytes) -> None:
        assert self.device.transport is not None
        self.device.transport.write(data)

    def ask(self, data: bytes = GET) -> None:
        assert self.client.transport is not None
        self.client.transport.write(data)


@asynccontextmanager
async def site(level: Compress = "static") -> AsyncIterator[Site]:
    loop = asyncio.get_running_loop()
    ends = []
    for _ in range(2):
        ours, theirs = socket.socketpair()
        far = Recorder(keep=True)
        await loop.create_connection(lambda far=far: far, sock=theirs)  # type: ignore[misc]
        near, _ = await loop.create_connection(Held, sock=ours)
        ends.append((near, far))
    (a, client), (b, device) = ends
    made = Exchanges("s", level, Shared())
    joined = join(a, b, idle=60.0, through=made)
    yield Site(device, client, joined)
    joined.abort()
    for _, far in ends:
        assert far.transport is not None
        far.transport.abort()
    async with asyncio.timeout(SECONDS):
        await joined.done


async def test_through_a_join() -> None:
    async with site() as there:
        there.ask()
        await there.device.until(lambda r: r.data == GET)
        there.say(sized())
        await there.client.until(lambda r: r.data.endswith(b"0\r\n\r\n"))
        got = Reading()
        got.feed(there.client.data)
        assert got.body == BODY
        assert len(there.client.data) < len(BODY) / 2


async def test_a_device_that_pauses_is_heard() -> None:
    async with site("all") as there:
        there.ask()
        await there.device.until(lambda r: r.data)
        got = Reading()
        seen = 0
        start = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        for number in range(3):
            there.say((b"" if number else start) + b"9\r\nmessage %d\r\n" % number)

            def complete() -> bool:
                nonlocal seen
                got.feed(there.client.data[seen:])
                seen = len(there.client.data)
                return got.body.endswith(b"message %d" % number)  # noqa: B023  # awaited within the loop

            await eventually(complete)
        assert got.coded


async def test_a_device_that_goes_on_without_end_is_heard() -> None:
    made, joined = exchanges("all")
    asked(made)
    made.b_to_a(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        while not joined.late:
            made.b_to_a(b"one line of a log\n")
            await asyncio.sleep(FLUSH_SECONDS / 10)
    made.close()


async def test_a_big_body_is_not_cut_by_flushes() -> None:
    made, joined = exchanges()
    asked(made)
    out = made.b_to_a(OK + b"Content-Length: %d\r\n\r\n" % (40 * len(BODY)))
    for _ in range(40):
        out += made.b_to_a(BODY)
        await asyncio.sleep(0)
    assert not joined.late
    got = Reading()
    got.feed(out)
    assert got.body == BODY * 40


async def test_half_closing_both_ways() -> None:
    async with site() as there:
        there.ask()
        assert there.client.transport is not None
        there.client.transport.write_eof()
        await there.device.until(lambda r: r.eof)
        there.say(OK + b"\r\n" + BODY)
        assert there.device.transport is not None
        there.device.transport.close()
        await there.client.until(lambda r: r.eof)
        got = Reading()
        got.feed(there.client.data)
        assert got.reader.done
        assert gzip.decompress(got.sent) == BODY


async def test_a_slow_reader_stops_the_device() -> None:
    async with site() as there:
        assert there.client.transport is not None
        there.client.transport.pause_reading()
        there.ask()
        await there.device.until(lambda r: r.data)
        noise = bytes((at * at * 31 + at // 7) % 251 for at in range(65536))  # hardly to be compressed
        there.say(OK + b"\r\n")
        async with asyncio.timeout(SECONDS):
            while not there.device.paused:
                there.say(noise)
                await asyncio.sleep(0)
        assert there.joined.b_to_a < 64 * 1024 * 1024
        there.client.transport.resume_reading()
        await there.device.until(lambda r: not r.paused)
