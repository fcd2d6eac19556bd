import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import compress
from agent.compress import Encoder, Tags, chosen, coded_head, is_clear, persists, read_request
from panelgate.options import Compress
from panelgate.response import BadResponse, ResponseHead, ResponseReader

BIG = b"body { color: red }\n" * 100


def request(*lines: bytes, method: bytes = b"GET", target: bytes = b"/") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: 10.0.0.5", *lines, b"", b""])


def response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", length: int | None = len(BIG)) -> bytes:
    sized = [] if length is None else [b"Content-Length: %d" % length]
    return b"\r\n".join([start, *lines, *sized, b"", b""])


def read(raw: bytes) -> ResponseHead:
    reader = ResponseReader()
    reader.feed(raw)
    assert reader.head is not None
    return reader.head


def picks(*lines: bytes, level: Compress = "static", target: bytes = b"/x", **options: object) -> bool:
    raw = response(*lines, **options)  # type: ignore[arg-type]
    return chosen(level, target, read(raw), raw)


CSS = b"Content-Type: text/css"


# ---- requests


@pytest.mark.parametrize(
    ("value", "takes"),
    [
        (b"gzip", True), (b"GZIP", True), (b"x-gzip", True), (b"br, gzip;q=0.5", True), (b"gzip ; q=1.000", True),
        (b"*", True), (b"*;q=0.1", True), (b"", False), (b"br", False), (b"gzip;q=0", False), (b"gzip;q=0.000", False),
        (b"gzip;q=0, *", False), (b"gzip;q=0.5, gzip;q=0", False), (b"*;q=0, gzip", True), (b"identity", False),
        (b"gzip;q=2", False), (b"gzip;q=nan", False), (b"gzip;level=9", False), (b"gzip;q=1;x=1", False),
        (b"gzipped", False),
    ],
)  # fmt: skip
def test_accept_encoding(value: bytes, takes: bool) -> None:
    found = read_request(request(b"Accept-Encoding: " + value))
    assert found is not None
    assert found.accepts is takes


def test_accept_encoding_in_two_lines_is_one_list() -> None:
    found = read_request(request(b"Accept-Encoding: br", b"accept-encoding: gzip"))
    assert found is not None
    assert found.accepts


@pytest.mark.parametrize(
    "head",
    [
        request(b"Accept-Encoding: gzip", method=b"HEAD"),
        request(b"Accept-Encoding: gzip", method=b"POST"),
        request(b"Accept-Encoding: gzip", b"Content-Length: 3"),
        request(b"Accept-Encoding: gzip", b"Range: bytes=0-9"),
        request(b"Accept-Encoding: gzip", b'If-Range: "a"'),
        request(),
    ],
)
def test_requests_whose_answers_stay_as_they_are(head: bytes) -> None:
    found = read_request(head)
    assert found is not None
    assert not found.accepts


@pytest.mark.parametrize(
    "head",
    [
        request(b"Upgrade: websocket", b"Connection: Upgrade"),
        request(b"Transfer-Encoding: chunked"),
        request(b"Content-Length: 3", b"Content-Length: 3"),
        request(b"Content-Length: +3"),
        request(b"Content-Length: 3, 3"),
        request(b"Bad Name: x"),
        request(b"No colon"),
        request(b"X: \0"),
        request(b"X: a\rb"),
        request(b" folded"),
        request(method=b"CONNECT"),
        request(method=b""),
        request().replace(b"1.1", b"1.0"),
        request().replace(b"\r\n", b"\n") + b"\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
    ],
)
def test_requests_that_nothing_is_made_of(head: bytes) -> None:
    assert read_request(head) is None


def test_a_body_is_measured() -> None:
    found = read_request(request(b"Content-Length: 12", method=b"PUT"))
    assert found is not None
    assert found.length == 12


@given(st.binary())
def test_any_bytes_are_a_request_or_none(data: bytes) -> None:
    read_request(data)
    read_request(data + b"\r\n\r\n")


# ---- what is chosen


