"""The wire of the multiplexer: frames, their limits, their codes. Bytes in, frames out; no I/O.

    0                   4                       7    8
    +-------------------+-----------------------+----+------------------ - -
    | stream   u32      | length   u24          |type| payload, `length` bytes
    +-------------------+-----------------------+----+------------------ - -

Everything is big-endian. docs/protocol.md is the specification and tests/vectors/mux-v1.json its examples.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

LOWEST_VERSION: Final = 1
HIGHEST_VERSION: Final = 1

MAX_DATA: Final = 64 * 1024 - 8  # with its header a full DATA frame is exactly four TLS records of 16 KiB
MAX_SERVICE: Final = 128  # bytes of a service id: a UUID takes 32, the rest is room for later versions
MAX_TEXT: Final = 256  # bytes of a reason: enough for a certificate's fingerprint, too short to hide traffic in
IGNORABLE: Final = 0x80  # frame types from here on are skipped when unknown; below, unknown is an error

_HEADER: Final = struct.Struct(">II")
_HELLO: Final = struct.Struct(">HH")
_U32: Final = struct.Struct(">I")
_U16: Final = struct.Struct(">H")
HEADER_SIZE: Final = _HEADER.size


class Kind(IntEnum):
    """Frame types."""

    HELLO = 1
    OPEN = 2
    DATA = 3
    CREDIT = 4
    FIN = 5
    RESET = 6
    PING = 7
    PONG = 8
    GOAWAY = 9


_DATA: Final = int(Kind.DATA)

# Payload sizes that are allowed, and whether the frame belongs to a stream (stream id > 0) or to the circuit (0).
LIMITS: Final[dict[int, tuple[int, int, bool]]] = {
    Kind.HELLO: (4, 64, False),  # what follows the two versions is for later versions, and skipped
    Kind.OPEN: (1, MAX_SERVICE, True),
    Kind.DATA: (1, MAX_DATA, True),
    Kind.CREDIT: (4, 4, True),
    Kind.FIN: (0, 0, True),
    Kind.RESET: (2, 2 + MAX_TEXT, True),
    Kind.PING: (8, 8, False),
    Kind.PONG: (8, 8, False),
    Kind.GOAWAY: (2, 2 + MAX_TEXT, False),
}


class StreamError(IntEnum):
    """Why one stream ended early. The text beside it is a short detail for machines and logs."""

    REFUSED = 1  # policy: not in the ticket or not in the agent's configuration
    UNKNOWN_SERVICE = 2
    CONNECTION_REFUSED = 3  # the target answered, and its port is closed
    UNREACHABLE = 4  # no route, no such host
    TIMEOUT = 5
    TLS = 6  # the target's certificate is not the expected one; text "certificate sha256 AB:CD.."
    LIMIT = 7
    PEER_RESET = 8  # the target broke the connection off
    INTERNAL = 9  # a bug of ours, on the side that sent it
    CLOSED = 10  # nobody reads any more: closed on purpose, or the circuit went away


class CircuitEnd(IntEnum):
    """Why a whole circuit ended. Below 100 they travel in GOAWAY; the rest only name what was seen here."""

    NORMAL = 0
    SHUTDOWN = 1  # the process ends
    PROTOCOL = 2  # the other side broke the rules
    REVOKED = 3  # the permission or the session is gone
    IDLE = 4
    LIMIT = 5
    INTERNAL = 6
    EXPIRED = 7
    CARRIER = 100  # the carrier was lost
    DEAD = 101  # nothing was heard for too long
    TLS = 102  # the inner TLS failed
    HANDSHAKE = 103  # it never came up


class ProtocolError(Exception):
    """The other side broke the rules of the wire: the circuit can't go on."""


class Frame(NamedTuple):
    """One frame, or for DATA and skipped types a piece of one: pieces are handed on as they arrive."""

    kind: int
    stream: int
    payload: bytes


