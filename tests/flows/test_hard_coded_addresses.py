"""A page with its plant's addresses in it, through web proxy, relay and agent: options make it work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Frame
from websockets.frames import Opcode as Op

from panelgate.wsframes import Opcode, StreamUnmasker
from tests.fakes.front import Front, running
from tests.fakes.hard_coded import HardCoded
from tests.fakes.plant import Plant, plant

SERVICES = ("hmi", "socket", "trend")


@pytest.fixture
async def hmi(tmp_path: Path) -> AsyncIterator[tuple[Plant, HardCoded]]:
    async with plant(tmp_path) as site:
        made = HardCoded(Plant.HOST)
        await made.start()
        yield site, made
        await made.stop()


@asynccontextmanager
async def through(site: Plant, hmi: HardCoded, **options: Any) -> AsyncIterator[Front]:
    ports = {"hmi": hmi.page, "socket": hmi.socket, "trend": hmi.trend}
    site.device.services += [site.row(name, Plant.HOST, port) for name, port in ports.items()]
    siblings = [
        {**site.row(name, Plant.HOST, ports[name]), "label": f"{name}--press--acme", "permission": "operate"}
        for name in SERVICES[1:]
    ]
    session = {
        "service_id": "hmi", "host": Plant.HOST, "port": hmi.page, "options": options, "siblings": siblings
    }  # fmt: skip

    async def opener(**_: Any) -> Any:
        return await site.circuit(site.ticket(services=SERVICES))

    async with running(session=session, opener=opener) as front:
        yield front


async def test_a_page_with_hard_coded_addresses_works(hmi: tuple[Plant, HardCoded]) -> None:
    site, device = hmi
    async with through(site, device, rewrite=True, companions=["socket"]) as front:
        page = await front.ask(front.head(Accept_Encoding="gzip, br"))
        assert f'src="{front.origin}/hmi.js"'.encode() in page.body
        trend = front.web.sites.service_origin("trend--press--acme")
        assert f'href="{trend}/trend"'.encode() in page.body
        script = await front.ask(front.head(target="/hmi.js"))
        assert f'fetch("{front.origin}/api/config")'.encode() in script.body
        config = await front.ask(front.head(target="/api/config"))
        address = json.loads(config.body)["socket"]
        assert address == front.origin.replace("http", "ws", 1) + "/.pg/companion/socket/live"

        raw = await front.connect()
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "dGhlIHNhbXBsZQ=="}
        target = address.partition(front.host)[2]
        assert (await raw.ask(front.head(target=target, Origin=front.origin, **upgrade))).status == 101
        raw.send(Frame(Op.TEXT, json.dumps({"here": front.origin + "/"}).encode()).serialize(mask=True))
        frames, news = StreamUnmasker(client=True, messages=65536), []
        async with asyncio.timeout(10):
            while sum(one["heard"] == "known" for one in news) < 3:
                items = frames.feed(await raw.reader.read(65536))
                news += [json.loads(item.payload) for item in items if item.opcode == Opcode.TEXT]
        assert {one["home"] for one in news} == {front.origin}
        assert len({one["value"] for one in news}) > 1
        names = {head["host"] for _, head in device.seen}
        assert names == {f"{Plant.HOST}:{device.page}", f"{Plant.HOST}:{device.socket}"}


async def test_without_the_options_it_stays_as_it_is(hmi: tuple[Plant, HardCoded]) -> None:
    site, device = hmi
    async with through(site, device) as front:
        page = await front.ask(front.head())
        assert f"http://{Plant.HOST}:{device.page}/hmi.js".encode() in page.body
        assert (await front.ask(front.head(target="/.pg/companion/socket/live"))).status == 404
