from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panelgate.response import CHUNKED, CLOSE, LENGTH, NONE, BadResponse, ResponseReader


def read(data: bytes, *, method: bytes = b"GET", eof: bool = True, cut: int = 0) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader()
    reader.reset(method)
    pieces = [data] if not cut else [data[i : i + cut] for i in range(0, len(data), cut)]
    body = b"".join(reader.feed(piece) for piece in pieces)
    if eof and not reader.done:
        reader.eof()
    return reader, body


H = b"HTTP/1.1 200 OK\r\n"
CL2 = b"Content-Length: 2\r\n\r\nok"

# What Chromium renders: data, method, body, reusable.
ACCEPTED = {
    "plain": (H + CL2, b"ok", True),
    "lower-case version": (b"http/1.1 200 ok\r\n" + CL2, b"ok", True),
    "no version number": (b"HTTP 200 OK\r\n" + CL2, b"ok", False),
    "no reason": (b"HTTP/1.1 200\r\n" + CL2, b"ok", True),
    "odd status": (b"HTTP/1.1 299 Very Odd\r\n" + CL2, b"ok", True),
    "space before colon": (H + b"Content-Length : 2\r\n\r\nok", b"ok", True),
    "line without colon": (H + b"rubbish\r\n" + CL2, b"ok", False),
    "space in name": (H + b"X Y: 1\r\n" + CL2, b"ok", False),
    "same length twice": (H + b"Content-Length: 2\r\n" + CL2, b"ok", False),
    "same length in a list": (H + b"Content-Length: 2, 2\r\n\r\nok", b"ok", False),
    "length and chunked": (H + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"ok", False),
    "identity": (H + b"Transfer-Encoding: identity\r\n" + CL2, b"ok", False),
    "chunks with bare LF": (H + b"Transfer-Encoding: chunked\n\n2\nok\n0\n\n",
    b"ok", True),
    "chunk extension and trailer": (H + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n", b"ok",
        True),
    "bare LF head": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok", True),
    "too long": (H + CL2 + b"more", b"ok", False),
    "negative length": (H + b"Content-Length: -1\r\n\r\nok", b"ok", False),
    "length with plus": (H + b"Content-Length: +2\r\n\r\nokay", b"okay", False),
    "leading CRLF": (b"\r\n\r\n" + H + CL2, b"ok", True),
    "junk in front": (b"\xef\xbb\xbf" + H + CL2, b"ok", False),
    "interim first": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + H + CL2, b"ok", True),
    "20 kB header": (H + b"X: " + b"a" * 20000 + b"\r\n" + CL2,
    b"ok", True),
    "200 headers": (H + b"".join(b"X%d: 1\r\n" % i for i in range(200)) + CL2, b"ok", True),
    "chunked on 1.0 is literal": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"2\r\nok\r\n",
        False),
    "until close": (b"HTTP/1.0 200 OK\r\n\r\nok", b"ok", False),
    "1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CL2, b"ok", True),
    "says close": (H + b"Connection: close\r\n" + CL2, b"ok", False),
    "folded": (H + b"X: a\r\n b\r\n" + CL2, b"ok", False),
    "204 with body": (b"HTTP/1.1 204 No\r\n" + CL2, b"", False),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "205": (b"HTTP/1.1 205 Reset\r\n\r\n", b"", True),
    "empty": (H + b"Content-Length: 0\r\n\r\n", b"", True),
}  # fmt: skip
REFUSED = {
    "two lengths": H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths in a list": H + b"Content-Length: 2, 3\r\n\r\nabc",
    "NUL": H + b"X: \0\r\n" + CL2,
    "cut short": H + b"Content-Length: 5\r\n\r\nabc",
    "chunks cut short": H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "no last chunk": H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "chunk too long": H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
    "chunk size 0x5": H + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
    "no HTTP": b"RFB 003.008\n" + b"x" * 20,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nX: ",
    "head too large": H + b"X: " + b"a" * 140_000 + b"\r\n\r\n",
    "too many lines": H + b"X: 1\r\n" * 600 + b"\r\n",
    "unasked switch": b"HTTP/1.1 101 Switching\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 OK\r\n\r\n",
    "interim for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    "trailers for ever": H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 5000,
    "chunk line for ever": H + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"a" * 9000,
}


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_what_chromium_renders_is_read(name: str, cut: int) -> None:
    data, body, reusable = ACCEPTED[name]
    reader, got = read(data, cut=cut)
    assert reader.done
    assert got == body
    if not cut:
        assert reader.reusable is reusable


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("cut", [0, 5])
def test_what_can_not_be_framed_is_refused(name: str, cut: int) -> None:
    with pytest.raises(BadResponse):
        read(REFUSED[name], cut=cut)