def encode(kind: int, stream: int = 0, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return _HEADER.pack(stream, len(payload) << 8 | kind) + payload


def data_header(stream: int, length: int) -> bytes:
    """The header of a DATA frame; the payload follows without being copied here."""
    return _HEADER.pack(stream, length << 8 | 3)


def hello(lowest: int = LOWEST_VERSION, highest: int = HIGHEST_VERSION) -> bytes:
    """The first frame of each side: the versions it speaks."""
    return encode(Kind.HELLO, 0, _HELLO.pack(lowest, highest))


def credit(stream: int, count: int) -> bytes:
    """CREDIT: the other side may send `count` bytes more on `stream`."""
    return encode(Kind.CREDIT, stream, _U32.pack(count))


def reason(kind: Kind, stream: int, code: int, text: str) -> bytes:
    """RESET or GOAWAY: a code and a short text, cut at MAX_TEXT bytes of UTF-8."""
    return encode(kind, stream, _U16.pack(code) + _clipped(text))


def parse_hello(payload: bytes) -> tuple[int, int]:
    """The lowest and the highest version the other side speaks."""
    lowest, highest = _HELLO.unpack_from(payload)
    if not 0 < lowest <= highest:
        raise ProtocolError("HELLO names impossible versions")
    return lowest, highest


def common_version(lowest: int, highest: int) -> int:
    """The version both sides use; ProtocolError when there is none."""
    version = min(highest, HIGHEST_VERSION)
    if version < max(lowest, LOWEST_VERSION):
        raise ProtocolError(f"no common version: they speak {lowest}-{highest}, we {LOWEST_VERSION}-{HIGHEST_VERSION}")
    return version


def parse_credit(payload: bytes) -> int:
    """The number of bytes a CREDIT grants."""
    count: int = _U32.unpack(payload)[0]
    if count == 0:
        raise ProtocolError("CREDIT of nothing")
    return count


def parse_text(payload: bytes) -> str:
    """The service id of an OPEN."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("text is not UTF-8") from None
    if not text.isprintable():
        raise ProtocolError("text with control characters")
    return text


def parse_reason(payload: bytes) -> tuple[int, str]:
    """Code and text of a RESET or GOAWAY. The text is for logs and pages: what isn't printable is replaced."""
    text = payload[2:].decode("utf-8", "replace")
    return _U16.unpack_from(payload)[0], "".join(c if c.isprintable() else "?" for c in text)


def _clipped(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return data if len(data) <= MAX_TEXT else data[:MAX_TEXT].decode("utf-8", "ignore").encode()


class FrameReader:
    """Cuts arriving bytes into frames, however they were fragmented. Holds less than one control frame."""

    __slots__ = ("_kind", "_left", "_partial", "_stream")

    def __init__(self) -> None:
        self._partial = b""  # an incomplete header or control frame: at most HEADER_SIZE + 2 + MAX_TEXT bytes
        self._left = 0  # bytes still to come of the DATA or skipped frame that is arriving
        self._kind = 0
        self._stream = 0

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """The frames that `data` completes; ProtocolError as soon as a header breaks the rules."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        frames: list[Frame] = []
        position, end = 0, len(data)
        while position < end:
            if self._left:
                stop = min(position + self._left, end)
                self._left -= stop - position
                frames.append(Frame(self._kind, self._stream, bytes(data[position:stop])))
                position = stop
                continue
            if end - position < HEADER_SIZE:
                break
            stream, word = _HEADER.unpack_from(data, position)
            kind, length = word & 0xFF, word >> 8
            if kind == _DATA and stream and 0 < length <= MAX_DATA:
                # The hot path: what `_check` would say, and a whole frame in one step.
                stop = position + HEADER_SIZE + length
                if stop <= end:
                    frames.append(Frame(kind, stream, bytes(data[position + HEADER_SIZE : stop])))
                    position = stop
                    continue
                self._kind, self._stream, self._left = kind, stream, length
                position += HEADER_SIZE
                continue
            if kind == _DATA or kind >= IGNORABLE:
                self._check(kind, stream, length)
                self._kind, self._stream, self._left = kind, stream, length
                position += HEADER_SIZE
                continue
            self._check(kind, stream, length)
            stop = position + HEADER_SIZE + length
            if stop > end:
                break
            frames.append(Frame(kind, stream, bytes(data[position + HEADER_SIZE : stop])))
            position = stop
        if position < end:
            self._partial = bytes(data[position:])
        return frames

    @staticmethod
    def _check(kind: int, stream: int, length: int) -> None:
        limits = LIMITS.get(kind)
        if limits is None:
            if kind < IGNORABLE or length > MAX_DATA:
                raise ProtocolError(f"unknown frame type {kind}, {length} bytes")
            return
        lowest, highest, on_stream = limits
        if not lowest <= length <= highest:
            raise ProtocolError(f"{Kind(kind).name} of {length} bytes")
        if on_stream != (stream > 0):
            raise ProtocolError(f"{Kind(kind).name} on stream {stream}")
