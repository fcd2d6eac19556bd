"""Text messages inside a WebSocket, changed on their way; everything else passes byte for byte. No I/O.

Used only where a service's options ask for addresses to be replaced: elsewhere no frame is looked at. Binary frames,
pings, pongs and close frames keep their bytes, their order and their mask; so do frames of an extension that was never
agreed on. A text message leaves as one frame, however many it came in; one that is too long to be held leaves in pieces
as it arrives (RFC 6455 section 5.4 allows a proxy that much). So nobody's long messages stop anybody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.speedups import apply_mask

from panelgate.wsframes import CloseCode, Opcode, WebSocketError, frame
from webproxy.forward.rewrite import Replacer

if TYPE_CHECKING:
    from webproxy.forward.rewrite import Addresses

HELD_LIMIT = 1024 * 1024  # bytes of a text message that is held until it is whole; replacing in it takes some 50 ms
BUDGET_BYTES = 256 * 1024 * 1024  # of messages that are arriving, in this process


class Budget:
    """Bytes that may be held at once, by all who share it."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit


_SHARED = Budget(BUDGET_BYTES)


class TextFrames:
    """One direction of a WebSocket; `client` tells that its frames are a client's, and so masked.

    `addresses` are replaced in text messages. After a WebSocketError the connection can't go on; its code says what to
    close it with.
    """

    __slots__ = (
        "_addresses",
        "_budget",
        "_client",
        "_collecting",
        "_fin",
        "_head",
        "_left",
        "_mask",
        "_message",
        "_offset",
        "_open",
        "_passed",
        "_passing",
    )  # fmt: skip

    def __init__(self, addresses: Addresses, *, client: bool, budget: Budget = _SHARED) -> None:
        self._addresses = addresses
        self._passing: Replacer | None = None  # of a message that is too long to be held
        self._passed = False  # whether a frame of it has gone out
        self._client = client
        self._budget = budget
        self._head = b""  # of the next frame, as far as it has come: at most 13 bytes
        self._left = 0  # bytes of the present frame still to come
        self._collecting = False  # whether these belong to a text message, or pass
        self._open = False  # a text message has begun and not ended
        self._fin = True
        self._mask = b""
        self._offset = 0
        self._message = bytearray()

    @property
    def between_frames(self) -> bool:
        """Whether a frame of ours could be put in here."""
        return not self._head and (not self._left or self._collecting)

    def end(self) -> None:
        """The connection is over: what is held is given back."""
        self._budget.left += len(self._message)
        self._message = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give those that go on."""
        out: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                known = len(self._head)
                self._head += data[at : at + 14 - known]
                size = self._begin(out)
                if not size:
                    return b"".join(out)
                at += size - known
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._collecting:
                self._collect(piece, out)
                if not self._left and self._fin:
                    self._finish(out)
            else:
                out.append(piece)
        return b"".join(out)

    def _begin(self, out: list[bytes]) -> int:
        """Read the frame header in `_head`; its size, 0 when it isn't whole."""
        head = self._head
        if len(head) < 2:
            return 0
        short, masked = head[1] & 0x7F, bool(head[1] & 0x80)
        size = {126: 4, 127: 10}.get(short, 2) + 4 * masked
        if len(head) < size:
            return 0
        length = short if short < 126 else int.from_bytes(head[2 : size - 4 * masked], "big")
        if masked != self._client or length >> 63:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a frame that RFC 6455 doesn't know")
        opcode, plain = head[0] & 0x0F, not head[0] & 0x70
        begins = opcode == Opcode.TEXT and plain
        if begins and self._open:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a new message inside a message")
        self._head = b""
        self._left = length
        self._collecting = begins or (opcode == Opcode.CONTINUATION and plain and self._open)
        if not self._collecting:
            out.append(head[:size])
            return size
        self._fin = bool(head[0] & 0x80)
        self._open = True
        self._mask, self._offset = head[size - 4 : size] if masked else b"", 0
        if not length and self._fin:
            self._finish(out)
        return size

    def _collect(self, piece: bytes, out: list[bytes]) -> None:
        if self._mask:
            turned = self._mask[self._offset :] + self._mask[: self._offset]
            self._offset = (self._offset + len(piece)) & 3
            piece = apply_mask(piece, turned)
        if self._passing is None:
            if len(self._message) + len(piece) <= HELD_LIMIT and len(piece) <= self._budget.left:
                self._budget.left -= len(piece)
                self._message += piece
                return
            self._passing, self._passed = Replacer(self._addresses), False
            held = bytes(self._message)
            self.end()
            self._pass(self._passing.feed(held), out)
        self._pass(self._passing.feed(piece), out)

    def _pass(self, text: bytes, out: list[bytes], *, last: bool = False) -> None:
        """Send a piece of a message that is not held."""
        if not text and not last:
            return
        made = frame(Opcode.CONTINUATION if self._passed else Opcode.TEXT, text, client=self._client)
        self._passed = True
        out.append(made if last else bytes((made[0] & 0x7F,)) + made[1:])

    def _finish(self, out: list[bytes]) -> None:
        self._open = self._collecting = False
        if self._passing is not None:
            self._pass(self._passing.finish(), out, last=True)
            self._passing = None
            return
        text = bytes(self._message)
        self.end()
        out.append(frame(Opcode.TEXT, self._addresses.replace(text), client=self._client))
