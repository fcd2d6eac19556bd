"""A service origin for viewer tests: the real page and the real bridge, over a circuit that is a plain TCP connection.

`VncSite` answers `/` (page), `/.pg/static/...`, `/.pg/status` and `/.pg/vnc`. What the other roles would decide is in
`FakeWeb`: set its attributes to make the device offline, end the session, or change the permission.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from panelgate.errors import PanelgateError
from panelgate.frames import StreamError
from panelgate.log import Secret
from panelgate.names import Sites
from panelgate.stream import StreamReset
from panelgate.upgrade import make_accept
from webproxy import viewer
from webproxy.forward.visit import Visits
from webproxy.forward.vnc import VncBridge
from webproxy.pages import assets
from webproxy.sessions import ServiceSession

NODE_MODULES = Path(assets.__file__).resolve().parents[2] / "static" / "node_modules"


def make_session(port: int, permission: str = "operate") -> ServiceSession:
    """A session at a VNC service on loopback."""
    return ServiceSession.of({
        "id": "aa" * 16, "session_id": "5e55" * 8, "permission": permission, "expires": "2099-01-01T00:00:00Z",
        "idle_seconds": 1800, "account": {"id": "ac" * 16, "slug": "acme", "name": "Acme"},
        "user": {"id": "55" * 16, "name": "ada", "display_name": "Ada"},
        "device": {"id": "de" * 16, "slug": "press-7", "name": "Press 7"},
        "service": {
            "id": "5e" * 16, "slug": "panel", "name": "Operator panel", "host": "127.0.0.1", "port": port,
            "protocol": "vnc", "path": "/",
        },
    })  # fmt: skip


class TcpStream(asyncio.Transport):
    """Stands in for a circuit's stream: dials TCP, resets with the codes an agent would send."""

    def __init__(self, host: str, port: int, protocol: asyncio.Protocol) -> None:
        super().__init__({"service": "fake"})
        self._protocol = protocol
        self._tcp: asyncio.Transport | None = None
        self._early = bytearray()
        self._over = False
        self._reading = True
        self.task = asyncio.get_running_loop().create_task(self._dial(host, port))

    async def _dial(self, host: str, port: int) -> None:
        stream, protocol = self, self._protocol

        class Inner(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                tcp = stream._tcp = cast("asyncio.Transport", transport)  # uvloop's are no subclass
                tcp.write(bytes(stream._early))
                if not stream._reading:
                    tcp.pause_reading()

            def data_received(self, data: bytes) -> None:
                protocol.data_received(data)

            def eof_received(self) -> bool:
                return bool(protocol.eof_received())

            def pause_writing(self) -> None:
                protocol.pause_writing()

            def resume_writing(self) -> None:
                protocol.resume_writing()

            def connection_lost(self, exc: Exception | None) -> None:
                stream.lost(StreamReset(StreamError.PEER_RESET) if exc else None)

        try:
            await asyncio.get_running_loop().create_connection(Inner, host, port)
        except ConnectionRefusedError:
            self.lost(StreamReset(StreamError.CONNECTION_REFUSED))
        except OSError:
            self.lost(StreamReset(StreamError.UNREACHABLE))

    def lost(self, exc: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._protocol.connection_lost(exc)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._tcp is None:
            self._early += data
        else:
            self._tcp.write(data)

    def pause_reading(self) -> None:
        self._reading = False
        if self._tcp is not None and not self._tcp.is_closing():
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        self._reading = True
        if self._tcp is not None and not self._tcp.is_closing():
            self._tcp.resume_reading()

    def is_closing(self) -> bool:
        return self._over

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self.task.cancel()
        if self._tcp is not None:
            self._tcp.abort()
        else:
            asyncio.get_running_loop().call_soon(self.lost, None)


class TcpCircuit:
    """Stands in for panelgate.circuit.Circuit."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.rtt = 0.012
        self.closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.streams: list[TcpStream] = []

    @property
    def is_open(self) -> bool:
        return not self.closed.done()

    def open_stream(self, service_id: str, protocol: asyncio.Protocol) -> TcpStream:
        stream = TcpStream(self.host, self.port, protocol)
        protocol.connection_made(stream)
        self.streams.append(stream)
        return stream

    def close(self, code: int = 0, text: str = "") -> None:
        if not self.closed.done():
            self.closed.set_result((code, text))
        for stream in self.streams:
            stream.abort()


@dataclasses.dataclass
class FakeConnection:
    """Stands in for webproxy.connections.Connection."""

    up: int = 0
    down: int = 0
    reason: str = ""

    def add_up(self, count: int) -> None:
        self.up += count

    def add_down(self, count: int) -> None:
        self.down += count

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason


class FakeWeb:
    """Stands in for webproxy.web.Web."""

    def __init__(self, port: int, password: str | None = None, permission: str = "operate") -> None:
        self.session = make_session(port, permission)
        self.password = password
        self.circuit_error: PanelgateError | None = None
        self.session_error: PanelgateError | None = None
        self.opened: list[TcpCircuit] = []
        self.begun: list[FakeConnection] = []
        self.callbacks: list[Callable[[Mapping[str, Any]], None]] = []
        self.circuits = SimpleNamespace(viewer=self._viewer)
        self.connections = SimpleNamespace(begin=self._begin)
        self.events = SimpleNamespace(subscribe=self._subscribe)
        self.sessions = SimpleNamespace(get=self._get)
        self.visits = Visits(Sites(), self.connections)  # type: ignore[arg-type]

    async def _viewer(self, session: ServiceSession, token: str) -> Any:
        await asyncio.sleep(0)
        if self.circuit_error is not None:
            raise self.circuit_error
        circuit = TcpCircuit(session.service["host"], session.service["port"])
        self.opened.append(circuit)
        password = Secret(self.password) if self.password is not None else None
        return SimpleNamespace(circuit=circuit, circuit_id="c1" * 16, password=password)

    async def _begin(self, *_: Any) -> FakeConnection:
        self.begun.append(FakeConnection())
        return self.begun[-1]

    async def _get(self, token: str, label: str) -> ServiceSession:
        await asyncio.sleep(0)
        if self.session_error is not None:
            raise self.session_error
        return self.session

    def _subscribe(self, callback: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def emit(self, event: Mapping[str, Any]) -> None:
        """As the access server's event stream would."""
        for callback in list(self.callbacks):
            callback(event)

    def permit(self, permission: str) -> None:
        """Change the permission as an administrator would."""
        self.session = dataclasses.replace(self.session, permission=permission)
        self.emit({"type": "access.changed", "account_id": self.session.account["id"]})


class _Browser(asyncio.Protocol):
    """Just enough HTTP for a browser or a WebSocket client."""

    def __init__(self, site: VncSite) -> None:
        self.site = site
        self.head = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.site.transports.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.site.transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.head += data
        while b"\r\n\r\n" in self.head:
            head, rest = bytes(self.head).split(b"\r\n\r\n", 1)
            self.head = bytearray(rest)
            line, *lines = head.decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (h.partition(":") for h in lines)}
            target = urlsplit(line.split(" ")[1])
            if target.path == viewer.SOCKET:
                self.upgrade(headers)
                return
            self.answer(target.path, parse_qs(target.query), headers)

    def upgrade(self, headers: dict[str, str]) -> None:
        if self.site.deaf:
            self.transport.close()
            return
        self.transport.write(make_accept(headers["sec-websocket-key"]))
        web = self.site.web
        bridge = VncBridge(web, web.session, "token", {"address": "127.0.0.1", "user_agent": "test"})  # type: ignore[arg-type]
        self.site.bridges.append(bridge)
        bridge.attach(self.transport, bytes(self.head))

    def answer(self, path: str, query: dict[str, list[str]], headers: dict[str, str]) -> None:
        status, fields, body = self.site.file(path, query, headers)
        fields = {**fields, "content-length": str(len(body))}
        lines = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        self.transport.write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode("latin-1") + body)