@pytest.mark.parametrize(
    ("kind", "static", "everything"),
    [
        (b"text/css", True, True), (b"Text/JavaScript; charset=utf-8", True, True), (b"image/svg+xml", True, True),
        (b"font/ttf", True, True), (b"application/wasm", True, True), (b"image/bmp", True, True),
        (b"application/manifest+json", True, True),
        (b"text/html", False, True), (b"application/json", False, True), (b"text/plain", False, True),
        (b"text/xml", False, True),
        (b"text/event-stream", False, False), (b"font/woff2", False, False), (b"image/png", False, False),
        (b"application/octet-stream", False, False), (b"multipart/x-mixed-replace;boundary=x", False, False),
        (b"", False, False),
    ],
)  # fmt: skip
def test_types(kind: bytes, static: bool, everything: bool) -> None:
    line = b"Content-Type: " + kind
    assert picks(line) is static
    assert picks(line, level="all") is everything
    assert not picks(line, level="off")


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Encoding: br", b"Content-Encoding: identity", b"Content-Range: bytes 0-9/10", b"Set-Cookie: a=b",
        b"Cache-Control: public, No-Transform", b"Content-Type: text/html", b"Upgrade: h2c",
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
        b"Content-Length: %d" % len(BIG), b'ETag: "a"\r\nETag: "b"', b"Bad Name: x", b"No colon", b"X: a\r\n folded",
        b"X: \x01",
    ],
)  # fmt: skip
def test_what_speaks_against_it(line: bytes) -> None:
    assert picks(CSS)
    assert not picks(CSS, line)
    assert not picks(CSS, line, level="all")


@pytest.mark.parametrize(
    ("start", "taken"),
    [
        (b"HTTP/1.1 200 OK", True), (b"HTTP/1.0 200 OK", True), (b"HTTP/1.1 200", True), (b"HTTP/1.1 200 ", True),
        (b"HTTP/1.1 206 Partial Content", False), (b"HTTP/1.1 404 Not Found", False), (b"HTTP/1.1 304 x", False),
        (b"http/1.1 200 OK", False), (b"HTTP 200 OK", False), (b"HTTP/1.1  200 OK", False),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK", False),
    ],
)  # fmt: skip
def test_status_lines(start: bytes, taken: bool) -> None:
    assert picks(CSS, start=start) is taken


@pytest.mark.parametrize(("length", "taken"), [(1023, False), (1024, True), (None, True), (0, False)])
def test_small_bodies_stay(length: int | None, taken: bool) -> None:
    assert picks(CSS, length=length) is taken


def test_a_script_made_from_its_query_stays() -> None:
    script = b"Content-Type: text/javascript"
    dated = b"Last-Modified: Sun, 01 Nov 2026 10:00:00 GMT"
    assert picks(script, target=b"/app.js")
    assert not picks(script, target=b"/user?callback=x")
    assert picks(script, dated, target=b"/app.js?v=7")
    assert picks(script, target=b"/user?callback=x", level="all")


# ---- the head before a compressed body


def coded(*lines: bytes, **options: object) -> bytes:
    raw = response(CSS, *lines, **options)  # type: ignore[arg-type]
    return coded_head(read(raw), Tags(), "s")


def test_the_head_tells_of_the_coding() -> None:
    assert coded(b"Server: x", b"Accept-Ranges: bytes", b"Content-MD5: x") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nServer: x\r\nVary: Accept-Encoding\r\n"
        b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


@pytest.mark.parametrize("vary", [b"Origin, accept-encoding", b"*"])
def test_vary_is_said_once(vary: bytes) -> None:
    assert coded(b"Vary: " + vary).count(b"Vary") == 1


@pytest.mark.parametrize(("sent", "tag"), [(b'"a"', b'W/"a"'), (b'W/"a"', b'W/"a"'), (b"bare", b"bare")])
def test_a_strong_tag_becomes_weak(sent: bytes, tag: bytes) -> None:
    assert b"\r\nETag: " + tag + b"\r\n" in coded(b"ETag: " + sent)


