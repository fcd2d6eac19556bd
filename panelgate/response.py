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
INTERIM_LIMIT = 100  # 1xx answers before the real one: more is no HTTP server
LINE_LIMIT = 16 * 1024  # bytes of a chunk's size line with its extensions, and of a trailer; as Chromium's
TRAILER_LIMIT = 128 * 1024  # bytes of all trailers, which are dropped
LENGTH_LIMIT = 2**63 - 1  # bytes of a body; a larger Content-Length is none
NAME_CACHE_LIMIT = 1024  # header names remembered in lower case
SLOP = 4  # junk bytes before "HTTP" that Chromium forgives

# Chromium's reading of a status line: what stands for a version is looked at a digit each side of the first dot, and
# where no status can be found after the first space the answer counts as 200.
_VERSION = re.compile(rb"HTTP/(\d)[^.]*\.(\d)", re.IGNORECASE)
_STATUS = re.compile(rb"[^ ]* +(\d+) *(.*)")
_FOLD = re.compile(rb"\n[ \t]+")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ODD_BYTES = bytes([*range(9), 11, 12, *range(14, 32), 127])
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HEX = re.compile(rb"0*([0-9A-Fa-f]{1,15})")
_NO_BODY: Final = frozenset({204, 304})

NONE, LENGTH, CHUNKED, CLOSE = range(4)
_HEAD, _BODY, _SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(7)

_names: dict[bytes, bytes] = {}


class BadResponse(Exception):
    """What came is no HTTP response, or breaks off; the text says why in a technician's words."""


class ResponseHead:
    """Status and headers. `headers` are (lower-case name, name as sent, value)."""

    __slots__ = ("framing", "headers", "length", "prepared", "reason", "status", "unkept", "version")

    def __init__(self, version: tuple[int, int], status: int, reason: bytes) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.headers: list[tuple[bytes, bytes, bytes]] = []
        self.framing = CLOSE
        self.length = 0
        # The browser's header lines for it, with the visit they were made for; see Exchange.
        self.prepared: tuple[object, bytes] | None = None
        self.unkept = False  # whether a cache has looked at it and may not keep what it stands before

    def values(self, name: bytes) -> list[bytes]:
        """All values of the header `name` (lower case), in order."""
        return [value for key, _, value in self.headers if key == name]


