"""Text bodies on their way to the browser with a device's own addresses replaced; gzip and deflate are undone first.

A body is taken in as it arrives and given out in small pieces as fast as the browser takes them: a few bytes that
unpack to a gigabyte cost time and no memory. No I/O.
"""

from __future__ import annotations

import re
import zlib
from collections import deque
from typing import TYPE_CHECKING, Protocol

from webproxy.forward.rewrite import Replacer

if TYPE_CHECKING:
    from panelgate.response import ResponseHead
    from webproxy.forward.rewrite import Addresses

PIECE = 64 * 1024  # bytes unpacked at a time
MEMBERS_LIMIT = 1000  # gzip members of one body: a body of many empty ones would cost time for nothing

_TEXT = re.compile(
    rb"text/(?:html|css|javascript|ecmascript|x-javascript|plain|xml|event-stream|json)"
    rb"|application/(?:javascript|ecmascript|x-javascript|json|xml|x-ndjson|[\w.+-]+\+(?:json|xml))"
    rb"|image/svg\+xml"
)
# In these an ASCII character is not one byte of its value.
_WIDE = re.compile(rb"utf-?(?:16|32|7)|ucs-?[24]|iso-10646-ucs-[24]|ebcdic|cp037|unicode")
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CODINGS = {b"": 0, b"identity": 0, b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class BadBody(Exception):
    """The body is not compressed as its head says; the text says so in a technician's words."""


def is_text(head: ResponseHead) -> bool:
    """Whether addresses are looked for in this response's body: a whole text that is shown, not one that is saved."""
    if head.status == 206:
        return False  # counted in bytes of the device's; only whole texts are rewritten
    kinds = head.values(b"content-type")
    if not kinds:
        return False
    kind, _, parameters = kinds[-1].lower().partition(b";")
    if not _TEXT.fullmatch(kind.strip()) or _WIDE.search(parameters):
        return False
    # What is saved to a file may be loaded back into the device: it stays as it is.
    return not any(value.lower().lstrip().startswith(b"attachment") for value in head.values(b"content-disposition"))


def coding_of(head: ResponseHead) -> int | None:
    """How the body is compressed, as zlib's window bits; 0 for not at all, None when it can't be read here."""
    coding = b",".join(head.values(b"content-encoding")).strip().lower()
    return _CODINGS.get(coding)


def _zlib_head(data: bytes) -> bool:
    """Whether a stream begins as RFC 1950 section 2.2 says."""
    return len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0


def filter_of(addresses: Addresses | None, head: ResponseHead, *more: Rewriter) -> BodyFilter:
    """The filter for this response's body, once `is_text` and `coding_of` said that there is one.

    It replaces `addresses`, and does what `more` do before that.
    """
    return BodyFilter(addresses, coding_of(head) or 0, *more)


class Rewriter(Protocol):
    """Changes a text in a stream."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give what is decided."""
        ...

    def finish(self) -> bytes:
        """The text is complete: the rest."""
        ...


class BodyFilter:
    """One body. `feed` takes bytes, `take` gives what may go out next; `done` once everything was given."""

    __slots__ = (
        "_bits", "_first", "_inflater", "_last", "_members", "_pending", "_rewriters", "_started", "_undecided", "done",
    )  # fmt: skip

    def __init__(self, addresses: Addresses | None, bits: int, *more: Rewriter) -> None:
        self._rewriters: tuple[Rewriter, ...] = (*more, Replacer(addresses)) if addresses is not None else more
        self._bits = bits
        self._inflater = zlib.decompressobj(bits) if bits else None
        self._pending: deque[bytes] = deque()  # as bounded as the stream's window, since reading pauses with writing
        self._last = False
        self._started = False
        # Many servers send the bare stream as "deflate" (RFC 9110 section 8.4.1.2, note): two bytes tell.
        self._undecided = bits == 15
        self._first = b""
        self._members = 1
        self.done = False

    def feed(self, data: bytes, *, last: bool) -> None:
        """Take bytes as the device sent them; `last`: there are no more."""
        if data:
            self._pending.append(self._first + data)
            self._first = b""
        self._last = self._last or last

    def begin(self, data: bytes, *, last: bool) -> bytes:
        """Take the first bytes and give what is ready of them, so that a small body goes out with its head."""
        self.feed(data, last=last)
        out: list[bytes] = []
        while sum(map(len, out)) < PIECE and (piece := self.take()):
            out.append(piece)
        return b"".join(out)

    def take(self) -> bytes:
        """The next piece for the browser, nothing when there is none for now. BadBody when it can't be unpacked."""
        while self._pending:
            piece = self._unpacked(self._pending.popleft())
            out = self._through(piece) if piece else b""
            if out:
                return out
        if not self._last or self.done:
            return b""
        self.done = True
        if self._inflater is not None and self._started and not self._inflater.eof:
            raise BadBody("its compressed text breaks off")
        rest = b""
        for rewriter in self._rewriters:
            rest = (rewriter.feed(rest) if rest else b"") + rewriter.finish()
        return rest

    def _through(self, piece: bytes) -> bytes:
        if not self._started:
            self._started = True
            if piece.startswith(_WIDE_MARKS):
                self._rewriters = ()  # UTF-16, whatever the head says
        for rewriter in self._rewriters:
            piece = rewriter.feed(piece) if piece else b""
        return piece

    def _unpacked(self, data: bytes) -> bytes:
        if self._undecided:
            if len(data) < 2 and not self._last:
                self._first = data  # one byte doesn't tell; nothing else waits, since `feed` joins it to the next
                return b""
            self._undecided = False
            if not _zlib_head(data):
                self._inflater = zlib.decompressobj(-15)
        inflater = self._inflater
        if inflater is None:
            return data
        if inflater.eof:
            return self._next_member(data)
        try:
            piece = inflater.decompress(data, PIECE)
        except zlib.error as error:
            raise BadBody("its text is not compressed as the head says") from error
        rest = inflater.unconsumed_tail or inflater.unused_data
        if rest:
            self._pending.appendleft(rest)
        self._started = self._started or bool(piece)
        return piece

    def _next_member(self, data: bytes) -> bytes:
        """What comes behind the end: another gzip member, or garbage that browsers pass over too."""
        self._members += 1
        if self._bits == 31 and data[:1] == b"\x1f" and self._members <= MEMBERS_LIMIT:
            self._inflater = zlib.decompressobj(31)
            return self._unpacked(data)
        self._pending.clear()
        return b""