def test_head_has_no_body_and_keeps_its_length() -> None:
    reader, body = read(H + b"Content-Length: 77\r\n\r\n", method=b"HEAD")
    assert reader.done
    assert body == b""
    assert reader.head is not None
    assert (reader.head.framing, reader.head.length) == (NONE, 77)


def test_framings_are_told() -> None:
    for data, framing in (
        (H + CL2, LENGTH),
        (H + b"\r\nx", CLOSE),
        (H + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKED),
    ):
        reader = ResponseReader()
        reader.feed(data)
        assert reader.head is not None
        assert reader.head.framing == framing


def test_bytes_after_the_end_spoil_the_connection() -> None:
    reader, _ = read(H + CL2)
    assert reader.reusable
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    assert not reader.reusable


def test_the_same_head_again_is_framed_as_before() -> None:
    reader = ResponseReader()
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Name: a\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    heads = []
    for body in (b"one", b"two"):
        reader.reset(b"GET")
        assert reader.feed(plain + body) == body
        assert reader.done
        assert reader.reusable
        heads.append(reader.head)
    assert heads[0] is heads[1]  # and what was made for it is kept with it
    reader.reset(b"GET")
    assert reader.feed(plain + b"twos") == b"two"
    assert not reader.reusable
    # The same bytes mean something else as an answer to HEAD, and after another head.
    reader.reset(b"HEAD")
    assert reader.feed(plain) == b""
    assert reader.done
    for text in (b"x", b"yy"):
        reader.reset(b"GET")
        assert not reader.feed(chunked[:9])
        assert reader.feed(chunked[9:] + b"%d\r\n%b\r\n0\r\n\r\n" % (len(text), text)) == text
        assert reader.done
        assert reader.reusable


def test_a_head_with_doubts_is_read_each_time() -> None:
    reader = ResponseReader()
    for _ in range(2):
        reader.reset(b"GET")
        assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx") == b"x"
        assert not reader.reusable


def test_a_wanted_switch_ends_http_and_leaves_the_rest() -> None:
    reader = ResponseReader()
    reader.reset(b"GET", upgrade=True)
    assert reader.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi") == b""
    assert reader.done
    assert reader.rest == b"\x81\x02hi"


def test_control_characters_do_not_travel_on() -> None:
    reader, _ = read(H + b"X: a\x0bb\rc\r\n" + CL2)
    assert reader.head is not None
    assert reader.head.values(b"x") == [b"a b c"]


def test_many_small_chunks_take_no_square_of_time() -> None:
    reader = ResponseReader()
    data = H + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n"
    assert len(reader.feed(data)) == 40_000
    assert reader.done


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(1, 60), st.sampled_from([b"\r\n", b"\n"]))
def test_chunks_come_out_as_they_went_in(parts: list[bytes], cut: int, end: bytes) -> None:
    wire = b"".join(b"%x" % len(part) + end + part + end for part in parts) + b"0" + end + end
    reader, body = read(H + b"Transfer-Encoding: chunked\r\n\r\n" + wire, cut=cut)
    assert reader.done
    assert reader.reusable
    assert body == b"".join(parts)


@given(st.binary(max_size=300), st.integers(1, 40), st.booleans())
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused_however_they_are_cut(data: bytes, cut: int, head: bool) -> None:
    results = []
    for size in (0, cut):
        try:
            reader, body = read((H if head else b"") + data, cut=size)
            results.append((reader.head.status if reader.head else None, body))
        except BadResponse:
            results.append((None, b"refused"))
    assert results[0] == results[1]


@given(st.lists(st.sampled_from([
    b"Content-Length: 3", b"Content-Length: 4", b"Transfer-Encoding: chunked", b"Connection: close", b"X : y", b" fold",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"nonsense", b"Content-Length: 3, 3",
]), max_size=5), st.binary(max_size=12))  # fmt: skip
def test_a_kept_connection_never_carries_a_rest(lines: list[bytes], tail: bytes) -> None:
    reader = ResponseReader()
    try:
        body = reader.feed(H + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + tail)
    except BadResponse:
        return
    if reader.done and reader.reusable:
        assert reader.head is not None
        if reader.head.framing == LENGTH:
            assert len(body) == reader.head.length == len(tail)