def _sprite() -> bytes:
    template = (Path(viewer.__file__).parent / "templates" / "viewer.html").read_text()
    symbols = []
    for name in sorted(set(re.findall(r"icon\('([a-z-]+)'", template))):
        svg = (NODE_MODULES / "@tabler/icons/icons/outline" / f"{name}.svg").read_text()
        inner = re.sub(r"(?s)^.*?<svg.*?>(.*)</svg>.*$", r"\1", svg)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'.encode()


class VncSite:
    """The origin: `async with VncSite(web) as site: site.address`."""

    def __init__(self, web: FakeWeb) -> None:
        self.web = web
        self.bridges: list[VncBridge] = []
        self.transports: set[asyncio.Transport] = set()
        self.deaf = False  # answers no WebSocket, as with a lost line or without a session
        self.signed_out = False
        self.portal = "http://portal.localhost"

    async def __aenter__(self) -> VncSite:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: _Browser(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = f"http://panel--press-7--acme.apps.localhost:{self.port}/"
        self.socket = f"ws://127.0.0.1:{self.port}{viewer.SOCKET}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for transport in list(self.transports):
            transport.abort()
        for circuit in self.web.opened:
            circuit.close()
        await asyncio.sleep(0.02)

    def file(
        self, path: str, query: dict[str, list[str]], headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        if path == "/":
            fields, body = viewer.page(self.web.session, self.portal)
            return 200, {k.decode(): v.decode() for k, v in fields}, body
        if path == viewer.STATUS and self.signed_out:
            return 401, {}, b""
        if path == viewer.STATUS:
            offline = self.web.circuit_error is not None and self.web.circuit_error.code == "device_offline"
            status = {"device": {"status": "offline" if offline else "online"}}
            return 200, {"content-type": "application/json"}, json.dumps(status).encode()
        if path.startswith("/.pg/static/"):
            name = path.removeprefix("/.pg/static/")
            status_, fields_, body = assets.answer(
                name, query.get("v", [""])[0], None, headers.get("accept-encoding", "")
            )
            return (status_, fields_, body) if status_ == 200 else self._from_npm(name)
        return 404, {}, b""

    @staticmethod
    def _from_npm(name: str) -> tuple[int, dict[str, str], bytes]:
        """Before the vendor step has run, straight from npm's folder."""
        if name == "vendor/icons.svg":
            return 200, {"content-type": "image/svg+xml"}, _sprite()
        places = {"vendor/novnc/": "@novnc/novnc/", "vendor/tabler/": "@tabler/core/dist/css/"}
        for ours, theirs in places.items():
            file = NODE_MODULES / theirs / name.removeprefix(ours)
            if name.startswith(ours) and file.is_file():
                kind = assets.TYPES.get(file.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
                return 200, {"content-type": kind}, file.read_bytes()
        return 404, {}, b""
