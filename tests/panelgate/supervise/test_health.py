"""Asking roles whether they are there."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from panelgate.errors import Unavailable
from panelgate.supervise import health


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\nConnection: close\r\n\r\n")
        writer.write(b'{"setup_needed": false}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_asks_and_hears(address: str):
    answer = await health.ask(address, host="portal.localhost")
    assert answer is not None
    assert answer.request.headers["host"] == "portal.localhost"


async def test_silence_is_none():
    assert await health.ask("http://127.0.0.1:1") is None


def test_taken_port_is_said_with_a_way_out():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable) as refused:
            health.check_ports([("The web proxy", "127.0.0.1", port, "Choose another one: make run PORT=8090")])
    assert refused.value.message == (
        f"The web proxy cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Choose another one: make run PORT=8090"
    )


def test_free_ports_are_fine():
    health.check_ports([("x", "127.0.0.1", 0, "")])
