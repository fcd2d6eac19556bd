from __future__ import annotations

import asyncio

import pytest

from tests.fakes.front import OK, Device, Front, running, until
from webproxy.forward import pool
from webproxy.forward.visit import Visit


def visit_of(front: Front) -> Visit:
    (visit,) = front.web.visits
    return visit


class Slow(Device):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.handler = self.slow

    async def slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.head(reader)
            await self.go.wait()
            writer.write(OK)


async def test_a_stream_is_kept_and_closed_when_idle() -> None:
    async with running() as front:
        raw = await front.connect()
        for _ in range(5):
            assert (await raw.ask(front.head())).status == 200
        streams = visit_of(front).pool
        assert (front.device.connections, len(streams.idle), len(streams.busy)) == (1, 1, 0)
        streams.sweep(asyncio.get_running_loop().time() + pool.IDLE_SECONDS + 1)
        assert streams.idle == []
        assert not front.circuits[0].open_streams


async def test_what_a_page_left_idle_is_soon_free_for_other_users() -> None:
    device = Slow()
    async with running(device) as front:
        raws = [await front.connect() for _ in range(6)]
        for raw in raws:
            raw.send(front.head())
        await until(lambda: len(device.heads) == 6)
        device.go.set()
        for raw in raws:
            assert (await raw.read()).status == 200
        streams = visit_of(front).pool
        newest = streams.idle[-pool.KEPT :]
        now = asyncio.get_running_loop().time()
        streams.sweep(now)
        assert len(streams.idle) == 6
        streams.sweep(now + pool.SPARE_SECONDS + 1)
        assert streams.idle == newest


async def test_not_more_streams_than_allowed_and_the_rest_waits() -> None:
    device = Slow()
    async with running(device) as front:
        raws = [await front.connect() for _ in range(pool.IN_USE_LIMIT + 4)]
        for raw in raws:
            raw.send(front.head())
        async with asyncio.timeout(5):
            await until(lambda: not (len(device.heads) < pool.IN_USE_LIMIT))
        assert len(visit_of(front).pool.waiting) == 4
        device.go.set()
        for raw in raws:
            assert (await raw.read()).status == 200
        assert device.connections == pool.IN_USE_LIMIT


async def test_waiting_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IN_USE_LIMIT", 1)
    monkeypatch.setattr(pool, "WAITING_LIMIT", 1)
    device = Slow()
    async with running(device) as front:
        first, second, third = [await front.connect() for _ in range(3)]
        first.send(front.head())
        await until(lambda: device.heads)
        second.send(front.head())
        await asyncio.sleep(0.05)
        third.send(front.head())
        assert (await third.read()).status == 503
        visit_of(front).pool.sweep(asyncio.get_running_loop().time() + pool.WAITING_SECONDS + 1)
        assert (await second.read()).status == 503
        assert len(device.heads) == 1


async def test_a_device_that_stays_silent() -> None:
    device = Slow()
    async with running(device) as front:
        raw = await front.connect()
        raw.send(front.head())
        await until(lambda: device.heads)
        now = asyncio.get_running_loop().time()
        visit_of(front).pool.sweep(now)
        visit_of(front).pool.sweep(now + pool.HEAD_SECONDS + 1)
        assert (await raw.read()).status == 504


async def test_unasked_bytes_close_a_kept_stream() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await reader.read()

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        assert (await raw.ask(front.head())).body == b"ok"
        async with asyncio.timeout(5):
            await until(lambda: not (visit_of(front).pool.idle))
        assert (await raw.ask(front.head())).body == b"ok"
        assert front.device.connections == 2
