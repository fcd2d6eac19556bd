"""A device's HTTP/1.1 response, read as tolerantly as Chromium reads it, and framed without doubt. No I/O.

Small controllers write heads that strict parsers refuse; what a browser renders is forwarded. Where a response leaves
any doubt about where it ends (RFC 9112 section 6), its bytes still go to the browser, but `reusable` is False: the
connection it came on is closed, so a second request can never meet the rest of the first answer.
"""

from __future__ import annotations

import re
from typing import Final

HEAD_LIMIT = 128 * 1024  # bytes of a response head; Chromium allows 256 kB, real devices stay under 20 kB
LINES_LIMIT = 500  # header lines; 200 were seen
INTERIM_LIMIT = 10  # 1xx answers before the real one: more is no HTTP server
CHUNK_LINE_LIMIT = 4096  # bytes of a chunk's size line with its extensions
TRAILER_LIMIT = 16 * 1024  # bytes of trailers, which are dropped
NAME_CACHE_LIMIT = 1024  # header names remembered in lower case
SLOP = 4  # junk bytes before "HTTP" that Chromium forgives

_STATUS = re.compile(rb"HTTP(?:/(\d+)\.(\d+))?[ \t]+(\d{3})(?:[ \t]+(.*))?", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ODD_BYTES = bytes([*range(9), 11, 12, *range(14, 32), 127])
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")
_NO_BODY: Final = frozenset({204, 205, 304})

NONE, LENGTH, CHUNKED, CLOSE = range(4)
_HEAD, _BODY, _SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(7)

_names: dict[bytes, bytes] = {}


class BadResponse(Exception):
    """What came is no HTTP response, or breaks off; the text says why in a technician's words."""


class ResponseHead:
    """Status and headers. `headers` are (lower-case name, name as sent, value)."""

    __slots__ = ("framing", "headers", "length", "prepared", "reason", "status", "version")

    def __init__(self, version: tuple[int, int], status: int, reason: bytes) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.headers: list[tuple[bytes, bytes, bytes]] = []
        self.framing = CLOSE
        self.length = 0
        # The browser's header lines for it, with the visit they were made for; see Exchange.
        self.prepared: tuple[object, bytes] | None = None

    def values(self, name: bytes) -> list[bytes]:
        """All values of the header `name` (lower case), in order."""
        return [value for key, _, value in self.headers if key == name]


class ResponseReader:
    """Feed bytes, take the body's bytes; `head`, `done`, `reusable` and `rest` say how far it is."""

    __slots__ = (
        "_at", "_buffer", "_interim", "_known", "_left", "_method", "_state", "_upgrade", "done", "head", "rest",
        "reusable",
    )  # fmt: skip

    def __init__(self) -> None:
        # The last clean head, with what it answered and how its body is framed: a panel that is polled often sends
        # the same head again, byte for byte.
        self._known: tuple[bytes, bytes, ResponseHead, int, int] | None = None
        self.reset(b"GET")

    def reset(self, method: bytes, *, upgrade: bool = False) -> None:
        """Expect the response to a request with `method`; `upgrade`: a 101 is an answer and not an interim one."""
        self._method = method
        self._upgrade = upgrade
        self._state = _HEAD
        self._buffer = b""
        self._at = 0
        self._interim = 0
        self._left = 0
        self.head: ResponseHead | None = None
        self.done = False
        self.reusable = True
        self.rest = b""  # bytes after a 101

    @property
    def started(self) -> bool:
        """Whether any byte of a response has come."""
        return self.head is not None or bool(self._buffer) or self._interim > 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the device; the decoded body bytes in them. BadResponse when it is no response."""
        state = self._state
        if state == _HEAD:
            return self._feed_head(data)
        if state == _BODY:
            return self._body(data)
        if state == _DONE:
            if data:
                self.reusable = False
            return b""
        return self._chunks(data)

    def eof(self) -> None:
        """The device has closed. BadResponse when that cuts the response short."""
        self.reusable = False
        if self._state == _DONE:
            return
        if self._state == _BODY and self.head is not None and self.head.framing == CLOSE:
            self._finish()
            return
        if self.head is None:
            raise BadResponse("closed in the middle of the head" if self.started else "closed without an answer")
        raise BadResponse("closed before the end of the body")

    def _finish(self) -> None:
        self._state = _DONE
        self.done = True

    # ---- head

    def _feed_head(self, data: bytes) -> bytes:
        buffer = self._buffer + data if self._buffer else data
        while True:
            if buffer[:1] in (b"\r", b"\n", b" "):
                buffer = buffer.lstrip(b"\r\n ")
            end, after = _end_of_head(buffer)
            if end < 0:
                self._keep(buffer)
                return b""
            if end > HEAD_LIMIT:
                raise BadResponse("the head is larger than 128 kB")
            raw = buffer[:end]
            buffer = buffer[after:]
            if self._repeats(raw):
                return self.feed(buffer) if buffer else b""
            head = self._parse(raw)
            if head.status >= 200 or (head.status == 101 and self._upgrade):
                break
            if head.status == 101:
                raise BadResponse("it switched to another protocol unasked")
            self._interim += 1
            if self._interim > INTERIM_LIMIT:
                raise BadResponse("too many interim answers")
        self._buffer = b""
        self.head = head
        self._frame(head)
        if self.reusable and not self._upgrade:
            self._known = (raw, self._method, head, self._state, self._left)
        if head.status == 101:
            self.rest = buffer
            self.reusable = False
            self._finish()
            return b""
        if self._state == _DONE:
            if buffer:
                self.reusable = False
            return b""
        return self.feed(buffer) if buffer else b""

    def _keep(self, buffer: bytes) -> None:
        """Wait for the rest of a head, unless it can't become one."""
        if len(buffer) > HEAD_LIMIT:
            raise BadResponse("the head is larger than 128 kB")
        if len(buffer) > SLOP + 4 and b"http" not in buffer[: SLOP + 4].lower():
            raise BadResponse("it is not HTTP")
        self._buffer = buffer

    def _repeats(self, raw: bytes) -> bool:
        """Whether the head is the last clean one again; then the reader is behind it."""
        known = self._known
        if known is None or known[0] != raw or known[1] != self._method or self._upgrade:
            return False
        self._buffer = b""
        self.head = known[2]
        self._state, self._left = known[3], known[4]
        self.done = self._state == _DONE
        return True

    def _parse(self, raw: bytes) -> ResponseHead:
        if b"\0" in raw:
            raise BadResponse("there is a NUL in the head")
        raw = raw.removesuffix(b"\r")  # of the last line, whose end was not taken along
        # Four scans in C, where one regular expression would take ten times as long.
        odd = (
            len(raw.translate(None, _ODD_BYTES)) != len(raw)
            or raw.count(b"\r") != raw.count(b"\r\n")
            or b"\n " in raw
            or b"\n\t" in raw
        )
        if odd:
            # Folded lines are joined (RFC 9112 section 5.2); control characters may not travel on.
            raw = re.sub(rb"\r?\n[ \t]+", b" ", raw)
            self.reusable = False
        lines = raw.split(b"\n")
        if len(lines) > LINES_LIMIT:
            raise BadResponse("the head has more than 500 lines")
        start = lines[0].rstrip(b"\r \t")
        at = start[: SLOP + 4].lower().find(b"http")
        if at > 0:
            start = start[at:]
            self.reusable = False
        match = _STATUS.fullmatch(start)
        if match is None:
            raise BadResponse("it is not HTTP")
        major, minor, status, reason = match.groups()
        version = (int(major[:4]), int(minor[:4])) if major else (1, 0)
        head = ResponseHead(version, int(status), _CONTROL.sub(b" ", reason or b""))
        if head.status < 100:
            raise BadResponse("the status is no HTTP status")
        headers = head.headers
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            key = _names.get(name)
            if key is None:
                name = name.rstrip(b" \t")
                if not colon or not _TOKEN.fullmatch(name):
                    self.reusable = False
                    continue
                key = _remember(name)
            value = value.strip(b" \t\r")
            if odd:
                value = _CONTROL.sub(b" ", value)
            headers.append((key, name, value))
        return head

    def _frame(self, head: ResponseHead) -> None:
        """Decide where the body ends: RFC 9112 section 6.3, with doubts noted."""
        length: int | None = None
        coding = connection = b""
        for key, _, value in head.headers:
            if key == b"content-length":
                length = self._length(value, length)
            elif key == b"transfer-encoding":
                coding = (coding + b"," + value if coding else value).lower()
            elif key == b"connection":
                connection = (connection + b"," + value if connection else value).lower()
        codings = [token.strip() for token in coding.split(b",")] if coding else []
        if codings not in ([], [b"chunked"]):
            self.reusable = False
        chunked = b"chunked" in codings and head.version >= (1, 1)
        if codings and (length is not None or not chunked):
            self.reusable = False
        if head.version >= (1, 1):
            if b"close" in connection:
                self.reusable = False
        elif b"keep-alive" not in connection:
            self.reusable = False
        if self._method == b"HEAD" or head.status in _NO_BODY:
            head.framing = NONE
            head.length = -1 if length is None or chunked else length
            self._finish()
        elif chunked:
            head.framing = CHUNKED
            self._state = _SIZE
        elif length is not None and length >= 0:
            head.framing = LENGTH
            head.length = self._left = length
            self._state = _BODY
            if not length:
                self._finish()
        else:
            head.framing = CLOSE
            self.reusable = False
            self._state = _BODY

    def _length(self, value: bytes, before: int | None) -> int:
        """A Content-Length as Chromium reads it: -1 when it is no length; two that differ are refused."""
        if value.isdigit() and len(value) <= 18:
            length = int(value)
        else:
            parts = {part.strip() for part in value.split(b",")}
            self.reusable = False
            if len(parts) > 1:
                raise BadResponse("two different Content-Length headers")
            only = parts.pop()
            length = int(only) if only.isdigit() and len(only) <= 18 else -1
        if before is not None:
            self.reusable = False
            if before != length:
                raise BadResponse("two different Content-Length headers")
        return length

    # ---- body

    def _body(self, data: bytes) -> bytes:
        if self.head is not None and self.head.framing == CLOSE:
            return data
        left = self._left
        size = len(data)
        if size < left:
            self._left = left - size
            return data
        self._left = 0
        self._finish()
        if size > left:
            self.reusable = False
            return data[:left]
        return data

    def _line(self, limit: int, what: str) -> bytes | None:
        at = self._buffer.find(b"\n", self._at)
        end = len(self._buffer) if at < 0 else at
        if end - self._at > limit:
            raise BadResponse(what)
        if at < 0:
            return None
        line = self._buffer[self._at : at]
        self._at = at + 1
        return line.rstrip(b"\r")

    def _chunks(self, data: bytes) -> bytes:
        """Decode the chunked coding (RFC 9112 section 7.1); bare LF accepted, extensions and trailers dropped."""
        if self._state == _DATA and len(data) < self._left:
            self._left -= len(data)
            return data
        self._buffer = self._buffer + data if self._buffer else data
        self._at = 0
        out: list[bytes] = []
        while self._step(out):
            pass
        self._buffer = self._buffer[self._at :]
        if self.done and self._buffer:
            self.reusable = False
            self._buffer = b""
        return out[0] if len(out) == 1 else b"".join(out)

    def _step(self, out: list[bytes]) -> bool:
        """Take one piece from the buffer; False when more bytes are needed or the body is complete."""
        state = self._state
        if state == _DATA:
            piece = self._buffer[self._at : self._at + self._left]
            if not piece:
                return False
            out.append(piece)
            self._at += len(piece)
            self._left -= len(piece)
            if not self._left:
                self._state = _DATA_END
            return True
        if state == _SIZE:
            line = self._line(CHUNK_LINE_LIMIT, "a chunk's size line is too long")
            if line is None:
                return False
            size = line.partition(b";")[0].strip(b" \t")
            if not _HEX.fullmatch(size):
                raise BadResponse("a chunk has no size")
            self._left = int(size, 16)
            self._state = _DATA if self._left else _TRAILER
            return True
        if state == _DATA_END:
            line = self._line(2, "a chunk is longer than its size")
            if line:
                raise BadResponse("a chunk is longer than its size")
            self._state = _DATA_END if line is None else _SIZE
            return line is not None
        return self._trailer()

    def _trailer(self) -> bool:
        line = self._line(TRAILER_LIMIT, "the trailers are too long")
        if line is None:
            return False
        self._left += len(line) + 1
        if self._left > TRAILER_LIMIT:
            raise BadResponse("the trailers are too long")
        if not line:
            self._finish()
        return bool(line)


def _end_of_head(buffer: bytes) -> tuple[int, int]:
    """Where the head's last line ends and where the body begins; (-1, -1) before that. Bare LF counts as an end."""
    end = buffer.find(b"\n\r\n")
    bare = buffer.find(b"\n\n") if end < 0 else buffer.find(b"\n\n", 0, end)
    if bare >= 0:
        return bare, bare + 2
    return (end, end + 3) if end >= 0 else (-1, -1)


def _remember(name: bytes) -> bytes:
    if len(_names) >= NAME_CACHE_LIMIT:
        _names.clear()
    key = _names[name] = name.lower()
    return key
