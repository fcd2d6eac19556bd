"""A small VNC server for the panel where TigerVNC isn't installed: RFB 3.8 (RFC 6143), VNC authentication, Raw.

It draws the panel's elements into one picture, remembers for each viewer which of them changed, and answers every
update request with just those, in the viewer's own pixel format.
"""

import asyncio
import hmac
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Self

from demo import vncauth
from demo.canvas import PALETTE, Box, Canvas, Element
from demo.operator_panel import SIZE, OperatorPanel
from panelgate.clock import Clock
from panelgate.log import get_logger

log = get_logger(__name__)

VERSION = b"RFB 003.008\n"
NAME = "Mixing plant 3"
VNC_AUTH = 2
RAW = 0
HANDSHAKE_S = 20.0
"""For version and password; a viewer that asks a person for the password keeps the connection open that long."""
REDRAW_S = 0.2
"""Between two looks at the machine: five pictures a second."""
MAX_VIEWERS = 8
"""More are turned away, as on a panel."""
MAX_ENCODINGS = 1024
"""In one SetEncodings message; viewers send some twenty."""
MAX_CLIPBOARD = 65536
"""Bytes of one clipboard text; it is read and dropped."""


class Protocol(Exception):
    """The viewer sent what this server can't follow; the text says what."""


@dataclass(frozen=True)
class PixelFormat:
    """How a viewer wants a pixel (RFC 6143, section 7.4)."""

    size: int  # bytes a pixel
    big_endian: bool
    maxima: tuple[int, int, int]
    shifts: tuple[int, int, int]

    @classmethod
    def parse(cls, wire: bytes) -> Self:
        """Read the 16 bytes of a pixel format; raise Protocol for colour maps and odd sizes."""
        bits, _, big, true_colour, *rest = struct.unpack(">BBBBHHHBBB3x", wire)
        if not true_colour or bits not in (8, 16, 32):
            raise Protocol("the viewer asked for a pixel format without true colours")
        maxima, shifts = (rest[0], rest[1], rest[2]), (rest[3], rest[4], rest[5])
        if any(m << s >= 1 << bits for m, s in zip(maxima, shifts, strict=True)):
            raise Protocol("the viewer asked for colours that do not fit its pixels")
        return cls(bits // 8, bool(big), maxima, shifts)

    def wire(self) -> bytes:
        """Return the 16 bytes that announce this format."""
        return struct.pack(
            ">BBBBHHHBBB3x", self.size * 8, min(24, self.size * 8), self.big_endian, 1, *self.maxima, *self.shifts
        )

    def tables(self) -> list[bytes]:
        """Return one table for each byte of a pixel, from a colour's index to that byte."""
        order: Literal["big", "little"] = "big" if self.big_endian else "little"
        pixels = []
        for rgb in PALETTE:
            channels = (rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255)
            value = sum(
                (channel * most // 255) << shift
                for channel, most, shift in zip(channels, self.maxima, self.shifts, strict=True)
            )
            pixels.append(value.to_bytes(self.size, order))
        pixels += [bytes(self.size)] * (256 - len(pixels))
        return [bytes(pixel[place] for pixel in pixels) for place in range(self.size)]


NATIVE = PixelFormat(4, big_endian=False, maxima=(255, 255, 255), shifts=(16, 8, 0))


def encode(colours: bytes, tables: list[bytes]) -> bytes:
    """Return the pixels of `colours` (a byte each) as the tables say."""
    pixels = bytearray(len(colours) * len(tables))
    for place, table in enumerate(tables):
        pixels[place :: len(tables)] = colours.translate(table)
    return bytes(pixels)


@dataclass(eq=False)
class Viewer:
    """One connected viewer: what it has not seen yet, and whether it waits for an update."""

    tables: list[bytes] = field(default_factory=NATIVE.tables)
    stale: set[Box] = field(default_factory=set)
    asked: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def mark(self, boxes: Iterable[Box]) -> None:
        """Remember boxes to be sent; there are never more than the panel has elements, and the whole screen."""
        self.stale.update(boxes)
        self.changed.set()


class RfbServer:
    """The panel's picture and its viewers."""

    def __init__(self, panel: OperatorPanel, clock: Clock, password: str) -> None:
        self._panel, self._clock, self._password = panel, clock, password
        self._canvas = Canvas(*SIZE)
        self._shown: tuple[Element, ...] = ()
        self._viewers: set[Viewer] = set()

    def redraw(self) -> None:
        """Draw what changed since the last time, and tell the viewers."""
        moment = datetime.fromtimestamp(self._clock.now()).astimezone().strftime("%H:%M:%S")
        elements = self._panel.elements(self._clock.monotonic(), moment)
        before = self._shown or (None,) * len(elements)
        changed = [new for old, new in zip(before, elements, strict=True) if old != new]
        for part in changed:
            self._canvas.draw(part)
        self._shown = elements
        for viewer in self._viewers:
            viewer.mark(part.box for part in changed)

    async def live(self) -> None:
        """Keep the picture living, for ever."""
        while True:
            self.redraw()
            await asyncio.sleep(REDRAW_S)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one viewer until it leaves; the callback of asyncio.start_server."""
        viewer = Viewer()
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._handshake(reader, writer)
            self._viewers.add(viewer)
            log.info("viewer connected", viewers=len(self._viewers))
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send(viewer, writer))
                try:
                    await self._receive(viewer, reader)
                finally:
                    sender.cancel()
        except* (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # gone
        except* Protocol as group_of_one:
            log.warning("viewer refused", reason=str(group_of_one.exceptions[0]))
        finally:
            self._viewers.discard(viewer)
            writer.close()

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(VERSION)
        version = await reader.readexactly(12)
        if version != VERSION:
            writer.write(b"\x00" + _reason("This panel speaks RFB 3.8 only."))
            raise Protocol("not RFB 3.8")
        if len(self._viewers) >= MAX_VIEWERS:
            writer.write(b"\x00" + _reason("Too many viewers are connected to this panel."))
            raise Protocol("too many viewers")
        writer.write(bytes([1, VNC_AUTH]))
        if (await reader.readexactly(1))[0] != VNC_AUTH:
            raise Protocol("a security type that was not offered")
        challenge = os.urandom(16)
        writer.write(challenge)
        given = await reader.readexactly(16)
        if not hmac.compare_digest(given, vncauth.answer(self._password, challenge)):
            writer.write(struct.pack(">I", 1) + _reason("The password is wrong."))
            raise Protocol("wrong password")
        writer.write(struct.pack(">I", 0))
        await reader.readexactly(1)  # ClientInit: everybody may watch at once, so its shared flag says nothing new
        name = NAME.encode()
        writer.write(struct.pack(">HH", *SIZE) + NATIVE.wire() + struct.pack(">I", len(name)) + name)

    async def _receive(self, viewer: Viewer, reader: asyncio.StreamReader) -> None:
        held = 0
        while True:
            kind = (await reader.readexactly(1))[0]
            match kind:
                case 0:  # SetPixelFormat
                    viewer.tables = PixelFormat.parse((await reader.readexactly(19))[3:]).tables()
                case 2:  # SetEncodings: Raw is always allowed
                    (count,) = struct.unpack(">xH", await reader.readexactly(3))
                    if count > MAX_ENCODINGS:
                        raise Protocol("too many encodings")
                    await reader.readexactly(4 * count)
                case 3:  # FramebufferUpdateRequest
                    incremental, *_ = struct.unpack(">BHHHH", await reader.readexactly(9))
                    viewer.asked = True
                    viewer.mark([] if incremental else [Box(0, 0, *SIZE)])
                case 4:  # KeyEvent
                    down, keysym = struct.unpack(">B2xI", await reader.readexactly(7))
                    if down:
                        self._panel.key(self._clock.monotonic(), keysym)
                        self.redraw()
                case 5:  # PointerEvent
                    buttons, x, y = struct.unpack(">BHH", await reader.readexactly(5))
                    held = self._pointer(held, buttons & 1, x, y)
                case 6:  # ClientCutText
                    (length,) = struct.unpack(">3xi", await reader.readexactly(7))
                    if abs(length) > MAX_CLIPBOARD:  # a negative length is the extended clipboard's
                        raise Protocol("a clipboard text too large for a panel")
                    await reader.readexactly(abs(length))
                case _:
                    raise Protocol(f"an unknown message, type {kind}")

    def _pointer(self, held: int, left: int, x: int, y: int) -> int:
        """Take the left button, down or up; return it, to be `held` at the next call."""
        if left and not held:
            self._panel.press(self._clock.monotonic(), x, y)
        elif held and not left:
            self._panel.release()
        if left != held:
            self.redraw()
        return left

    async def _send(self, viewer: Viewer, writer: asyncio.StreamWriter) -> None:
        while True:
            await viewer.changed.wait()
            viewer.changed.clear()
            if not (viewer.asked and viewer.stale):
                continue
            boxes, viewer.stale, viewer.asked = sorted(viewer.stale, key=_place), set(), False
            whole = Box(0, 0, *SIZE)
            if whole in boxes:
                boxes = [whole]
            writer.write(struct.pack(">BxH", 0, len(boxes)))
            for box in boxes:
                writer.write(struct.pack(">HHHHi", box.x, box.y, box.width, box.height, RAW))
                writer.write(encode(self._canvas.cut(box), viewer.tables))
            await writer.drain()


def _place(box: Box) -> tuple[int, int]:
    return box.y, box.x


def _reason(words: str) -> bytes:
    encoded = words.encode()
    return struct.pack(">I", len(encoded)) + encoded
