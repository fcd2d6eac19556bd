"""A device's answer in any bytes: read or refused, the same however it is cut, in bounds, and never split in two."""

from __future__ import annotations

import re
from collections.abc import Iterator

from panelgate.response import CLOSE, HEAD_LIMIT, LENGTH, LINE_LIMIT, BadResponse, ResponseReader
from tests.vectors.oddities import ODDITIES

_METHODS = (b"GET", b"HEAD", b"POST", b"GET")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
Outcome = tuple[object, ...]


def one(data: bytes) -> None:
    """The first byte chooses the request, the second where the answer, which is the rest, is cut."""
    if len(data) < 2:
        return
    method, upgrade, cut, answer = _METHODS[data[0] & 3], bool(data[0] & 4), data[1] % 61 + 1, data[2:]
    reader = ResponseReader()
    whole = outcome(reader, method, upgrade, [answer])
    pieces = [answer[at : at + cut] for at in range(0, len(answer), cut)]
    assert outcome(ResponseReader(), method, upgrade, pieces) == whole, "it depends on how the bytes are cut"
    assert outcome(reader, method, upgrade, [answer]) == whole, "it depends on the answer before"


def outcome(reader: ResponseReader, method: bytes, upgrade: bool, pieces: list[bytes]) -> Outcome:
    """What is read of `pieces`; the device closes in the end."""
    reader.reset(method, upgrade=upgrade)
    body, rest, size = b"", b"", sum(map(len, pieces))
    try:
        for piece in pieces:
            if reader.done and reader.head is not None and reader.head.status == 101:
                rest += piece  # the reader has no part in what is switched to
                continue
            body += reader.feed(piece)
            assert len(reader._held) <= HEAD_LIMIT, "more of a head is held than there may be"
            assert len(reader._buffer) <= LINE_LIMIT + 1, "more of a line is held than there may be"
        if not reader.done:
            reader.eof()
            assert not reader.reusable
    except BadResponse:
        return ("refused",)
    head = reader.head
    assert head is not None
    assert reader.done
    rest = reader.rest + rest
    assert len(body) + len(rest) <= size
    assert 100 <= head.status <= 999
    assert not _CONTROL.search(head.reason), "the reason could begin a line"
    for key, name, value in head.headers:
        assert _TOKEN.fullmatch(name), name
        assert key == name.lower()
        assert not _CONTROL.search(value), "a value could begin a line"
    if head.framing == LENGTH and reader.reusable:
        assert len(body) == head.length
    if reader.reusable:
        assert head.framing != CLOSE
    return head.status, head.reason, tuple(head.headers), head.framing, head.length, body, rest, reader.reusable


def seeds() -> Iterator[bytes]:
    """The table of oddities, and what was found once."""
    for number, oddity in enumerate(ODDITIES):
        if len(oddity.answer) < 4000:
            yield bytes([oddity.method == "HEAD", number % 61]) + oddity.answer
    yield b"\0\4HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\n\r\n"
    yield b"\0\0HTTP/1.1 200 OK\nX-Unseen\nX-Unseen: 1\n\n"
    yield b"\4\7HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02ok"