class ResponseReader:
    """Feed bytes, take the body's bytes; `head`, `done`, `reusable` and `rest` say how far it is."""

    __slots__ = (
        "_at", "_buffer", "_held", "_interim", "_known", "_left", "_method", "_state", "_upgrade", "done", "head",
        "rest", "reusable",
    )  # fmt: skip

    def __init__(self) -> None:
        # The last clean head, with what it answered and how its body is framed: a panel that is polled often sends
        # the same head again, byte for byte.
        self._known: tuple[bytes, bytes, ResponseHead, int, int] | None = None
        self._held = bytearray()
        self.reset(b"GET")

    def reset(self, method: bytes, *, upgrade: bool = False) -> None:
        """Expect the response to a request with `method`; `upgrade`: a 101 is an answer and not an interim one."""
        self._method = method
        self._upgrade = upgrade
        self._state = _HEAD
        self._held.clear()  # of a head that has not come whole
        self._buffer = b""  # of the chunks' framing
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
        return self.head is not None or bool(self._held) or self._interim > 0

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
        buffer = self._with_held(data) if self._held else data
        while True:
            raw, buffer = self._cut(buffer)
            if not raw:
                return b""
            if self._repeats(raw):
                return self.feed(buffer) if buffer else b""
            head = self._parse(raw)
            if head.status >= 200 or (head.status == 101 and self._upgrade):
                break
            if head.status == 101:
                self.reusable = False  # a switch that nobody asked for; Chromium waits for the real answer as well
            self._interim += 1
            if self._interim > INTERIM_LIMIT:
                raise BadResponse("too many interim answers")
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

    def _with_held(self, data: bytes) -> bytes:
        """The head's beginning that waited, and `data`; nothing, and it waits on, when its end is not in there.

        Only what is new is searched: a head in many small pieces must not cost the square of its length.
        """
        held = self._held
        start = len(held)
        held += data
        if start > SLOP + 4 and _end_of_head(held, start - 2)[0] < 0:
            if len(held) > HEAD_LIMIT:
                raise BadResponse("the head is larger than 128 kB")
            return b""
        buffer = bytes(held)
        held.clear()
        return buffer

    def _cut(self, buffer: bytes) -> tuple[bytes, bytes]:
        """The head in `buffer` and what follows it; nothing while it is not whole, and it waits."""
        if buffer[:4] != b"HTTP" and buffer:
            buffer = self._from_start(buffer)
        end, after = _end_of_head(buffer)
        if end > HEAD_LIMIT or (end < 0 and len(buffer) > HEAD_LIMIT):
            raise BadResponse("the head is larger than 128 kB")
        if end >= 0:
            return buffer[:end], buffer[after:]
        if buffer:
            self._held[:] = buffer
        return b"", b""

    def _from_start(self, buffer: bytes) -> bytes:
        """`buffer` from "HTTP" on, a few bytes before it forgiven; nothing while that can't be told."""
        window = buffer[: SLOP + 4].lower()
        at = window.find(b"http")
        if at < 0:
            if len(window) == SLOP + 4:
                raise BadResponse("it is not HTTP")
            self._held[:] = buffer
            return b""
        if b"\0" in window[:at]:
            raise BadResponse("there is a NUL in the head")
        if window[:at].strip(b"\r\n"):
            self.reusable = False
        return buffer[at:]

    def _repeats(self, raw: bytes) -> bool:
        """Whether the head is the last clean one again; then the reader is behind it."""
        known = self._known
        if known is None or known[0] != raw or known[1] != self._method or self._upgrade:
            return False
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
            # A CR alone ends a line for Chromium; folded lines are joined (RFC 9112 section 5.2).
            raw = _FOLD.sub(b" ", raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
            self.reusable = False
        lines = raw.split(b"\n")
        if len(lines) > LINES_LIMIT:
            raise BadResponse("the head has more than 500 lines")
        head = self._start_line(lines[0].rstrip(b"\r \t"))
        headers = head.headers
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            key = _names.get(name) if colon else None
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

    def _start_line(self, line: bytes) -> ResponseHead:
        match = _VERSION.match(line)
        version = (int(match[1]), int(match[2])) if match else (1, 0)
        found = _STATUS.match(line)
        status, reason = (int(found[1][:9]), found[2]) if found else (200, b"")
        if not match or not found:
            self.reusable = False
        if not 100 <= status <= 999:
            # No browser's and no load balancer's: RFC 9110 section 15 has it counted as 5xx.
            status = 500
            self.reusable = False
        return ResponseHead(version, status, _CONTROL.sub(b" ", reason))

    def _frame(self, head: ResponseHead) -> None:
        """Decide where the body ends: RFC 9112 section 6.3, with doubts noted."""
        lengths = coding = connection = b""
        for key, _, value in head.headers:
            if key == b"content-length":
                lengths = lengths + b"," + value if lengths else value or b"-"
            elif key == b"transfer-encoding":
                coding = (coding + b"," + value if coding else value or b"-").lower()
            elif key == b"connection":
                connection = (connection + b"," + value if connection else value).lower()
        codings = [token.strip() for token in coding.split(b",")] if coding else []
        if codings not in ([], [b"chunked"]):
            self.reusable = False
        chunked = b"chunked" in codings and head.version >= (1, 1)
        length = self._length(lengths, chunked=chunked) if lengths else None
        if codings and (length is not None or not chunked):
            self.reusable = False
        if b"close" in connection if head.version >= (1, 1) else b"keep-alive" not in connection:
            self.reusable = False
        if self._method == b"HEAD" or head.status in _NO_BODY:
            head.framing = NONE
            head.length = -1 if length is None or chunked else length
            self._finish()
        elif head.status == 205:
            # Chromium reads no body here. RFC 9112 section 6.3 knows no such rule, so who comes after us is told.
            head.framing = LENGTH
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

    def _length(self, values: bytes, *, chunked: bool) -> int:
        """What the Content-Length headers say, joined by commas: -1 when it is no length; two that differ are refused.

        They differ by their text, as for Chromium, which looks at them only when the body is not chunked.
        """
        if values.isdigit() and len(values) <= 18:
            return int(values)
        self.reusable = False
        if chunked:
            return -1
        parts = {part.strip(b" \t") for part in values.split(b",")}
        if len(parts) > 1:
            raise BadResponse("two different Content-Length headers")
        digits = parts.pop()
        significant = digits.lstrip(b"0")
        if not digits.isdigit() or len(significant) > 19 or int(significant or b"0") > LENGTH_LIMIT:
            return -1
        return int(significant or b"0")

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
            line = self._line(LINE_LIMIT, "a chunk's size line is too long")
            if line is None:
                return False
            size = _HEX.fullmatch(line.partition(b";")[0].rstrip(b" "))
            if size is None:
                raise BadResponse("a chunk has no size")
            self._left = int(size[1], 16)
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
        line = self._line(LINE_LIMIT, "the trailers are too long")
        if line is None:
            return False
        self._left += len(line) + 1
        if self._left > TRAILER_LIMIT:
            raise BadResponse("the trailers are too long")
        if not line:
            self._finish()
        return bool(line)


def _end_of_head(buffer: bytes | bytearray, start: int = 0) -> tuple[int, int]:
    """Where the head's last line ends and where the body begins; (-1, -1) before that. Bare LF counts as an end."""
    end = buffer.find(b"\n\r\n", start)
    bare = buffer.find(b"\n\n", start) if end < 0 else buffer.find(b"\n\n", start, end + 1)
    if bare >= 0:
        return bare, bare + 2
    return (end, end + 3) if end >= 0 else (-1, -1)


def _remember(name: bytes) -> bytes:
    if len(_names) >= NAME_CACHE_LIMIT:
        _names.clear()
    key = _names[name] = name.lower()
    return key
