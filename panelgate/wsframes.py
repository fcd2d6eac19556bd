"""RFC 6455 frames in two ways, without I/O.

Stream mode carries a circuit: binary frames are only packaging, their borders mean nothing, payload is handed on as it
arrives. Message mode carries the small JSON messages of a control connection: whole text messages under a size limit.

    0               1               2               3
    +-+-+-+-+-------+-+-------------+-------------------------------+
    |F|R|R|R| opcode|M| length (7)  |  16 or 64 bits more of length |
    |I|S|S|S|  (4)  |A|             |  when it says 126 or 127      |
    |N|V|V|V|       |S|             |                               |
    +-+-+-+-+-------+K+-------------+-------------------------------+
    | mask (32 bits), from client to server only  |  payload  - - -
    +---------------------------------------------+-------- - - -
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from websockets.speedups import apply_mask

MAX_CONTROL: Final = 125  # RFC 6455 section 5.5
MAX_HEADER: Final = 14  # section 5.2: two bytes, eight of length, four of mask
MAX_FRAME: Final = 16 * 1024 * 1024  # a stream-mode frame is handed on in pieces; the limit only catches nonsense
MAX_MESSAGE: Final = 16 * 1024  # bytes of a JSON control message
# The key of a circuit's frames towards a relay. Keys are there so that a page's script can't choose the bytes that a
# proxy on the way sees (RFC 6455 section 10.3); a circuit's bytes are TLS records, which nobody can choose either, and
# turning them over at both ends cost a twentieth of a download's processor time.
STREAM_MASK: Final = bytes(4)


class Opcode(IntEnum):
    """Section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Section 7.4.1; what Panelgate means by them is in docs/protocol.md."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    NO_STATUS = 1005  # never on the wire: a close frame without a code
    ABNORMAL = 1006  # never on the wire: the connection broke off
    BAD_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_LATER = 1013


class WebSocketError(Exception):
    """The other side broke RFC 6455; `code` is the close code to answer with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Item(NamedTuple):
    """What arrived: payload of the stream, a whole text message, or a control frame."""

    opcode: int
    payload: bytes | memoryview


def header(opcode: int, length: int, mask: bytes = b"") -> bytes:
    """The header of a final frame of `length` bytes; a client gives its four bytes of mask."""
    masked = 0x80 if mask else 0
    if length < 126:
        return bytes((0x80 | opcode, masked | length)) + mask
    if length < 65536:
        return struct.pack(">BBH", 0x80 | opcode, masked | 126, length) + mask
    return struct.pack(">BBQ", 0x80 | opcode, masked | 127, length) + mask


def frame(opcode: int, payload: bytes, *, client: bool) -> bytes:
    """One whole frame. A client's mask is fresh and unpredictable (section 5.3)."""
    if not client:
        return header(opcode, len(payload)) + payload
    mask = os.urandom(4)
    return header(opcode, len(payload), mask) + apply_mask(payload, mask)


def stream_frame(payload: bytes | memoryview, *, client: bool) -> bytes:
    """One whole binary frame of a circuit's bytes."""
    return b"".join((header(Opcode.BINARY, len(payload), STREAM_MASK if client else b""), payload))


def close_payload(code: int, text: str) -> bytes:
    """The body of a close frame, its text cut to fit."""
    clipped = text.encode("utf-8", "replace")[: MAX_CONTROL - 2].decode("utf-8", "ignore")
    return struct.pack(">H", code) + clipped.encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and text of a close frame's body."""
    if not payload:
        return CloseCode.NO_STATUS, ""
    if len(payload) < 2:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "close frame of one byte")
    text = payload[2:].decode("utf-8", "replace")
    return int.from_bytes(payload[:2], "big"), "".join(c if c.isprintable() else "?" for c in text)


