"""The panel's window against an X server made of a socket pair."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from demo import x11
from demo.machine import Machine
from demo.operator_panel import BUTTONS, OperatorPanel
from demo.xpanel import XPanel
from panelgate.clock import FakeClock


class FakeX:
    """An X server's end: it answers the setup and remembers what was asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def greet(self) -> None:
        assert await self.reader.readexactly(12) == x11.SETUP
        body = struct.pack("<IIIIHHBBBBBBBB4x", 1, 0x200000, 0x1FFFFF, 256, 0, 65535, 1, 0, 0, 0, 32, 32, 8, 9)
        body += struct.pack("<I", 0x123) + bytes(36)
        self.writer.write(struct.pack("<BBHHH", 1, 0, 11, 0, len(body) // 4) + body)

    async def request(self, wanted: int) -> bytes:
        """The next request of this kind."""
        async with asyncio.timeout(5):
            while True:
                opcode, _, units = struct.unpack("<BBH", await self.reader.readexactly(4))
                body = await self.reader.readexactly(units * 4 - 4)
                if opcode == wanted:
                    return body

    def event(self, kind: int, detail: int, x: int = 0, y: int = 0) -> None:
        self.writer.write(struct.pack("<BBHIIIIhhhhHBx", kind, detail, 0, 0, 0, 0, 0, 0, 0, x, y, 0, 1))


@pytest.fixture
def panel() -> OperatorPanel:
    return OperatorPanel(Machine(FakeClock().monotonic()))


@pytest.fixture
async def screen(panel: OperatorPanel) -> AsyncIterator[FakeX]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    fake = FakeX(*await asyncio.open_connection(sock=theirs))
    window = asyncio.ensure_future(XPanel(panel, FakeClock(), reader, writer).run())  # noqa: TID251 (a test's own)
    await fake.greet()
    yield fake
    fake.writer.close()
    with pytest.raises(BaseExceptionGroup) as ended:
        await window
    assert ended.group_contains(ConnectionError)
    writer.close()


async def test_shows_the_panel_and_obeys_touch_and_keys(screen: FakeX, panel: OperatorPanel):
    await screen.request(101)
    screen.writer.write(struct.pack("<BBHI24x", 1, 1, 0, 2) + struct.pack("<2I", ord("7"), 0xFF0D))
    assert await screen.request(70)
    start = BUTTONS["start"]
    screen.event(4, 1, start.x + 1, start.y + 1)
    screen.event(5, 1, start.x + 1, start.y + 1)
    screen.event(2, 8)
    screen.event(12, 0)  # exposed: everything is drawn anew, the last thing that happens here
    while b"\x00\x00\x00\x00\x20\x03\xe0\x01" not in await screen.request(70):  # a box of 800 x 480 at the corner
        pass
    while panel.typed != "7":
        await screen.request(70)
    assert panel.touches == 1
    assert panel.machine.snapshot(FakeClock().monotonic() + 5).state == "running"


async def test_asks_for_the_keyboard_again_when_it_changes(screen: FakeX):
    await screen.request(101)
    screen.event(34, 0)
    assert await screen.request(101) == struct.pack("<BBxx", 8, 2)
