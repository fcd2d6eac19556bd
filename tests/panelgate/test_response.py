from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panelgate.response import CHUNKED, CLOSE, LENGTH, NONE, BadResponse, ResponseReader
from tests.vectors.oddities import KEEP, ODDITIES, RESET, Oddity


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

# Beyond the table of oddities: ends that never come, which no browser would wait for.
ENDLESS = {
    "head too large": H + b"X: " + b"a" * 140_000,
    "too many lines": H + b"X: 1\r\n" * 600 + b"\r\n",
    "interim for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
    "trailers for ever": H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 50_000,
    "a trailer for ever": H + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 20_000,
    "chunk line for ever": H + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"a" * 20_000,
    "no end of line behind a chunk": H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok" + b"\r" * 20_000,
    "empty lines for ever": b"\r\n" * 1000,
}


def outcome(oddity: Oddity, cut: int) -> tuple[tuple[int | None, bytes, dict[str, str]], bool]:
    """What the reader makes of it, as the table writes it down; and whether the connection may be used again."""
    reader = ResponseReader()
    reader.reset(oddity.method.encode())
    data = oddity.answer
    try:
        body = b"".join(reader.feed(data[at : at + cut]) for at in range(0, len(data), cut))
        if not reader.done:
            assert oddity.ends != KEEP, "it would wait for ever"
            if oddity.ends == RESET:
                raise BadResponse("reset")
            reader.eof()
    except BadResponse:
        return (None, b"", {}), False
    head = reader.head
    assert head is not None
    keys = {key for key, _, _ in head.headers if key.startswith(b"x-")}
    headers = {key.decode(): b", ".join(head.values(key)).decode("latin-1") for key in keys}
    return (head.status, body, headers), reader.reusable


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.name)
def test_what_chromium_takes_is_read_and_what_it_refuses_is_refused(oddity: Oddity) -> None:
    read, reused = outcome(oddity, len(oddity.answer) or 1)
    assert read == oddity.read
    assert reused is oddity.reused


@pytest.mark.parametrize("cut", [1, 7, 1460])
def test_it_is_the_same_however_the_bytes_are_cut(cut: int) -> None:
    for oddity in ODDITIES:
        if len(oddity.answer) // cut < 3000:
            assert outcome(oddity, cut)[0] == oddity.read, oddity.name


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("cut", [5, 1_000_000])
def test_what_has_no_end_is_refused(name: str, cut: int) -> None:
    reader = ResponseReader()
    pieces = (ENDLESS[name][at : at + cut] for at in range(0, len(ENDLESS[name]), cut))
    with pytest.raises(BadResponse):
        deque(map(reader.feed, pieces), maxlen=0)


def test_every_difference_has_its_reason() -> None:
    for oddity in ODDITIES:
        assert bool(oddity.why) == (oddity.ours is not None or oddity.ours_headers is not None), oddity.name
    assert len({oddity.name for oddity in ODDITIES}) == len(ODDITIES) > 150


def test_head_has_no_body_and_keeps_its_length() -> None:
    reader, body = read(H + b"Content-Length: 77\r\n\r\n", method=b"HEAD")
    assert reader.done
    assert body == b""
    assert reader.head is not None
    assert (reader.head.framing, reader.head.length) == (NONE, 77)


@pytest.mark.parametrize("more", [b"", b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_that_asks_to_reset_the_form_is_told_to_be_empty(more: bytes) -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 205 Reset\r\n" + more + b"\r\n") == b""
    assert reader.done
    assert reader.head is not None
    assert (reader.head.framing, reader.head.length) == (LENGTH, 0)


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


def test_the_first_empty_line_ends_the_head_however_it_is_written() -> None:
    for cut in (0, 1, 5):
        reader, body = read(H + b"X: y\r\n\n\r\n", cut=cut)
        assert (reader.head is not None, body) == (True, b"\r\n")


def test_a_line_without_colon_is_no_header_even_when_its_text_is_a_known_name() -> None:
    for _ in range(2):
        reader, _ = read(H + b"X-Known: 1\nX-Known\nContent-Length\n" + CL2, eof=False)
        assert reader.head is not None
        assert (reader.head.values(b"x-known"), reader.head.values(b"content-length")) == ([b"1"], [b"2"])
        assert not reader.reusable


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
    reader, _ = read(H + b"X: a\x0bb\x7fc\r\n" + CL2)
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
