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


PAGE = {"Accept": "text/html", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document", "Sec_Fetch_Site": "none"}


async def test_a_person_waits_less_long_for_a_page_than_a_script_for_its_answer() -> None:
    device = Slow()
    async with running(device) as front:
        page, script = await front.connect(), await front.connect()
        page.send(front.head(target="/report?day=1", **PAGE))
        script.send(front.head(target="/report?day=1"))
        await until(lambda: len(device.heads) == 2)
        streams, now = visit_of(front).pool, asyncio.get_running_loop().time()
        streams.sweep(now)
        streams.sweep(now + pool.PAGE_SECONDS)
        assert len(streams.busy) == 2
        streams.sweep(now + pool.PAGE_SECONDS + 1)
        shown = await page.read()
        assert (shown.status, b"30 seconds" in shown.body, b"load it again" in shown.body) == (504, True, True)
        assert len(streams.busy) == 1, "the silent connection is closed, the script's is not"
        # It was slow once, and its reader was told to try again: now it has the time that it may need.
        page.send(front.head(target="/report?day=2", **PAGE))
        await until(lambda: len(device.heads) == 3)
        streams.sweep(now)
        streams.sweep(now + pool.HEAD_SECONDS - 1)
        device.go.set()
        assert (await page.read()).body == b"ok"
        assert (await script.read()).body == b"ok"


async def test_not_every_slow_page_is_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SLOW_LIMIT", 2)
    device = Slow()
    async with running(device) as front:
        raw = await front.connect()
        for count, name in enumerate(("/a", "/b", "/c", "/a"), 1):  # the last would wait longer, were it still known
            raw.send(front.head(target=name, **PAGE))
            await until(lambda count=count: len(device.heads) == count)
            now = asyncio.get_running_loop().time()
            visit_of(front).pool.sweep(now)
            visit_of(front).pool.sweep(now + pool.PAGE_SECONDS + 1)
            assert (await raw.read()).status == 504


async def test_an_upload_is_not_silence() -> None:
    arrived = bytearray()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        for _ in range(3):
            arrived.extend(await reader.readexactly(10))
        writer.write(OK)

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        same = {"Origin": front.origin, "Sec_Fetch_Site": "same-origin"}
        raw.send(front.head("POST", target="/firmware", Content_Length="30", **same))
        now = asyncio.get_running_loop().time()
        for size in (10, 20, 30):
            raw.send(bytes(10))
            await until(lambda size=size: len(arrived) == size)
            if size < 30:
                visit_of(front).pool.sweep(now)
                visit_of(front).pool.sweep(now + pool.HEAD_SECONDS)
            now += pool.HEAD_SECONDS + 1
        assert (await raw.read(b"POST")).body == b"ok"


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
