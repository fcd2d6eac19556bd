"""WebSockets of a machine's server, with python-websockets at both ends, through web proxy, relay and agent."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from tests.fakes.front import Front, Raw, running, until
from tests.fakes.plant import Plant, plant
from webproxy.forward import pool

LARGE = 16 * 1024 * 1024
ENDS = [(1000, "done"), (1001, "going"), (1011, "zu heiß"), (4000, "own"), (1005, "")]
# What fits between a writer and a reader who doesn't read: a window of 4 MiB, and sockets' buffers on the five hops.
HELD_LIMIT = 48 * 1024 * 1024
SMALL = 64 * 1024  # bytes in a writer's own buffer, which don't count

Handler = Callable[[ServerConnection], Awaitable[None]]


class Site:
    """A machine whose service is a WebSocket server; `ends` are the codes and reasons that it saw, in order."""

    def __init__(self, tunnel: Plant, front: Front) -> None:
        self.tunnel = tunnel
        self.front = front
        self.connections: list[ServerConnection] = []
        self.ends: list[tuple[int | None, str | None]] = []

    def open(self, **options: Any) -> connect:
        """A browser's page opens one."""
        more = {"max_size": None, "compression": None, "proxy": None, "ping_interval": None, **options}
        headers = {"Cookie": f"__Host-pg={more.pop('token', 'tok')}"}
        front = self.front
        return connect(
            f"ws://{front.host}/live", host="127.0.0.1", port=front.port, origin=front.origin,  # type: ignore[arg-type]
            additional_headers=headers, **more,
        )  # fmt: skip

    async def ended(self) -> tuple[int | None, str | None]:
        await until(lambda: self.ends)
        return self.ends.pop(0)

    @property
    def sockets(self) -> int:
        return sum(len(visit.sockets) for visit in self.front.web.visits)


Sites = Callable[..., AbstractAsyncContextManager[Site]]


async def echo(device: ServerConnection) -> None:
    async for message in device:
        await device.send(message)


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Sites]:
    """Makes a machine with a server that does what a handler says."""
    async with plant(tmp_path) as tunnel:

        async def opener(**_: Any) -> Any:
            return await tunnel.circuit(tunnel.ticket(services=("hmi",)))

        @asynccontextmanager
        async def site(handler: Handler = echo, **options: Any) -> AsyncIterator[Site]:
            async def handle(device: ServerConnection) -> None:
                made.connections.append(device)
                try:
                    await handler(device)
                finally:
                    await device.wait_closed()
                    made.ends.append((device.close_code, device.close_reason))

            more = {"max_size": None, "compression": None, "ping_interval": None, **options}
            async with serve(handle, Plant.HOST, 0, **more) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                tunnel.device.services.append(tunnel.row("hmi", Plant.HOST, port))
                session = {"service_id": "hmi", "host": Plant.HOST, "port": port}
                async with running(session=session, opener=opener) as front:
                    made = Site(tunnel, front)
                    yield made

        yield site


# ---- the handshake


async def test_the_device_chooses_the_subprotocol(sites: Sites) -> None:
    async with sites(subprotocols=["v2.hmi"]) as site, site.open(subprotocols=["v1.hmi", "v2.hmi"]) as browser:
        assert browser.subprotocol == site.connections[0].subprotocol == "v2.hmi"


async def test_a_refusal_comes_with_its_status_and_body(sites: Sites) -> None:
    def refuse(device: ServerConnection, request: Request) -> Response:
        assert request.headers["Origin"] == f"http://{request.headers['Host']}"
        return device.respond(HTTPStatus.PAYMENT_REQUIRED, "buy a licence")

    async with sites(process_request=refuse) as site:
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refused:
                await site.open()
            assert (refused.value.response.status_code, refused.value.response.body) == (402, b"buy a licence")
        assert site.sockets == 0


async def test_the_handshakes_cookie_is_the_devices_own(sites: Sites) -> None:
    def sign_in(device: ServerConnection, request: Request, response: Response) -> None:
        del device, request
        response.headers["Set-Cookie"] = "session=7; Path=/; Domain=plant.example; HttpOnly"

    async with sites(process_response=sign_in) as site, site.open() as browser:
        assert browser.response is not None
        assert browser.response.headers["Set-Cookie"] == "session=7; Path=/; HttpOnly"
        request = site.connections[0].request
        assert request is not None
        assert "Cookie" not in request.headers


