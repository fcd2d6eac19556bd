"""What a viewer may send to a panel: the client messages of RFB, cut out of a byte stream without I/O.

Every message type the browser's viewer knows has a row in `_HEAD`; a type without a row ends the connection, because
its length is unknown and everything behind it would be guesswork. Sources: RFC 6143, section 7.5, and the community's
extension document (rfbproto) for extended clipboard, continuous updates, fences, xvp, desktop size, QEMU keys and
the extended pointer.

    type  message                      fixed head       body
    0     SetPixelFormat               20               -
    2     SetEncodings                 4                4 x count
    3     FramebufferUpdateRequest     10               -
    4     KeyEvent                     8                -         input
    5     PointerEvent                 6, or 7 when the mask's highest bit is set      input
    6     ClientCutText                8                |length|  clipboard; negative: extended
    150   EnableContinuousUpdates      10               -
    248   ClientFence                  9                length
    250   xvp (shut down, reset)       4                -         input
    251   SetDesktopSize               8                16 x screens  input
    255   QEMU extended key            12 (only sub-type 0)       input
"""

from __future__ import annotations

from webproxy.forward.rfb import BadClient

MAX_CUT_TEXT = 1024 * 1024
"""Bytes of one clipboard text; larger ones are no text that a person pasted on purpose."""
MAX_FENCE = 64
"""Bytes of a fence's payload (rfbproto: "length must be at most 64")."""

CUT_TEXT, POINTER, QEMU = 6, 5, 255

_HEAD = {0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8, 150: 10, 248: 9, 250: 4, 251: 8, 255: 12}

INPUT = frozenset({4, 5, 250, 251, 255})
"""Messages that act on the machine; a viewer who may only watch cannot send them."""


def _body(kind: int, head: bytes | bytearray) -> int:
    """Bytes that follow a message's head. Raises BadClient for lengths no honest viewer sends."""
    if kind == 2:
        return 4 * int.from_bytes(head[2:4], "big")
    if kind == CUT_TEXT:
        length = abs(int.from_bytes(head[4:8], "big", signed=True))
        if length > MAX_CUT_TEXT:
            raise BadClient("clipboard text too long")
        return length
    if kind == 248:
        if head[8] > MAX_FENCE:
            raise BadClient("fence too long")
        return head[8]
    if kind == 251:
        return 16 * head[6]
    if kind == QEMU and head[1] != 0:
        raise BadClient("unknown QEMU message")
    return 0


class ClientMessages:
    """Filters the browser's messages; works on bytes as they come, whatever their packets.

    Bodies are passed on as they arrive, so at most one head (20 bytes) is held. `watch` and `clipboard` may be changed
    at any time; a change applies from the next message.
    """

    def __init__(self, *, watch: bool, clipboard: bool = True) -> None:
        self.watch = watch
        self.clipboard = clipboard
        self.inputs = 0
        """Input messages that were passed on."""
        self.dropped = 0
        """Messages withheld because of a rule."""
        self._head = bytearray()
        self._left = 0
        self._passing = True

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the browser and return those that may go on to the panel.

        Raises:
            BadClient: an unknown message type or an absurd length; nothing more may be fed afterwards.
        """
        passed = bytearray()
        at, end = 0, len(data)
        while at < end:
            if self._left:
                take = min(self._left, end - at)
                if self._passing:
                    passed += data[at : at + take]
                self._left -= take
                at += take
                continue
            head = self._head
            if not head:
                head.append(data[at])
                at += 1
            need = _HEAD.get(head[0])
            if need is None:
                raise BadClient(f"unknown message type {head[0]}")
            if head[0] == POINTER:
                if len(head) == 1:
                    if at == end:
                        break
                    head.append(data[at])
                    at += 1
                # The marker bit of rfbproto's ExtendedMouseButtons: one more byte of buttons follows.
                need += head[1] >> 7
            take = min(need - len(head), end - at)
            head += data[at : at + take]
            at += take
            if len(head) == need:
                self._left = _body(head[0], head)
                self._passing = self._allowed(head[0])
                if self._passing:
                    passed += head
                head.clear()
        return bytes(passed)

    def _allowed(self, kind: int) -> bool:
        if kind in INPUT:
            allowed = not self.watch
            self.inputs += allowed
        elif kind == CUT_TEXT:
            allowed = self.clipboard and not self.watch
        else:
            allowed = True
        self.dropped += not allowed
        return allowed
