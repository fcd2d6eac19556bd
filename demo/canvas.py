"""Filled rectangles, the one thing that both screens of the panel can draw, and a picture in memory made of them."""

from dataclasses import dataclass
from enum import IntEnum

from demo import font


class Colour(IntEnum):
    """The panel's colours; RGB values in PALETTE at the same index."""

    GROUND = 0
    BAR = 1
    CARD = 2
    LINE = 3
    INK = 4
    SOFT = 5
    WHITE = 6
    FLUID = 7
    GO = 8
    HALT = 9
    KEY = 10
    LIT = 11


PALETTE: tuple[int, ...] = (
    0xD5D9DC, 0x263238, 0xECEFF1, 0x8A949B, 0x1D262C, 0x52616B,
    0xFFFFFF, 0x6F8FA3, 0x1F7A4D, 0xA32020, 0xB0BEC5, 0xFFE082,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    def holds(self, x: int, y: int) -> bool:
        """Whether the point lies inside."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass(frozen=True, slots=True)
class Fill:
    """A box in one colour."""

    box: Box
    colour: Colour


@dataclass(frozen=True, slots=True)
class Element:
    """A part of the screen that is redrawn as a whole; its first fill covers its box, no fill leaves it."""

    box: Box
    fills: tuple[Fill, ...]


def element(box: Box, ground: Colour, *fills: Fill) -> Element:
    """Return an element with its ground filled and `fills` over it."""
    return Element(box, (Fill(box, ground), *fills))


def text(words: str, x: int, y: int, scale: int, colour: Colour) -> tuple[Fill, ...]:
    """Return the fills of `words` with their top left corner at (x, y), `scale` pixels a dot."""
    return tuple(
        Fill(Box(x + dot_x * scale, y + dot_y * scale, length * scale, scale), colour)
        for dot_x, dot_y, length in font.runs(words)
    )


class Canvas:
    """A picture in memory: one byte a pixel, a Colour each."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = bytearray(width * height)

    def draw(self, part: Element) -> None:
        """Draw an element; what sticks out of the picture is cut off."""
        for fill in part.fills:
            left, right = max(0, fill.box.x), min(self.width, fill.box.x + fill.box.width)
            if left >= right:
                continue
            line = bytes([fill.colour]) * (right - left)
            for y in range(max(0, fill.box.y), min(self.height, fill.box.y + fill.box.height)):
                self.pixels[y * self.width + left : y * self.width + right] = line

    def cut(self, box: Box) -> bytes:
        """Return the colours inside `box`, row by row; the box must lie inside the picture."""
        rows = range(box.y, box.y + box.height)
        return b"".join(self.pixels[y * self.width + box.x : y * self.width + box.x + box.width] for y in rows)
