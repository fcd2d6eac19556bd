"""The chunked coding against a second reading of it, written to be plain: the same body, the same end, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

from panelgate.response import LINE_LIMIT, TRAILER_LIMIT, BadResponse, ResponseReader
from tests.vectors.oddities import GROUPS

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Refused(Exception):
    """No chunked body."""


def one(data: bytes) -> None:
    """The first byte says where the chunked body, which is the rest, is cut."""
    if not data:
        return
    cut, wire = data[0] % 61 + 1, data[1:]
    try:
        expected = plain(wire)
    except Refused:
        expected = None
    reader = ResponseReader()
    reader.feed(_HEAD)
    body = b""
    try:
        for at in range(0, len(wire), cut):
            body += reader.feed(wire[at : at + cut])
    except BadResponse:
        assert expected is None or len(wire) > LINE_LIMIT, "refused, and it is a chunked body"
        return
    assert expected is not None, "read, and it is no chunked body"
    whole, rest = expected
    assert body == whole, "another body"
    assert reader.done == (rest is not None), "another end"
    assert not rest or not reader.reusable, "what follows would be the next answer's"


def plain(wire: bytes) -> tuple[bytes, bytes | None]:
    """The body so far, and what follows its end; None while there is none."""
    body = b""
    while True:
        line, found, wire = wire.partition(b"\n")
        if not found:
            return body, None
        size = line.rstrip(b"\r").split(b";")[0].rstrip(b" ")
        if not re.fullmatch(rb"[0-9A-Fa-f]+", size) or len(size.lstrip(b"0")) > 15:
            raise Refused
        left = int(size, 16)
        if not left:
            break
        body += wire[:left]
        if len(wire) < left:
            return body, None
        line, found, wire = wire[left:].partition(b"\n")
        if not found and len(line) <= 2:
            return body, None
        if line.strip(b"\r") or len(line) > 2:
            raise Refused
    size_of_trailers = 0
    while True:
        line, found, wire = wire.partition(b"\n")
        size_of_trailers += len(line) + 1
        if size_of_trailers > TRAILER_LIMIT:
            raise Refused
        if not found:
            return body, None
        if not line.rstrip(b"\r"):
            return body, wire


def seeds() -> Iterator[bytes]:
    """Chunked answers of the table of oddities, and a plain one."""
    yield b"\x10" + b"5;name=value\r\nhello\r\n6\n world\n0\r\nX-Sum: 1\r\n\r\nrest"
    for oddity in GROUPS["chunked"]:
        body = oddity.answer.partition(b"\r\n\r\n")[2]
        if len(body) < 4000:
            yield b"\x05" + body
