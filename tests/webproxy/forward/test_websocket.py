from __future__ import annotations

import asyncio
from typing import Any

from websockets.frames import Frame, Opcode

from panelgate.wsframes import CloseCode
from tests.fakes.front import Device, Front, running, until
from webproxy.forward import visit

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n"
    b'Sec-WebSocket-Protocol: v1.kernel\r\nSet-Cookie: sid=1; Domain=evil\r\nClear-Site-Data: "cookies"\r\n\r\n'
)  # fmt: skip


def upgrade(front: Front, **more: str) -> bytes:
    headers = {
        "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Origin": front.origin, "Sec_WebSocket_Key": "abc",
        "Sec_WebSocket_Protocol": "v1.kernel, other", "Sec_WebSocket_Version": "13", **more,
    }  # fmt: skip
    return front.head(target="/ws?x=1", **headers)


class Echo(Device):
    def __init__(self, first: bytes = b"", answer: bytes = SWITCH) -> None:
        super().__init__(answer)
        self.first = first
        self.handler = self.echo
        self.ended = asyncio.Event()

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(self.answer + self.first)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        self.ended.set()


async def test_bytes_pass_both_ways_after_the_101() -> None:
    async with running(Echo(b"hello")) as front:
        raw = await front.connect()
        answer = await raw.ask(upgrade(front) + b"early")
        assert answer.status == 101
        assert answer.value("sec-websocket-protocol") == "v1.kernel"
        assert answer.value("set-cookie") == "sid=1"
        assert answer.value("clear-site-data") is None
        async with asyncio.timeout(5):
            assert await raw.reader.readexactly(10) == b"helloearly"
            raw.send(b"x" * 3_000_000)
            assert await raw.reader.readexactly(3_000_000) == b"x" * 3_000_000
        seen = front.device.heads[0]
        assert b"Origin: http://10.0.0.5\r\n" in seen
        assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in seen
        assert b"Sec-WebSocket-Protocol: v1.kernel, other\r\n" in seen
        await front.web.connections.flush()
        assert front.access.reports["con1"]["bytes_down"] > 3_000_000


async def test_a_refusal_is_passed_on() -> None:
    async with running(Device(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")) as front:
        raw = await front.connect()
        answer = await raw.ask(upgrade(front))
        assert (answer.status, answer.body) == (403, b"no")
        assert await raw.end() == b""
        assert not [visit.sockets for visit in front.web.visits if visit.sockets]


async def cut_by(event: dict[str, Any], *, forget: bool) -> None:
    device = Echo()
    async with running(device) as front:
        raw = await front.connect()
        assert (await raw.ask(upgrade(front))).status == 101
        if forget:
            front.access.sessions.clear()
        front.access.push(event)
        async with asyncio.timeout(2):
            assert await raw.end() == b""
            await device.ended.wait()


async def test_the_session_ends() -> None:
    await cut_by({"type": "session.ended", "session_id": "s1"}, forget=False)


async def test_the_permission_goes() -> None:
    await cut_by({"type": "access.changed", "account_id": "id-acme"}, forget=True)


async def test_the_device_ends_it() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(SWITCH + b"bye")

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        assert (await raw.ask(upgrade(front))).status == 101
        assert await raw.end() == b"bye"


async def test_the_browser_ends_it() -> None:
    device = Echo()
    async with running(device) as front:
        raw = await front.connect()
        assert (await raw.ask(upgrade(front))).status == 101
        raw.close()
        async with asyncio.timeout(5):
            await device.ended.wait()


async def test_there_are_not_endless_many(monkeypatch: Any) -> None:
    monkeypatch.setattr(visit, "SOCKETS_LIMIT", 3)
    async with running(Echo()) as front:
        for _ in range(3):
            raw = await front.connect()
            assert (await raw.ask(upgrade(front))).status == 101
        assert (await front.ask(upgrade(front))).status == 503


async def test_a_slow_browser_holds_the_device() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(SWITCH)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        assert (await raw.ask(upgrade(front))).status == 101
        await until(lambda: front.circuits[0].streams[0].paused)
        raw.close()


REWRITE = {"options": {"rewrite": True}}


async def test_addresses_in_text_messages_are_public_here_and_private_there() -> None:
    hello = Frame(Opcode.TEXT, b'{"url":"ws://10.0.0.5/live"}').serialize(mask=False)
    device = Echo(hello)
    async with running(device, session=REWRITE) as front:
        raw = await front.connect()
        early = Frame(Opcode.TEXT, f"{front.origin}/early".encode()).serialize(mask=True)
        offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
        assert (await raw.ask(upgrade(front, **offer) + early)).status == 101
        assert b"Extensions" not in device.heads[0]
        public = Frame(Opcode.TEXT, hello[2:].replace(b"ws://10.0.0.5", front.origin.replace("http", "ws", 1).encode()))
        async with asyncio.timeout(5):
            expected = public.serialize(mask=False)
            assert await raw.reader.readexactly(len(expected)) == expected
            # The echo sends the client's frame back mask and all, which no server may.
            assert (await raw.reader.readexactly(4))[2:] == CloseCode.PROTOCOL_ERROR.to_bytes(2, "big")


async def test_what_the_device_gets_is_masked_and_private() -> None:
    got: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(SWITCH)
        got.append(await reader.readexactly(6 + len("http://10.0.0.5/x")))
        writer.write(Frame(Opcode.BINARY, b"http://10.0.0.5/x").serialize(mask=False))
        await reader.read()

    async with running(Device(handler=handler), session=REWRITE) as front:
        raw = await front.connect()
        assert (await raw.ask(upgrade(front))).status == 101
        raw.send(Frame(Opcode.TEXT, f"{front.origin}/x".encode()).serialize(mask=True))
        async with asyncio.timeout(5):
            assert await raw.reader.readexactly(19) == b"\x82\x11http://10.0.0.5/x"
        mask = got[0][2:6]
        assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(got[0][6:])) == b"http://10.0.0.5/x"


async def test_a_frame_that_no_server_may_send_is_said_so() -> None:
    device = Echo(b"\x81\x81mask!")
    async with running(device, session=REWRITE) as front:
        raw = await front.connect()
        assert (await raw.ask(upgrade(front))).status == 101
        end = await raw.end()
        assert end[:1] == b"\x88"
        assert int.from_bytes(end[2:4], "big") == CloseCode.PROTOCOL_ERROR
        assert not [visit.sockets for visit in front.web.visits if visit.sockets]
