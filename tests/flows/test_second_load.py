"""What a small HMI's second load costs the uplink, through web proxy, relay and agent, with a new browser."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.front import Answer, Device, Front, Raw, running
from tests.fakes.plant import Plant, plant

DATES = ("Last-Modified", "Sat, 31 Jan 2026 12:00:00 GMT")
FILES: dict[str, tuple[str, bytes, tuple[str, str] | None]] = {
    "/": ("text/html", b"<!doctype html>" + b"<p>press</p>" * 400, DATES),
    "/app.js": ("text/javascript", b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(9000)), ("ETag", '"1"')),
    "/style.css": ("text/css", gzip.compress(b".panel { color: green }" * 3000), ("ETag", 'W/"css"')),
    "/logo.png": ("image/png", b"\x89PNG" + bytes(range(256)) * 160, DATES),
    "/values": ("application/json", b'{"pressure": 4.2}', None),
}  # fmt: skip
LIVE = "/values"


class Hmi(Device):
    """A small controller's web server: validators, no freshness; its values are never to be kept."""

    def __init__(self) -> None:
        super().__init__(handler=self.serve)
        self.statuses: list[int] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, Plant.HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await self.head(reader)).decode()
            kind, body, validator = FILES[head.split(" ")[1]]
            lines = [f"Content-Type: {kind}", "Cache-Control: no-store" if validator is None else "Server: hmi"]
            if validator is not None:
                lines.append(": ".join(validator))
            if body[:2] == b"\x1f\x8b":
                lines.append("Content-Encoding: gzip")
            same = validator is not None and f": {validator[1]}\r\n" in head
            self.statuses.append(304 if same else 200)
            start = "HTTP/1.1 304 Not Modified" if same else f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}"
            writer.write("\r\n".join([start, *lines, "", ""]).encode() + (b"" if same else body))


async def load(front: Front, raw: Raw, token: str) -> list[Answer]:
    return [
        await raw.ask(front.head(target=path, token=token, User_Agent="Chromium", Accept_Encoding="gzip"))
        for path in FILES
    ]


def moved(front: Front) -> tuple[int, int]:
    """Bytes that went to and came from the device, as the audit counts them: what crosses the tunnel."""
    connections = [visit.connection for visit in front.web.visits if visit.connection is not None]
    return sum(one.up for one in connections), sum(one.down for one in connections)


def plain(body: bytes) -> bytes:
    """Without gzip, be it the device's or the agent's."""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def lines(answer: Answer) -> list[bytes]:
    """The head without its framing: what is kept has a length, whatever it came with."""
    framing = (b"Content-Length:", b"Transfer-Encoding:")
    return sorted(line for line in answer.head.split(b"\r\n") if not line.startswith(framing))


async def test_a_second_load_costs_only_heads(tmp_path: Path) -> None:
    device = Hmi()
    async with plant(tmp_path) as site:

        async def opener(**_: Any) -> Any:
            return await site.circuit(site.ticket(services=("hmi",)))

        session = {"service_id": "hmi", "host": Plant.HOST}
        async with running(device, session=session, opener=opener) as front:
            site.device.services.append(site.row("hmi", Plant.HOST, device.port))
            front.access.add_session("new", session_id="s2", **session)
            front.access.add_session("other", session_id="s3", user="u2", **session)
            first = await load(front, await front.connect(), "tok")
            up, down = moved(front)
            second = await load(front, await front.connect(), "new")
            up2, down2 = (after - before for after, before in zip(moved(front), (up, down), strict=True))
            assert device.statuses == [200] * 5 + [304] * 4 + [200]
            for one, two, (_, body, _) in zip(first, second, FILES.values(), strict=True):
                assert (one.status, one.body) == (two.status, two.body)
                assert (one.status, plain(one.body)) == (200, plain(body))
                assert lines(one) == lines(two)
            print("bytes up and down: first", up, down, "second", up2, down2)
            assert down > 330_000
            assert down2 < 1_000
            # Another user has never asked for any of it.
            await load(front, await front.connect(), "other")
            assert device.statuses[10:] == [200] * 5
            assert moved(front)[1] - down2 == pytest.approx(2 * down, rel=0.01)
