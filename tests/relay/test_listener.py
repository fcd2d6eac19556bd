import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from panelgate.clock import FakeClock
from panelgate.pki import Authority, Identity, Role
from relay.limits import Admission, LimitValues
from relay.listener import Listener

HOST = "127.0.0.1"


class Hello(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    Authority.create().new_identity(Role.RELAY, "r1", names=[HOST]).save(tmp_path)
    return Identity.load(tmp_path)


@asynccontextmanager
async def listening(identity: Identity, values: LimitValues) -> AsyncIterator[tuple[Listener, Admission]]:
    admission = Admission(values, FakeClock())
    listener = Listener(identity.server_context(), Hello, admission, values.handshake_seconds)
    await listener.start(HOST, 0)
    try:
        yield listener, admission
    finally:
        listener.close()


async def greeting(identity: Identity, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=identity.client_context())
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_a_connection_gets_through(identity: Identity) -> None:
    async with listening(identity, LimitValues()) as (listener, admission):
        assert await greeting(identity, listener.port) == b"hello"
        assert admission.in_progress == 0


async def test_an_address_that_comes_too_often_is_closed_before_tls(identity: Identity) -> None:
    values = LimitValues(per_address_burst=1, per_address_rate=0)
    async with listening(identity, values) as (listener, admission):
        assert await greeting(identity, listener.port) == b"hello"
        with pytest.raises((OSError, ssl.SSLError)):
            await greeting(identity, listener.port)
        assert admission.refused == 1


async def test_a_failed_handshake_gives_its_place_back(identity: Identity) -> None:
    async with listening(identity, LimitValues()) as (listener, admission):
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        # An alert or nothing: the end comes either way.
        try:
            await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            assert reader.at_eof()
        writer.close()
        assert await greeting(identity, listener.port) == b"hello"
        assert (admission.in_progress, listener.failed) == (0, 1)


async def test_a_silent_handshake_is_ended(identity: Identity) -> None:
    async with listening(identity, LimitValues(handshake_seconds=0.05)) as (listener, admission):
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert await greeting(identity, listener.port) == b"hello"
        assert (admission.in_progress, listener.failed) == (0, 1)


async def test_after_close_nobody_is_let_in(identity: Identity) -> None:
    async with listening(identity, LimitValues()) as (listener, _):
        listener.close()
        with pytest.raises(OSError, match="onnect"):
            await asyncio.open_connection(HOST, listener.port)
