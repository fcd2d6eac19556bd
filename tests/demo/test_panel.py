"""The panel as a whole, with TigerVNC where it is installed and without."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from demo import panel, vncauth
from panelgate.clock import Clock
from panelgate.errors import Unavailable


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.asynccontextmanager
async def shown(tigervnc: str | None) -> AsyncIterator[int]:
    port = free_port()
    task = asyncio.ensure_future(  # noqa: TID251 (a test's own)
        panel.serve(Clock(), "127.0.0.1", port, "demo1234", tigervnc=tigervnc)
    )
    try:
        yield port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(20):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("tigervnc", [None, panel.find_tigervnc()], ids=["own server", "what is installed"])
async def test_shows_a_panel_behind_a_password(tigervnc: str | None):
    async with shown(tigervnc) as port, asyncio.timeout(20):
        reader, writer = await connect(port)
        assert await reader.readexactly(12) == b"RFB 003.008\n"
        writer.write(b"RFB 003.008\n")
        assert await reader.readexactly(2) == b"\x01\x02"
        writer.write(b"\x02")
        writer.write(vncauth.answer("demo1234", await reader.readexactly(16)) + b"\x01")
        assert await reader.readexactly(4) == bytes(4)
        assert struct.unpack(">HH", await reader.readexactly(4)) == (800, 480)
        writer.close()


async def test_port_in_use_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1 port {port}"):
            await panel.serve(Clock(), "127.0.0.1", port, "demo1234", tigervnc=None)


async def test_tigervnc_that_does_not_start_is_said(tmp_path: Path):
    program = tmp_path / "Xtigervnc"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o700)
    with pytest.raises(Unavailable, match="cannot listen on"):
        await panel.serve(Clock(), "127.0.0.1", 1, "demo1234", tigervnc=str(program))
