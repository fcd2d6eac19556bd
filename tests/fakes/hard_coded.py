"""An HMI that was written for one plant: its address is in its page, its scripts, its data and its messages.

Three servers on one address: the page, the live values' WebSocket, and a trend page that the first links to. The
WebSocket wants the page's address as its Origin. `python -m tests.fakes.hard_coded HOST PAGE SOCKET TREND` runs it.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from panelgate.wsframes import Opcode, StreamUnmasker, WebSocketError, frame

STEP_SECONDS = 0.2  # between two values

_PAGE = """<!doctype html><title>Mixer</title><link rel=icon href=data:,>
<p id=value>no value</p><p id=heard>nothing</p><p id=error></p>
<a id=trend href="http://{host}:{trend}/trend">Trend</a>
<script src="http://{host}:{page}/hmi.js"></script>
"""
_SCRIPT = """
addEventListener("error", (event) => {{ document.getElementById("error").textContent = event.message; }});
fetch("http://{host}:{page}/api/config").then((answer) => answer.json()).then((config) => {{
  const socket = new WebSocket(config.socket);
  socket.onopen = () => socket.send(JSON.stringify({{here: location.href}}));
  socket.onmessage = (message) => {{
    const news = JSON.parse(message.data);
    document.getElementById("value").textContent = news.value;
    document.getElementById("heard").textContent = news.heard;
    if (news.home + "/" !== location.href) document.getElementById("error").textContent = "home is " + news.home;
  }};
}}).catch((error) => {{ document.getElementById("error").textContent = String(error); }});
"""


@dataclass
class HardCoded:
    """The three servers' address and ports; `seen` are the heads of the requests, by port."""

    host: str
    page: int = 0
    socket: int = 0
    trend: int = 0
    seen: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    async def start(self) -> None:
        for name, handler in (("page", self._page), ("socket", self._socket), ("trend", self._trend)):
            made = await asyncio.start_server(self._reading(handler), self.host, getattr(self, name))
            setattr(self, name, made.sockets[0].getsockname()[1])
            self._servers.append(made)

    def __post_init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reading(
        self, handler: Callable[[str, dict[str, str], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                while True:
                    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                    head = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                    self.seen.append((writer.get_extra_info("sockname")[1], head))
                    await handler(lines[0].split()[1], head, reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, WebSocketError, asyncio.CancelledError):
                pass
            finally:
                self._tasks.discard(task)
                writer.close()

        return serve

    def _text(self, template: str) -> bytes:
        return template.format(host=self.host, page=self.page, socket=self.socket, trend=self.trend).encode()

    async def _page(
        self, path: str, head: dict[str, str], _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # JSON as some old serialisers write it; the page compressed, the script in chunks.
        config = json.dumps({"socket": f"ws://{self.host}:{self.socket}/live"}).replace("/", "\\/").encode()
        if path == "/api/config":
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(config)
            )
            writer.write(config)
        elif path == "/hmi.js":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nTransfer-Encoding: chunked\r\n\r\n")
            script = self._text(_SCRIPT)
            for at in range(0, len(script), 7):
                piece = script[at : at + 7]
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            writer.write(b"0\r\n\r\n")
        elif path == "/":
            body, coding = self._text(_PAGE), b""
            if "gzip" in head.get("accept-encoding", ""):
                body, coding = gzip.compress(body), b"Content-Encoding: gzip\r\n"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n%bContent-Length: %d\r\n\r\n" % (coding, len(body))
            )
            writer.write(body)
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def _trend(  # and what a browser sees that looks at the socket's port
        self, path: str, head: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del path, head, reader
        body = b"<!doctype html><title>Trend</title><link rel=icon href=data:,><h1>Trend of the mixer</h1>"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    async def _socket(
        self, path: str, head: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if "upgrade" not in head:
            await self._trend(path, head, reader, writer)
            return
        home = f"http://{self.host}:{self.page}"
        if head.get("origin") != home or head.get("host") != f"{self.host}:{self.socket}":
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        accept = hashlib.sha1(head["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(accept)
        )
        frames, heard, value = StreamUnmasker(client=False, messages=65536), "nothing", 0
        while True:
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    data = await reader.read(65536)
                if not data:
                    return
                for item in frames.feed(data):
                    if item.opcode == Opcode.CLOSE:
                        return
                    if item.opcode == Opcode.TEXT:
                        # Only who opened it by its own address is known here.
                        heard = "known" if json.loads(item.payload)["here"] == home + "/" else "unknown"
            except TimeoutError:
                value += 1
            news = json.dumps({"value": value, "heard": heard, "home": home})
            writer.write(frame(Opcode.TEXT, news.encode(), client=False))
            await writer.drain()


async def main(host: str, *ports: str) -> None:
    page, socket, trend = map(int, ports)
    await HardCoded(host, page, socket, trend).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