@pytest.mark.parametrize("device", ["deflate", None])
async def test_messages_are_compressed_when_both_ends_agree(sites: Sites, device: str | None) -> None:
    async with sites(compression=device) as site, site.open(compression="deflate") as browser:
        agreed = [type(one).__name__ for one in browser.protocol.extensions]
        assert agreed == (["PerMessageDeflate"] if device else [])
        assert len(site.connections[0].protocol.extensions) == len(agreed)
        await browser.send("0" * 1_000_000)
        assert await browser.recv() == "0" * 1_000_000
        await site.front.web.connections.flush()
        report = site.front.access.reports["con1"]
        for way in ("bytes_up", "bytes_down"):
            assert (report[way] < 10_000) == bool(device)


# ---- messages


async def test_text_binary_and_large_messages_both_ways(sites: Sites) -> None:
    large = os.urandom(LARGE)
    async with sites() as site, site.open() as browser:
        for message in ("Füllstand 3 m³", "", b"", b"\x00\xff" * 70_000, "ü" * (LARGE // 2), large):
            await browser.send(message)
            # Compared outside of assert: pytest would explain 16 MiB.
            same = await browser.recv() == message
            assert same


async def test_a_message_in_pieces_stays_in_pieces(sites: Sites) -> None:
    got: list[list[str | bytes]] = []

    async def pieces(device: ServerConnection) -> None:
        got.append([piece async for piece in device.recv_streaming()])
        await device.send(["eins ", "", "zwei"])

    async with sites(pieces) as site, site.open() as browser:
        await browser.send([b"a", b"bc" * 40_000, b"d"])
        # The library ends a message with an empty piece.
        assert [piece async for piece in browser.recv_streaming()] == ["eins ", "", "zwei", ""]
        assert got == [[b"a", b"bc" * 40_000, b"d", b""]]


async def test_pings_are_answered_by_the_far_end(sites: Sites) -> None:
    async with sites() as site, site.open() as browser:
        for end in (browser, site.connections[0]):
            async with asyncio.timeout(10):
                await (await end.ping(b"are you there?"))


# ---- ends


async def close(end: Connection, code: int, reason: str) -> None:
    if code != 1005:
        await end.close(code, reason)
        return
    async with end.send_context():
        end.protocol.send_close()  # a close frame without a code


@pytest.mark.parametrize(("code", "reason"), ENDS)
async def test_the_devices_end_reaches_the_browser(sites: Sites, code: int, reason: str) -> None:
    async def leave(device: ServerConnection) -> None:
        await close(device, code, reason)

    async with sites(leave) as site, site.open() as browser:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(browser.recv(), 10)
        assert (browser.close_code, browser.close_reason) == (code, reason)
        assert await site.ended() == (code, reason)
        await until(lambda: not site.sockets)


@pytest.mark.parametrize(("code", "reason"), ENDS)
async def test_the_browsers_end_reaches_the_device(sites: Sites, code: int, reason: str) -> None:
    async with sites() as site, site.open() as browser:
        await close(browser, code, reason)
        await asyncio.wait_for(browser.wait_closed(), 10)
        assert (browser.close_code, browser.close_reason) == (code, reason)
        assert await site.ended() == (code, reason)
        await until(lambda: not site.sockets)


async def test_a_connection_that_breaks_ends_the_other_without_a_word(sites: Sites) -> None:
    async with sites() as site:
        async with site.open() as browser:
            site.connections[0].transport.abort()
            await asyncio.wait_for(browser.wait_closed(), 10)
            assert browser.close_code == 1006
        async with site.open() as browser:
            site.ends.clear()
            browser.transport.abort()
            assert (await site.ended())[0] == 1006
        await until(lambda: not site.sockets)


@pytest.mark.parametrize("why", ["signed out", "permission removed"])
async def test_it_ends_with_the_session(sites: Sites, why: str) -> None:
    async with sites() as site, site.open() as browser:
        access = site.front.access
        if why == "signed out":
            access.push({"type": "session.ended", "session_id": "s1"})
        else:
            access.sessions.clear()
            access.push({"type": "access.changed", "account_id": "id-acme"})
        async with asyncio.timeout(2):
            await browser.wait_closed()
            await site.connections[0].wait_closed()
        assert browser.close_code == site.connections[0].close_code == 1006
        assert site.sockets == 0


# ---- limits


async def test_there_are_not_endless_many_and_pages_go_on(sites: Sites) -> None:
    def page(device: ServerConnection, request: Request) -> Response | None:
        return None if "Upgrade" in request.headers else device.respond(HTTPStatus.OK, "page")

    async with sites(process_request=page) as site:
        browsers = [await site.open() for _ in range(pool.SOCKETS_LIMIT)]
        with pytest.raises(InvalidStatus) as refused:
            await site.open()
        assert refused.value.response.status_code == 503
        assert b"live connections" in refused.value.response.body
        assert (await site.front.ask(site.front.head())).body == b"page"
        # One less makes room.
        await browsers.pop().close()
        await until(lambda: site.sockets < pool.SOCKETS_LIMIT)
        browsers.append(await site.open())
        for browser in browsers:
            await browser.send("still here")
            assert await browser.recv() == "still here"
            await browser.close()


async def stalled(count: Callable[[], int]) -> int:
    """What `count` stands at when it has stood still for a while."""
    last, since, loop = -1, 0.0, asyncio.get_running_loop()
    async with asyncio.timeout(60):
        while last != count() or loop.time() - since < 1.0:
            if last != count():
                last, since = count(), loop.time()
            await asyncio.sleep(0.02)
    return last


class Flow:
    """Binary messages of 64 KiB, as fast as they are taken; `sent` bytes are out of our hands."""

    PIECES = 2048

    def __init__(self) -> None:
        self.sent = 0
        self.digest = hashlib.blake2b()

    async def run(self, end: Connection) -> None:
        piece = os.urandom(65536)
        for number in range(self.PIECES):
            message = number.to_bytes(4, "big") + piece
            self.digest.update(message)
            await end.send(message)
            self.sent += len(message)

    async def read(self, end: Connection) -> None:
        """Read all, and find it whole."""
        digest = hashlib.blake2b()
        async with asyncio.timeout(120):
            for _ in range(self.PIECES):
                digest.update(await end.recv(decode=False))
        assert digest.digest() == self.digest.digest()


async def test_a_browser_that_does_not_read_holds_the_device(sites: Sites) -> None:
    flow = Flow()
    async with sites(flow.run, write_limit=SMALL) as site, site.open(max_queue=1) as browser:
        assert 0 < await stalled(lambda: flow.sent) < HELD_LIMIT
        await flow.read(browser)


async def test_a_device_that_does_not_read_holds_the_browser(sites: Sites) -> None:
    flow, go = Flow(), asyncio.Event()

    async def late(device: ServerConnection) -> None:
        await go.wait()
        await flow.read(device)
        await device.send("all")

    async with sites(late, max_queue=1) as site, site.open(write_limit=SMALL) as browser:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flow.run(browser))
            assert 0 < await stalled(lambda: flow.sent) < HELD_LIMIT
            go.set()
        assert await asyncio.wait_for(browser.recv(), 60) == "all"


# ---- what no standard knows (facts 2.12, A34)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, b"\xc3\x28").serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"x" * 5000).serialize(mask=True), 1009),
        (Frame(Opcode.CONT, b"of what?").serialize(mask=True), 1002),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
        (b"\x82\xff" + b"\xff" * 8 + b"\x00\x00\x00\x00", 1009),
    ],
    ids=["not UTF-8", "too long", "no beginning", "unknown bits", "endless"],
)
async def test_what_a_page_sends_wrongly_the_device_judges(sites: Sites, data: bytes, code: int) -> None:
    async with sites(max_size=4096) as site:
        async with site.open() as browser:
            browser.transport.write(data)
            await asyncio.wait_for(browser.wait_closed(), 10)
            assert browser.close_code == code
        async with site.open() as browser:
            await browser.send("next")
            assert await browser.recv() == "next"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, b"\xc3\x28").serialize(mask=False), 1007),
        (Frame(Opcode.BINARY, b"x" * 5000).serialize(mask=False), 1009),
        (Frame(Opcode.TEXT, b"masked").serialize(mask=True), 1002),
    ],
    ids=["not UTF-8", "too long", "masked"],
)
async def test_what_a_device_sends_wrongly_the_browser_judges(sites: Sites, data: bytes, code: int) -> None:
    async def wrong(device: ServerConnection) -> None:
        device.transport.write(data)

    async with sites(wrong) as site, site.open(max_size=4096) as browser:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(browser.recv(), 10)
        assert (await site.ended())[0] == code


async def test_bytes_that_are_no_frames_at_all_pass(sites: Sites) -> None:
    async def noise(device: ServerConnection) -> None:
        device.transport.write(b"\x00" * 70_000 + b"HTTP/1.1 200 OK\r\n\r\n")
        device.transport.close()

    async with sites(noise) as site:
        raw: Raw = await site.front.connect()
        head = site.front.head(
            target="/live", Origin=site.front.origin, Connection="Upgrade", Upgrade="websocket",
            Sec_WebSocket_Version="13", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        assert (await raw.ask(head)).status == 101
        assert await raw.end() == b"\x00" * 70_000 + b"HTTP/1.1 200 OK\r\n\r\n"