class StreamUnmasker:
    """Takes the frames of one direction apart.

    `client` is the receiving side's role: a client wants unmasked frames, a server masked ones (section 5.1).
    With `messages` set, text messages of up to that many bytes are collected; otherwise it is stream mode.
    With `views` set, payload in stream mode may be a view of what was fed, to be used before that changes.
    """

    __slots__ = (
        "_client", "_fin", "_head", "_left", "_limit", "_mask", "_message", "_offset", "_opcode", "_stash", "_views",
    )  # fmt: skip

    def __init__(self, *, client: bool, messages: int = 0, views: bool = False) -> None:
        self._client = client
        self._views = views
        self._limit = messages
        self._head = b""  # an incomplete header: at most 13 bytes
        self._left = 0  # payload bytes still to come
        self._opcode = -1  # of the frame whose payload is arriving, -1 between frames
        self._fin = True
        self._mask = b""
        self._offset = 0  # how far the mask has been used, modulo 4
        self._stash = bytearray()  # payload of a control frame: at most MAX_CONTROL bytes
        self._message: bytearray | None = None  # the message that is arriving: at most `messages` bytes

    def feed(self, data: bytes | memoryview) -> list[Item]:
        """What `data` brings. In stream mode all payload of one call is one item between control frames."""
        items: list[Item] = []
        pieces: list[bytes | memoryview] = []
        view = memoryview(data)
        position, end = 0, len(view)
        while True:
            if self._opcode < 0:
                if position >= end:
                    break
                have = len(self._head)
                head = self._head + bytes(view[position : position + MAX_HEADER - have])
                size = self._parse_header(head)
                if size == 0:
                    self._head = head
                    break
                self._head = b""
                position += size - have
            stop = min(position + self._left, end)
            if stop > position:
                part = view[position:stop]
                piece = self._unmask(part) if self._mask else part if self._views else bytes(part)
                self._left -= stop - position
                position = stop
                if self._opcode >= 8:
                    self._stash += piece
                elif self._limit:
                    self._collect(piece)
                else:
                    pieces.append(piece)
            if self._left:
                break
            self._finish(items, pieces)
        if pieces:
            items.append(Item(Opcode.BINARY, pieces[0] if len(pieces) == 1 else b"".join(pieces)))
        return items

    def _unmask(self, piece: memoryview) -> bytes:
        mask, offset = self._mask, self._offset
        self._offset = (offset + len(piece)) & 3
        return apply_mask(piece, mask[offset:] + mask[:offset] if offset else mask)

    def _collect(self, piece: bytes | memoryview) -> None:
        message = self._message
        assert message is not None  # a data frame's header made it
        if len(message) + len(piece) > self._limit:
            raise WebSocketError(CloseCode.TOO_BIG, f"message over {self._limit} bytes")
        message += piece

    def _finish(self, items: list[Item], pieces: list[bytes | memoryview]) -> None:
        """The payload of a frame is complete."""
        opcode, self._opcode = self._opcode, -1
        if opcode >= 8:
            if pieces:
                items.append(Item(Opcode.BINARY, b"".join(pieces)))
                pieces.clear()
            items.append(Item(opcode, bytes(self._stash)))
            self._stash.clear()
        elif self._limit and self._fin:
            assert self._message is not None
            items.append(Item(Opcode.TEXT, bytes(self._message)))
            self._message = None
        elif not self._limit and self._fin:
            self._message = None

    def _parse_header(self, head: bytes) -> int:
        """The size of the frame header that `head` begins with, 0 when it isn't complete yet."""
        if len(head) < 2:
            return 0
        first, second = head[0], head[1]
        length, size = second & 0x7F, 2
        if length == 126:
            size = 4
        elif length == 127:
            size = 10
        masked = bool(second & 0x80)
        # Rules first: nobody may keep us waiting for the rest of a frame that is already wrong.
        self._check(first, length, masked)
        total = size + 4 * masked
        if len(head) < total:
            return 0
        if size > 2:
            length = int.from_bytes(head[2:size], "big")
            if length > (self._limit or MAX_FRAME):
                raise WebSocketError(CloseCode.TOO_BIG, f"frame of {length} bytes")
        self._mask = b"" if head[size:total] == STREAM_MASK else head[size:total]
        self._offset = 0
        self._left = length
        self._opcode = first & 0x0F
        if self._opcode < 8:
            self._fin = bool(first & 0x80)
            if self._message is None:
                self._message = bytearray()
        return total

    def _check(self, first: int, length: int, masked: bool) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "reserved bits")
        if masked == self._client:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "masked by a server" if masked else "not masked by a client")
        if opcode >= 8:
            if opcode > Opcode.PONG:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"opcode {opcode}")
            if not first & 0x80 or length > MAX_CONTROL:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "control frame in pieces or too long")
        elif opcode == Opcode.CONTINUATION:
            if self._message is None:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "continuation of nothing")
        elif opcode != (Opcode.TEXT if self._limit else Opcode.BINARY):
            raise WebSocketError(CloseCode.UNSUPPORTED, f"opcode {opcode} here")
        elif self._message is not None:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a new message inside a message")
