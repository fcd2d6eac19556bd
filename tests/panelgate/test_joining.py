"""Joined byte streams: a stream of a circuit and a TCP connection to a device, as the agent joins them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import uvloop

from panelgate import joining
from panelgate.circuit import Circuit, Stream, StreamReset
from panelgate.frames import StreamError
from panelgate.joining import Held, Joined, join
from tests.fakes.tunnel import SECONDS, FakeRelay, Recorder, eventually, make_identities, make_pair


class Site:
    """A device whose connections are `device`, an agent that joins every stream to it, a web proxy's circuit."""

    def __init__(self) -> None:
        self.devices: list[Recorder] = []
        self.joined: list[Joined] = []
        self.results: list[Exception | None] = []
        self.idle = 60.0
        self.greeting = b""
        self.through: Shouting | None = None
        self.keep = True
        self.near: Circuit
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self) -> Recorder:
        site = self

        class Device(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                site.devices.append(self)
                assert self.transport is not None
                self.transport.write(site.greeting)

        return Device(keep=self.keep)

    def on_stream(self, stream: Stream, service: str) -> None:
        task = asyncio.get_running_loop().create_task(self._dial(stream))
        self._tasks.add(task)

    async def _dial(self, stream: Stream) -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(Held, "127.0.0.1", self.port)
        if self.greeting:
            await asyncio.sleep(0.05)  # a device that speaks first has spoken by now
        self.joined.append(join(stream, transport, idle=self.idle, done=self.results.append, through=self.through))

    async def device(self) -> Recorder:
        await eventually(lambda: self.joined)
        return self.devices[0]

    async def finished(self) -> Exception | None:
        async with asyncio.timeout(SECONDS):
            result = await self.joined[0].done
            await asyncio.sleep(0)
        assert self.results == [result]
        return result


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path) as site:
        yield site


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Site]:
    site, who = Site(), make_identities(directory)
    server = await asyncio.get_running_loop().create_server(site.accept, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    async with FakeRelay().running(who.relay) as relay:
        site.near, _ = await make_pair(relay, who, site.on_stream)
        yield site
        site.near.close()
        await eventually(lambda: all(joined.done.done() for joined in site.joined))
        for device in site.devices:
            if device.transport is not None:
                device.transport.abort()
    server.close()
    await server.wait_closed()


async def test_a_question_a_half_close_and_an_answer(site: Site) -> None:
    browser = Recorder(keep=True)
    stream = site.near.open_stream("x", browser)
    stream.write(b"question")
    stream.write_eof()
    device = await site.device()
    await device.until(lambda r: r.eof)
    assert device.data == b"question"
    assert device.transport is not None
    device.transport.write(b"answer" * 100_000)
    device.transport.close()
    await browser.until(lambda r: r.eof)
    assert browser.data == b"answer" * 100_000
    assert await site.finished() is None
    assert (site.joined[0].a_to_b, site.joined[0].b_to_a) == (8, 600_000)


async def test_a_device_that_speaks_first_loses_nothing(site: Site) -> None:
    site.greeting = b"RFB 003.008\n"
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser)
    await browser.until(lambda r: r.data)
    assert browser.data == site.greeting


async def test_closing_one_side_delivers_what_was_written(site: Site) -> None:
    stream = site.near.open_stream("x", Recorder())
    stream.write(b"x" * 400_000)
    stream.close()
    device = await site.device()
    await device.until(lambda r: len(r.data) == 400_000 and r.eof)
    assert device.transport is not None
    assert await site.finished() is None


async def test_a_device_that_resets_is_told_as_that(site: Site) -> None:
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser).write(b"x")
    device = await site.device()
    await device.until(lambda r: r.data)
    assert device.transport is not None
    sock = cast("socket.socket", device.transport.get_extra_info("socket"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    device.transport.abort()
    await browser.until(lambda r: r.lost)
    assert isinstance(browser.error, StreamReset)
    assert browser.error.code == StreamError.PEER_RESET
    assert isinstance(await site.finished(), ConnectionResetError)


async def test_a_reset_stream_breaks_the_device_connection(site: Site) -> None:
    stream = site.near.open_stream("x", Recorder())
    device = await site.device()
    stream.reset(StreamError.INTERNAL, "a bug")
    await device.until(lambda r: r.lost or r.eof)
    error = await site.finished()
    assert isinstance(error, StreamReset)
    assert error.code == StreamError.INTERNAL


async def test_a_slow_device_stops_the_browser(site: Site) -> None:
    browser = Recorder(keep=True)
    stream = site.near.open_stream("x", browser)
    device = await site.device()
    assert device.transport is not None
    device.transport.pause_reading()
    sent = 0
    async with asyncio.timeout(SECONDS):
        while not browser.paused:
            stream.write(b"x" * 65536)
            sent += 65536
            await asyncio.sleep(0)
    device.transport.resume_reading()
    await device.until(lambda r: len(r.data) == sent)


async def test_idle_connections_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.idle = 0.05
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser)
    await browser.until(lambda r: r.lost)
    assert isinstance(browser.error, StreamReset)
    assert (browser.error.code, browser.error.text) == (StreamError.TIMEOUT, "idle")
    assert isinstance(await site.finished(), StreamReset)


async def test_a_half_closed_connection_is_not_kept_for_hours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "HALF_CLOSED_SECONDS", 0.05)
    site.idle = 0.05
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser).write_eof()
    await browser.until(lambda r: r.lost)
    assert isinstance(browser.error, StreamReset)


