"""The small VNC server, spoken to byte by byte."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from demo import rfb_server, vncauth
from demo.canvas import PALETTE, Box, Colour
from demo.machine import Machine
from demo.operator_panel import BUTTONS, SIZE, OperatorPanel
from demo.rfb_server import NATIVE, PixelFormat, Protocol, RfbServer, encode
from panelgate.clock import FakeClock

RGB565 = PixelFormat(2, big_endian=True, maxima=(31, 63, 31), shifts=(11, 5, 0))


@dataclass
class Visitor:
    """A viewer's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def take(self, count: int) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readexactly(count)

    async def challenge(self) -> bytes:
        assert await self.take(12) == b"RFB 003.008\n"
        self.writer.write(b"RFB 003.008\n")
        assert await self.take(2) == b"\x01\x02"
        self.writer.write(b"\x02")
        return await self.take(16)

    async def sign_in(self) -> None:
        self.writer.write(vncauth.answer("demo1234", await self.challenge()) + b"\x01")
        assert await self.take(4) == bytes(4)
        width, height, wire, length = struct.unpack(">HH16sI", await self.take(24))
        assert (width, height) == SIZE
        assert wire == NATIVE.wire()
        assert await self.take(length) == b"Mixing plant 3"

    async def update(self, *, incremental: bool, bytes_a_pixel: int = 4) -> dict[Box, bytes]:
        self.writer.write(struct.pack(">BBHHHH", 3, incremental, 0, 0, *SIZE))
        kind, count = struct.unpack(">BxH", await self.take(4))
        assert kind == 0
        boxes = {}
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", await self.take(12))
            assert encoding == 0
            boxes[Box(x, y, width, height)] = await self.take(width * height * bytes_a_pixel)
        return boxes


@pytest.fixture
def panel() -> OperatorPanel:
    return OperatorPanel(Machine(FakeClock().monotonic()))


@pytest.fixture
def server(panel: OperatorPanel) -> RfbServer:
    server = RfbServer(panel, FakeClock(), "demo1234")
    server.redraw()
    return server


@pytest.fixture
async def visit(server: RfbServer) -> AsyncIterator[Callable[[], Awaitable[Visitor]]]:
    visitors: list[Visitor] = []
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)

    async def come() -> Visitor:
        visitors.append(Visitor(*await asyncio.open_connection(*listener.sockets[0].getsockname())))
        return visitors[-1]

    async with listener:
        yield come
        for visitor in visitors:
            visitor.writer.close()
            await visitor.reader.read()  # the server closes its end, too


Visit = Callable[[], Awaitable[Visitor]]


async def test_shows_the_whole_panel_first(visit: Visit):
    viewer = await visit()
    await viewer.sign_in()
    (box, pixels), *more = (await viewer.update(incremental=False)).items()
    assert not more
    assert box == Box(0, 0, *SIZE)
    assert pixels[:4] == PALETTE[Colour.BAR].to_bytes(4, "little")


async def test_sends_only_what_changed_and_waits_for_it(visit: Visit, panel: OperatorPanel, server: RfbServer):
    viewer = await visit()
    await viewer.sign_in()
    await viewer.update(incremental=False)
    panel.typed = "HELLO"
    waiting = asyncio.ensure_future(viewer.update(incremental=True))  # noqa: TID251 (a test's own)
    await asyncio.sleep(0)
    server.redraw()
    assert list(await waiting) == [Box(300, 400, 480, 64)]


async def test_touch_and_keys_reach_the_machine(visit: Visit, panel: OperatorPanel):
    viewer = await visit()
    await viewer.sign_in()
    await viewer.update(incremental=False)
    start = BUTTONS["start"]
    for buttons in (0, 1, 1, 0):  # moved while held: one touch
        viewer.writer.write(struct.pack(">BBHH", 5, buttons, start.x + 5, start.y + 5))
    for keysym in b"70":
        viewer.writer.write(struct.pack(">BBHI", 4, 1, 0, keysym) + struct.pack(">BBHI", 4, 0, 0, keysym))
    viewer.writer.write(struct.pack(">BBHI", 4, 1, 0, 0xFF0D))
    await viewer.update(incremental=False)
    assert panel.touches == 1
    values = panel.machine.snapshot(FakeClock().monotonic() + 5)
    assert (values.state, values.target) == ("running", 70.0)


async def test_other_pixel_formats_clipboard_and_encodings(visit: Visit):
    viewer = await visit()
    await viewer.sign_in()
    viewer.writer.write(b"\x00\x00\x00\x00" + RGB565.wire())
    viewer.writer.write(struct.pack(">BxHii", 2, 2, 7, -223))
    viewer.writer.write(struct.pack(">B3xI", 6, 5) + b"hello")
    ((_, pixels),) = (await viewer.update(incremental=False, bytes_a_pixel=2)).items()
    red, green, blue = 0x26 * 31 // 255, 0x32 * 63 // 255, 0x38 * 31 // 255
    assert pixels[:2] == (red << 11 | green << 5 | blue).to_bytes(2, "big")


async def test_wrong_password_is_told_once(visit: Visit):
    viewer = await visit()
    viewer.writer.write(vncauth.answer("wrong", await viewer.challenge()))
    result, length = struct.unpack(">II", await viewer.take(8))
    assert result == 1
    assert await viewer.take(length) == b"The password is wrong."
    assert await viewer.reader.read() == b""


async def test_old_version_is_refused_with_a_reason(visit: Visit):
    viewer = await visit()
    await viewer.take(12)
    viewer.writer.write(b"RFB 003.003\n")
    assert b"RFB 3.8 only" in await viewer.reader.read()


async def test_too_many_viewers_are_turned_away(visit: Visit):
    for _ in range(rfb_server.MAX_VIEWERS):
        viewer = await visit()
        await viewer.sign_in()
        await viewer.update(incremental=False)
    late = await visit()
    await late.take(12)
    late.writer.write(b"RFB 003.008\n")
    assert b"Too many viewers" in await late.reader.read()


@pytest.mark.parametrize(
    "message",
    [
        b"\x63",
        struct.pack(">BxH", 2, 5000),
        struct.pack(">B3xI", 6, 1 << 30),
        b"\x00\x00\x00\x00" + struct.pack(">BBBBHHHBBB3x", 8, 8, 0, 0, 7, 7, 3, 0, 3, 6),
    ],
)
async def test_message_it_cannot_follow_ends_the_connection(visit: Visit, message: bytes):
    viewer = await visit()
    await viewer.sign_in()
    viewer.writer.write(message)
    async with asyncio.timeout(5):
        assert await viewer.reader.read() == b""


async def test_redraws_by_itself(server: RfbServer, panel: OperatorPanel):
    panel.typed = "HELLO"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await server.live()
    viewer = rfb_server.Viewer()
    server.redraw()
    assert not viewer.stale


@pytest.mark.parametrize("form", [NATIVE, RGB565])
def test_pixel_format_survives_the_wire(form: PixelFormat):
    assert PixelFormat.parse(form.wire()) == form


def test_colours_that_do_not_fit_are_refused():
    with pytest.raises(Protocol):
        PixelFormat.parse(struct.pack(">BBBBHHHBBB3x", 16, 16, 0, 1, 255, 255, 255, 16, 8, 0))


def test_encodes_a_byte_at_a_time():
    assert encode(bytes([Colour.HALT]), NATIVE.tables()) == bytes([0x20, 0x20, 0xA3, 0])
