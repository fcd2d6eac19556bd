"""The few messages of the X Window System that a panel needs (X protocol 11, little-endian), without I/O.

One window over the whole screen, filled rectangles in it, and touches and keys from it.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from demo.canvas import PALETTE, Fill

SETUP = struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0)
SETUP_HEAD = 8
"""Bytes of the setup's answer that tell how long the rest is."""
EVENT = 32
"""Bytes of an event, an error, and of the head of a reply."""
MAX_RECTANGLES = 8000
"""In one request: its length field counts 65,535 times four bytes, a rectangle takes eight."""
MAX_REPLY = 1 << 20
"""Bytes; the only reply asked for is the keyboard's table, some 10 KiB."""
_EVENTS = 0x1 | 0x4 | 0x8 | 0x8000  # KeyPress, ButtonPress, ButtonRelease, Exposure
_SHIFT, _LOCK = 1, 2


class XError(Exception):
    """The X server refused something, or isn't one."""


@dataclass(frozen=True)
class Screen:
    """What the setup's answer says: the root window, where our ids begin, and the key codes."""

    root: int
    ids: int
    first_key: int
    last_key: int

    @property
    def window(self) -> int:
        """Our window's id."""
        return self.ids + 1

    @property
    def pen(self) -> int:
        """Our graphics context's id."""
        return self.ids + 2


@dataclass(frozen=True)
class Touch:
    """The left button (or a finger) went down or up at a point of the window."""

    down: bool
    x: int
    y: int


@dataclass(frozen=True)
class Key:
    """A key went down; `shift` and `lock` as they were then."""

    code: int
    shift: bool
    lock: bool


class Exposed:
    """The window must be drawn anew."""


class KeyboardChanged:
    """The keyboard's table must be read anew."""


@dataclass(frozen=True)
class Keyboard:
    """The server's table from key codes to keysyms."""

    first: int
    columns: int
    symbols: tuple[int, ...]

    def keysym(self, key: Key) -> int:
        """Return the keysym of a key press; 0 when the key has none."""
        at = (key.code - self.first) * self.columns
        pair = self.symbols[max(0, at) : at + 2]
        if not pair:
            return 0
        plain, shifted = (pair[0], pair[-1] or pair[0])
        if key.lock and 0x61 <= plain <= 0x7A:
            return plain if key.shift else shifted
        return shifted if key.shift else plain


def setup_length(head: bytes) -> int:
    """Return how many bytes follow the first eight of the setup's answer."""
    (units,) = struct.unpack_from("<H", head, 6)
    return int(units) * 4


def parse_setup(answer: bytes) -> Screen:
    """Read the setup's answer; raise XError with the server's words when it refuses."""
    if answer[0] != 1:
        raise XError(answer[8 : 8 + answer[1]].decode("latin-1").strip() or "the X server refused the connection")
    base, vendor, _, formats, first, last = struct.unpack_from("<4xI8xHHxB4xBB", answer, 8)
    (root,) = struct.unpack_from("<I", answer, 40 + (vendor + 3) // 4 * 4 + formats * 8)
    return Screen(root, base, first, last)


def open_window(screen: Screen, width: int, height: int) -> bytes:
    """Make the window and the pen, show it, and ask for the keyboard."""
    window = struct.pack("<IIhhHHHHIIII", screen.window, screen.root, 0, 0, width, height, 0, 1, 0, 0x802, 0, _EVENTS)
    pen = struct.pack("<III", screen.pen, screen.window, 0)
    return b"".join(
        [
            _request(1, window),
            _request(55, pen),
            _request(8, struct.pack("<I", screen.window)),
            ask_keyboard(screen),
        ]
    )


def ask_keyboard(screen: Screen) -> bytes:
    """Ask for the keyboard's table."""
    return _request(101, struct.pack("<BBxx", screen.first_key, screen.last_key - screen.first_key + 1))


def draw(screen: Screen, fills: Iterable[Fill]) -> bytes:
    """Fill boxes in order; neighbours of one colour go into one request."""
    requests = []
    for colour, same in groupby(fills, key=lambda fill: fill.colour):
        requests.append(_request(56, struct.pack("<III", screen.pen, 4, PALETTE[colour])))
        rectangles = [struct.pack("<hhHH", f.box.x, f.box.y, f.box.width, f.box.height) for f in same]
        for start in range(0, len(rectangles), MAX_RECTANGLES):
            head = struct.pack("<II", screen.window, screen.pen)
            requests.append(_request(70, head + b"".join(rectangles[start : start + MAX_RECTANGLES])))
    return b"".join(requests)


def reply_length(head: bytes) -> int:
    """Return how many bytes follow the first 32 of what the server sent; raise XError when it is absurd."""
    if head[0] not in (1, 35):  # only replies and generic events are longer
        return 0
    (units,) = struct.unpack_from("<I", head, 4)
    if units * 4 > MAX_REPLY:
        raise XError("the X server sent a reply out of all proportion")
    return int(units) * 4


def parse(screen: Screen, message: bytes) -> Touch | Key | Exposed | KeyboardChanged | Keyboard | None:
    """Read one message; None for what doesn't matter. Raises XError for the server's errors."""
    match message[0] & 0x7F:
        case 0:
            raise XError(f"X error {message[1]} on request {message[10]}")
        case 1:
            symbols = struct.unpack_from(f"<{(len(message) - EVENT) // 4}I", message, EVENT)
            return Keyboard(screen.first_key, message[1], symbols)
        case 2:
            (state,) = struct.unpack_from("<H", message, 28)
            return Key(message[1], bool(state & _SHIFT), bool(state & _LOCK))
        case (4 | 5) as kind if message[1] == 1:
            x, y = struct.unpack_from("<hh", message, 24)
            return Touch(kind == 4, x, y)
        case 12:
            return Exposed()
        case 34:
            return KeyboardChanged()
    return None


def _request(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BBH", opcode, 0, len(body) // 4 + 1) + body
