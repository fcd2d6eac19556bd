"""A web proxy's listener in this process: FrontProtocol, a fake circuit, and a device written in the test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from panelgate.clock import FakeClock
from panelgate.names import Sites
from panelgate.ports import KnownPorts, PortRange
from panelgate.settings import WebproxySettings
from tests.fakes.access_stub import AccessStub
from tests.fakes.circuit import FakeCircuit
from webproxy.circuits import Opener
from webproxy.forward.protocol import FrontProtocol
from webproxy.web import Web

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class Device:
    """A TCP server on loopback that records what it gets. By default it answers each head with `answer`."""

    def __init__(self, answer: bytes = OK, handler: Handler | None = None) -> None:
        self.answer = answer
        self.handler = handler
        self.heads: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._server: Any = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await (self.handler or self._default)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    async def body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await reader.readexactly(int(line[15:]))
        if b"transfer-encoding: chunked" not in head.lower():
            return b""
        out = b""
        while size := int(await reader.readline(), 16):
            out += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return out

    async def _default(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await self.head(reader)
            await self.body(reader, head)
            writer.write(self.answer)
            await writer.drain()


@dataclass
class Front:
    web: Web
    access: AccessStub
    device: Device
    port: int
    targets: dict[str, Any]
    circuits: list[FakeCircuit] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    label: str = ""
    fronts: set[Any] = field(default_factory=set)
    service_ports: list[int] = field(default_factory=list)
    raws: list[Raw] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.web.sites.service_host(self.label)

    @property
    def origin(self) -> str:
        return self.web.sites.service_origin(self.label)

    def head(
        self, method: str = "GET", target: str = "/", *, token: str | None = "tok", host: str | None = None,
        **headers: str,
    ) -> bytes:  # fmt: skip
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.host}"]
        if token is not None:
            lines.append(f"Cookie: __Host-pg={token}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def connect(self, port: int = 0) -> Raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port, limit=1 << 22)
        self.raws.append(Raw(reader, writer))
        return self.raws[-1]

    async def ask(self, data: bytes, port: int = 0) -> Answer:
        """One request on a connection of its own."""
        raw = await self.connect(port)
        try:
            return await raw.ask(data)
        finally:
            raw.close()


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes

    def values(self, name: str) -> list[str]:
        prefix = name.lower().encode() + b":"
        lines = self.head.split(b"\r\n")[1:]
        return [line[len(prefix) :].strip().decode("latin-1") for line in lines if line.lower().startswith(prefix)]

    def value(self, name: str) -> str | None:
        found = self.values(name)
        return found[0] if found else None


class Raw:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, data: bytes) -> Answer:
        self.send(data)
        return await self.read(data.split(b" ", 1)[0])

    async def read(self, method: bytes = b"GET") -> Answer:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            answer = Answer(status, head, b"")
            if method == b"HEAD" or status in (101, 204, 304):
                return answer
            length = answer.value("content-length")
            if length is not None:
                answer.body = await self.reader.readexactly(int(length))
            elif answer.value("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline(), 16):
                    answer.body += await self.reader.readexactly(size)
                    await self.reader.readline()
                await self.reader.readline()
            elif status >= 200:
                answer.body = await self.reader.read()
            return answer

    async def end(self) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.transport.abort()

    async def closed(self) -> None:
        self.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def until(check: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for something that another task brings about."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  what is waited for has no event, and the tests look from outside
            await asyncio.sleep(0.01)


async def portal(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await PlainTextResponse(f"portal {scope['method']} {scope['path']} {len(body)}")(scope, receive, send)


def _bound() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener


@asynccontextmanager
async def running(
    device: Device | None = None, *, sites: Sites | None = None, settings: dict[str, Any] | None = None,
    session: dict[str, Any] | None = None, ports: int = 0, opener: Opener | None = None,
) -> AsyncIterator[Front]:  # fmt: skip
    """A front; with `ports` so many more listeners, which are the origins of services. `opener` makes real circuits."""
    sockets = sorted((_bound() for _ in range(1 + ports)), key=lambda one: int(one.getsockname()[1]))
    numbers = [int(one.getsockname()[1]) for one in sockets]
    if ports and sites is None:
        sites = Sites(port=numbers[0], ports=KnownPorts(PortRange(numbers[1], numbers[-1])))
    device = device or Device()
    await device.start()
    access, clock = AccessStub(), FakeClock()
    circuits: list[FakeCircuit] = []
    targets: dict[str, Any] = {"svc1": ("127.0.0.1", device.port)}

    async def fake(**_: Any) -> FakeCircuit:
        await asyncio.sleep(0)
        circuits.append(FakeCircuit(targets))
        return circuits[-1]

    web = Web(
        WebproxySettings(**(settings or {})), access, None, sites=sites or Sites(), clock=clock, opener=opener or fake,  # type: ignore[arg-type]
    )  # fmt: skip
    config = uvicorn.Config(portal, http=FrontProtocol, ws="none", log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(
            lambda: FrontProtocol(config=config, server_state=state, app_state={"web": web}), sock=one
        )
        for one in sockets
    ]
    await web.start()
    front = Front(web, access, device, numbers[0], targets, circuits, clock, service_ports=numbers[1:])
    front.fronts = state.connections
    front.label = access.add_session("tok", **(session or {}))
    try:
        yield front
    finally:
        for server in servers:
            server.close()
        for raw in front.raws:
            await raw.closed()
        for connection in list(state.connections):
            connection.transport.abort()
        await web.stop()
        await device.stop()
        await asyncio.sleep(0)
