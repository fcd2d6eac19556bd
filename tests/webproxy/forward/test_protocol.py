"""The listener, met by raw sockets: what two parsers could read differently, requests in turn, and slow sides."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.front import OK, Device, running, until
from webproxy.forward import protocol

SMUGGLING = {
    "length and chunked": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "vertical tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "length in a list": b"Content-Length: 5, 5\r\n\r\nabcde",
    "length with plus": b"Content-Length: +5\r\n\r\nabcde",
    "length in hex": b"Content-Length: 0x5\r\n\r\nabcde",
    "chunk in hex": b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
    "chunk without CR": b"Transfer-Encoding: chunked\r\n\r\n5;a\nabcde\r\n0\r\n\r\n",
    "bare CR": b"X: a\rb\r\n\r\n",
    "NUL": b"X: a\0b\r\n\r\n",
    "folded": b"X: a\r\n b\r\n\r\n",
    "two hosts": b"Host: evil\r\n\r\n",
    "odd name": b"X Y: a\r\n\r\n",
    "chunked is not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked beside another coding": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in a folded line": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked after a NUL": b"Transfer-Encoding: \0chunked\r\n\r\n0\r\n\r\n",
    "chunked after a bare CR": b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "empty coding": b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "length and chunked, the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "negative length": b"Content-Length: -1\r\n\r\n",
    "empty length": b"Content-Length:\r\n\r\n",
    "length with a blank inside": b"Content-Length: 1 0\r\n\r\nabcde",
    "length beyond 64 bits": b"Content-Length: 18446744073709551621\r\n\r\nabcde",
    "length with underscore": b"Content-Length: 1_0\r\n\r\nabcde",
    "equal lengths twice": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "chunk beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n",
    "negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
    "chunk without an end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n",
    "chunk size without digits": b"Transfer-Encoding: chunked\r\n\r\n;x\r\nabcde\r\n0\r\n\r\n",
    "no colon": b"Transfer-Encoding chunked\r\n\r\n0\r\n\r\n",
    "no name": b": x\r\n\r\n",
    "bare LF between headers": b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF at the end": b"X: y\r\n\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_smuggling_ends_the_connection(name: str) -> None:
    device = Device()
    async with running(device) as front:
        raw = await front.connect()
        start = front.head("POST", "/first", Origin=front.origin)[:-2]
        raw.send(start + SMUGGLING[name] + front.head(target="/second"))
        end = await raw.end()
        assert end.startswith(b"HTTP/1.1 400 ")
        assert end.count(b"HTTP/1.1 ") == 1
        assert not any(b"/second" in head for head in device.heads)
        assert (await front.ask(front.head(target="/after"))).body == b"ok"


@pytest.mark.parametrize("line", [
    b"GET http://evil/x HTTP/1.1", b"GET @evil/x HTTP/1.1", b"GET //evil/x HTTP/1.1", b"CONNECT 10.0.0.1:502 HTTP/1.1",
    b"TRACE / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET / HTTP/2.0", b"PRI * HTTP/2.0",
    b"FOO / HTTP/1.1",
    b"GET /\\evil HTTP/1.1 x",
])  # fmt: skip
async def test_odd_targets_and_methods_never_reach_the_device(line: bytes) -> None:
    async with running() as front:
        raw = await front.connect()
        raw.send(line + b"\r\n" + front.head().split(b"\r\n", 1)[1])
        assert (await raw.end()).split(b" ")[1] in (b"400", b"405", b"505")
        assert front.device.connections == 0


@pytest.mark.parametrize(("host", "status"), [
    ("evil.example", 421), ("hmi--press--acme.apps.localhost", 421), ("hmi--press--acme.apps.localhost:8080.", 421),
    ("HMI--press--acme.APPS.localhost:8080", 200), ("hmi--press--acme.apps.localhost.:8080", 308), ("a@b", 421),
    ("x.hmi--press--acme.apps.localhost:8080", 421), ("apps.localhost:8080", 421), ("127.0.0.1:8080", 421),
])  # fmt: skip
async def test_hosts(host: str, status: int) -> None:
    async with running() as front:
        answer = await front.ask(front.head(target="/x?y", host=host))
        assert answer.status == status
        if status == 308:
            assert answer.value("location") == front.origin + "/x?y"


async def test_the_portal_is_served_beside_services() -> None:
    async with running() as front:
        raw = await front.connect()
        portal = front.head("POST", "/sign-in", host="portal.localhost:8080", Content_Length="3") + b"abc"
        for _ in range(3):
            assert (await raw.ask(portal)).body == b"portal POST /sign-in 3"
            assert (await raw.ask(front.head())).body == b"ok"


async def test_pipelined_requests_are_answered_in_turn() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await front.device.head(reader)
            body = await front.device.body(reader, head)
            text = head.split(b" ")[1] + body
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        post = front.head("POST", "/c", Origin=front.origin, Content_Length="3") + b"abc"
        raw.send(front.head(target="/a") + front.head(target="/b") + post + front.head(target="/d"))
        assert [(await raw.read()).body for _ in range(4)] == [b"/a", b"/b", b"/cabc", b"/d"]


async def test_a_pipelined_rest_after_an_upgrade_is_not_a_request() -> None:
    async with running() as front:
        raw = await front.connect()
        raw.send(front.head(Upgrade="h2c", Connection="Upgrade") + front.head(target="/second"))
        end = await raw.end()
        assert end.count(b"HTTP/1.1 200") == 1
        assert b"Upgrade:" not in front.device.heads[0]
        assert len(front.device.heads) == 1


async def test_too_large_a_head() -> None:
    async with running() as front:
        answer = await front.ask(front.head(X="a" * 140_000))
        assert answer.status == 431
        raw = await front.connect()
        raw.send(b"GET / HTTP/1.1\r\nX: " + b"a" * 50_000)
        await asyncio.sleep(0.01)
        raw.send(b"a" * 900_000)
        assert (await raw.end()).startswith(b"HTTP/1.1 431")
        assert (await front.ask(front.head(Cookie="a=" + "a" * 740_000))).status == 431


async def test_a_cookie_bomb_is_survived() -> None:
    async with running() as front:
        bomb = "; ".join(f"x{number}={'a' * 4000}" for number in range(170))  # nearly all that browsers keep
        head = front.head(token=None, Cookie=f"{bomb}; __Host-pg=tok; sid=1")
        assert (await front.ask(head)).status == 200
        assert len(front.device.heads[0]) < 1000


async def test_1_0_clients_get_no_chunks() -> None:
    device = Device(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    async with running(device) as front:
        raw = await front.connect()
        raw.send(front.head().replace(b"HTTP/1.1", b"HTTP/1.0"))
        async with asyncio.timeout(5):
            got = await raw.reader.readuntil(b"ok")
        assert b"chunked" not in got
        assert b"Connection: close" in got
        raw.close()


async def test_the_browser_goes_while_the_answer_comes() -> None:
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while True:
                writer.write(b"a" * 65536)
                await writer.drain()
        except ConnectionError:
            gone.set()

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        raw.send(front.head())
        await raw.reader.readexactly(100_000)
        raw.close()
        async with asyncio.timeout(5):
            await gone.wait()
        assert (await front.connect()) is not None


async def test_a_slow_browser_holds_the_device() -> None:
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"a" * 65536)
            await writer.drain()
            sent += 65536

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        raw.send(front.head())
        await raw.reader.readexactly(1000)
        last = -1
        async with asyncio.timeout(20):
            while sent != last:
                last = sent
                await asyncio.sleep(0.3)
        assert sent < 30_000_000
        assert front.circuits[0].streams[0].paused
        raw.close()


async def test_an_upload_is_streamed_and_a_slow_device_holds_the_browser() -> None:
    read = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await front.device.head(reader)
        await read.wait()
        body = await front.device.body(reader, head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%08d" % len(body))

    async with running(Device(handler=handler)) as front:
        size = 20_000_000
        raw = await front.connect()
        raw.send(front.head("POST", "/up", Origin=front.origin, Content_Length=str(size)))
        raw.send(b"a" * size)
        await asyncio.sleep(0.5)
        assert front.circuits[0].streams[0].written < 15_000_000
        read.set()
        assert int((await raw.read()).body) == size


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.2)
    async with running() as front:
        raw = await front.connect()
        raw.send(b"GET / HT")
        assert await raw.end() == b""


async def test_shutdown_lets_the_answer_finish() -> None:
    release = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        await release.wait()
        writer.write(OK)

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        raw.send(front.head())
        await until(lambda: front.device.heads)
        for connection in list(front.fronts):
            connection.shutdown()
        release.set()
        assert (await raw.end()).endswith(b"ok")


async def test_a_repeated_request_is_the_same_and_a_changed_one_is_not() -> None:
    async with running() as front:
        raw = await front.connect()
        for target in ("/poll", "/poll", "/other", "/poll", "/poll"):
            assert (await raw.ask(front.head(target=target, Accept="a"))).status == 200
        assert (await raw.ask(front.head(target="/poll", Accept="b"))).status == 200
        assert (await raw.ask(front.head("HEAD", "/poll", Accept="b"))).status == 200
        seen = [[*head.split(b" ")[:2], b"Accept: b" in head] for head in front.device.heads]
        wanted = [b"/poll", b"/poll", b"/other", b"/poll", b"/poll", b"/poll", b"/poll"]
        assert [target for _, target, _ in seen] == wanted
        assert [method for method, _, _ in seen] == [b"GET"] * 6 + [b"HEAD"]
        assert [changed for _, _, changed in seen] == [False] * 5 + [True] * 2
        # The way there is checked anew each time: a session that has ended stops the same bytes.
        front.access.sessions.clear()
        front.web.events.emit({"type": "session.ended", "session_id": "s1"})
        assert (await raw.ask(front.head("HEAD", "/poll", Accept="b"))).status == 401