@pytest.mark.parametrize(
    ("start", "lines", "length", "keeps"),
    [
        (b"HTTP/1.1 200 OK", [], 5000, True), (b"HTTP/1.1 200 OK", [b"Connection: Close"], 5000, False),
        (b"HTTP/1.1 200 OK", [], None, False), (b"HTTP/1.0 200 OK", [], 5000, False),
        (b"HTTP/1.0 200 OK", [b"Connection: Keep-Alive"], 5000, True),
        (b"HTTP/1.0 200 OK", [b"Connection: Keep-Alive"], None, False),
        (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked"], None, True),
    ],
)  # fmt: skip
def test_whether_the_connection_stays(start: bytes, lines: list[bytes], length: int | None, keeps: bool) -> None:
    raw = response(CSS, *lines, start=start, length=length)
    head = read(raw)
    assert persists(head) is keeps
    again = coded_head(head, Tags(), "s")
    assert again.startswith(b"HTTP/1.1 200 OK\r\n")
    reader = ResponseReader()
    reader.feed(again)
    assert reader.reusable is keeps


@given(st.binary())
def test_no_head_is_written_anew_that_is_not_clear(data: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n" + data + b"\r\n\r\n"
    reader = ResponseReader()
    with suppress(BadResponse):
        reader.feed(raw)
    end = raw.find(b"\r\n\r\n") + 4
    if reader.head is not None and is_clear(reader.head, raw[:end]):
        assert raw[:end].count(b"\r\n") == len(reader.head.headers) + 2


# ---- entity tags


def test_the_device_gets_its_own_tag_back() -> None:
    tags = Tags()
    tags.weaken("s", b'"a"')
    head = request(b'if-none-match:  W/"a", W/"b"')
    found = read_request(head)
    assert found is not None
    assert b'if-none-match:  "a", W/"b"\r\n' in tags.restore("s", head, found.matches)
    assert tags.restore("other", head, found.matches) is head
    assert tags.restore("s", head, b'"a"') is head


def test_what_is_not_modified_stays_weak() -> None:
    tags = Tags()
    tags.weaken("s", b'"a"')
    head = b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nX: "a"\r\n\r\n'
    assert tags.weaken_known("s", head) == head.replace(b'ETag: "a"', b'ETag: W/"a"')
    assert tags.weaken_known("other", head) == head


def test_tags_are_bounded() -> None:
    tags = Tags()
    for number in range(compress.TAGS_LIMIT + 1):
        tags.weaken("s", b'"%d"' % number)
    assert not tags.knows("s", b'"0"')
    assert tags.knows("s", b'"1"')
    long = b'"' + b"x" * compress.TAG_LIMIT + b'"'
    assert tags.weaken("s", long) == b"W/" + long
    assert not tags.knows("s", long)


# ---- the body


def unchunked(data: bytes) -> tuple[bytes, bool]:
    reader = ResponseReader()
    body = reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    return body, reader.done


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_bodies_come_back(pieces: list[bytes]) -> None:
    encoder = Encoder()
    data = b"".join(encoder.feed(piece) for piece in pieces) + encoder.finish()
    body, done = unchunked(data)
    assert done
    assert gzip.decompress(body) == b"".join(pieces)


def test_a_flush_brings_out_what_went_in() -> None:
    encoder = Encoder()
    assert not encoder.holds
    first = encoder.feed(b"hello")
    assert encoder.holds
    body, done = unchunked(first + encoder.flush())
    assert not encoder.holds
    assert not done
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(body) == b"hello"


def test_a_flood_of_tags_is_passed_on_unread() -> None:
    tags = Tags()
    tags.weaken("s", b'"a"')
    for count, restored in ((100, True), (20_000, False)):
        matches = b", ".join([b'W/"a"'] * count)
        head = b"GET / HTTP/1.1\r\nIf-None-Match: " + matches + b"\r\n\r\n"
        assert (b"W/" not in tags.restore("s", head, matches)) is restored