async def test_joining_what_is_already_lost(site: Site) -> None:
    ours, theirs = socket.socketpair()
    transport, held = await asyncio.get_running_loop().create_connection(Held, sock=ours)
    transport.abort()
    await asyncio.sleep(0.01)
    assert held.is_lost
    theirs.close()
    other_ours, other_theirs = socket.socketpair()
    other, _ = await asyncio.get_running_loop().create_connection(Held, sock=other_ours)
    joined = join(other, transport, idle=60.0)
    async with asyncio.timeout(SECONDS):
        assert isinstance(await joined.done, ConnectionResetError)
    other_theirs.close()


async def test_close_ends_both(site: Site) -> None:
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser)
    device = await site.device()
    site.joined[0].close()
    await device.until(lambda r: r.eof)
    await browser.until(lambda r: r.lost)


async def greeted(greeting: bytes) -> bytes:
    """What a client gets through a join when the device had spoken long before it was joined."""
    loop = asyncio.get_running_loop()
    device, device_end = socket.socketpair()
    client, client_end = socket.socketpair()
    for each in (device_end, client, client_end):
        each.setblocking(False)
    device.sendall(greeting)
    async with asyncio.timeout(SECONDS):
        target, held = await loop.create_connection(Held, sock=device_end)
        other, _ = await loop.create_connection(Held, sock=client_end)
        if "uvloop" in type(loop).__module__:
            # It reads in spite of the pause: only a join after that shows that nothing is lost.
            await eventually(lambda: held.data)
        joined = join(other, target)
        got = await loop.sock_recv(client, 65536)
        client.close()
        device.close()
        await joined.done
    return got


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_greeting_before_the_join_is_not_lost(runner: Callable[[Coroutine[None, None, bytes]], bytes]) -> None:
    assert runner(greeted(b"RFB 003.008\n")) == b"RFB 003.008\n"


class Shouting:
    """A filter: capitals towards the device, and the last byte is held back until the device has ended."""

    def __init__(self) -> None:
        self.held = b""
        self.joined: Joined | None = None
        self.closed = 0

    def start(self, joined: Joined) -> None:
        self.joined = joined

    def a_to_b(self, data: bytes) -> bytes:
        return data.upper()

    def b_to_a(self, data: bytes) -> bytes:
        data = self.held + data
        self.held = data[-1:]
        return data[:-1]

    def b_ended(self) -> bytes:
        held, self.held = self.held, b""
        return held

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
async def shouting(tmp_path: Path) -> AsyncIterator[tuple[Site, Shouting]]:
    async with running(tmp_path) as site:
        site.through = Shouting()
        yield site, site.through


async def test_a_filter_sees_both_ways(shouting: tuple[Site, Shouting]) -> None:
    site, through = shouting
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser).write(b"question")
    device = await site.device()
    await device.until(lambda r: r.data == b"QUESTION")
    assert device.transport is not None
    device.transport.write(b"answer")
    await browser.until(lambda r: r.data == b"answe")
    assert through.joined is not None
    through.joined.write_to_a(b"[late]")
    await browser.until(lambda r: r.data == b"answe[late]")
    device.transport.close()
    await browser.until(lambda r: r.eof)
    assert browser.data == b"answe[late]r"
    assert (site.joined[0].a_to_b, site.joined[0].b_to_a) == (8, 6)
    site.joined[0].close()
    await site.finished()
    assert through.closed == 1


async def test_a_filter_is_not_asked_for_more_when_the_device_breaks_off(shouting: tuple[Site, Shouting]) -> None:
    site, through = shouting
    browser = Recorder(keep=True)
    site.near.open_stream("x", browser).write(b"x")
    device = await site.device()
    await device.until(lambda r: r.data)
    assert device.transport is not None
    device.transport.write(b"answer")
    await browser.until(lambda r: r.data)
    sock = cast("socket.socket", device.transport.get_extra_info("socket"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    device.transport.abort()
    await browser.until(lambda r: r.lost)
    assert browser.data == b"answe"
    assert isinstance(await site.finished(), ConnectionResetError)
    assert through.closed == 1
    assert through.joined is not None
    through.joined.write_to_a(b"too late")


class Faulty(Shouting):
    """A filter with a bug: it fails at one byte, or at the end."""

    def a_to_b(self, data: bytes) -> bytes:
        return super().a_to_b(self._look(data))

    def b_to_a(self, data: bytes) -> bytes:
        return super().b_to_a(self._look(data))

    def b_ended(self) -> bytes:
        return super().b_ended() if self.held != b"$" else self._look(b"!")

    def _look(self, data: bytes) -> bytes:
        if b"!" in data:
            raise RuntimeError("a bug")
        return data


@pytest.mark.parametrize("where", ["browser", "device", "end"])
async def test_a_filter_that_fails_ends_its_own_stream_and_nothing_else(tmp_path: Path, where: str) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with running(tmp_path) as site:
        site.through = Faulty()
        browser = Recorder(keep=True)
        stream = site.near.open_stream("x", browser)
        stream.write(b"x")
        device = await site.device()
        await device.until(lambda r: r.data)
        assert device.transport is not None
        if where == "browser":
            stream.write(b"!")
        else:
            device.transport.write(b"!" if where == "device" else b"$")
            if where == "end":
                device.transport.close()
        await browser.until(lambda r: r.lost)
        await device.until(lambda r: r.eof or r.lost)
        await site.finished()
        assert site.through.closed == 1
        site.through = None
        other = Recorder(keep=True)
        site.near.open_stream("y", other).write(b"still here")
        await eventually(lambda: len(site.devices) == 2)
        await site.devices[1].until(lambda r: r.data == b"still here")
