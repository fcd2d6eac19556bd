"""A panel's second load, with nginx as the panel, through web proxy, relay and agent: it costs the line only heads."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.front import Answer, Front, running, until
from tests.fakes.plant import Plant, plant
from tests.fakes.web_servers import WebServer, nginx

SCRIPT = b"".join(b"const value%d = read(%d);\n" % (number, number * 7919) for number in range(8000))
FILES = {
    "index.html": b"<!doctype html><title>Mixer</title><script src=app.js></script>",
    "app.js": SCRIPT,
    "app.css": SCRIPT[:20_000],
    "logo.png": os.urandom(50_000),
    "fresh/font.woff": os.urandom(30_000),
    "secret/report.js": SCRIPT[:5000],
}
PAGE = ("index.html", "app.js", "app.css", "logo.png")
MORE = """
  location /fresh/ { expires 1h; }
  location /secret/ { add_header Cache-Control no-store; }
  location = /live { return 200 $request_id; }
"""
HEAD_LIMIT = 500  # bytes of one of nginx's 304s
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@dataclass
class Site:
    tunnel: Plant
    front: Front
    panel: WebServer
    read: int = 0

    async def get(self, name: str, *, token: str = "tok", **headers: str) -> Answer:
        return await self.front.ask(self.front.head(target=f"/{name}", token=token, **(headers or GZIP)))

    async def load(self, *, token: str = "tok", **headers: str) -> list[int]:
        """A browser that has nothing of the page loads it: what the panel answered to whom it asked."""
        for name in PAGE:
            answer = await self.get(name, token=token, **headers)
            assert answer.status == 200
            assert plain(answer) == FILES[name]
        return await self.statuses(len(PAGE))

    async def statuses(self, number: int) -> list[int]:
        """What the panel answered since the last time, `number` times."""
        await until(lambda: len(self.panel.seen) >= self.read + number)
        new = self.panel.seen[self.read :]
        self.read += len(new)
        assert len(new) == number, new
        return [one.status for one in new]

    async def down(self) -> int:
        """Bytes that have come through the tunnel."""
        await self.front.web.connections.flush()
        return sum(report["bytes_down"] for report in self.front.access.reports.values())


def plain(answer: Answer) -> bytes:
    """The body as a browser has it."""
    coding = answer.value("content-encoding")
    assert coding in (None, "gzip")
    return gzip.decompress(answer.body) if coding else answer.body


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with plant(tmp_path / "plant") as tunnel:

        async def opener(**_: Any) -> Any:
            return await tunnel.circuit(tunnel.ticket(services=("hmi",)))

        with nginx(tmp_path / "nginx", Plant.HOST, FILES, MORE) as panel:
            tunnel.device.services.append(tunnel.row("hmi", Plant.HOST, panel.port))
            session = {"service_id": "hmi", "host": Plant.HOST, "port": panel.port}
            async with running(session=session, opener=opener) as front:
                # The panel's clock is right; one that is behind makes everything look old, and is asked each time.
                front.clock.advance(time.time() - front.clock.now())
                front.access.add_session("two", session_id="s2", user="u2", **session)  # type: ignore[arg-type]
                yield Site(tunnel, front, panel)


async def test_the_second_load_costs_the_panel_no_file_and_the_line_only_heads(site: Site) -> None:
    assert await site.load() == [200] * 4
    first = await site.down()
    # Scripts and styles came compressed by the agent, and are kept so.
    assert 50_000 < first < 50_000 + len(SCRIPT) / 2
    assert site.front.web.caches.size < first + 20_000
    assert await site.load() == [304] * 4
    assert await site.down() - first < 4 * HEAD_LIMIT
    assert all(one.size == 0 for one in site.panel.seen[4:])


async def test_what_the_panel_calls_fresh_is_not_asked_for_until_somebody_reloads(site: Site) -> None:
    for _ in range(3):
        assert (await site.get("fresh/font.woff")).body == FILES["fresh/font.woff"]
    assert await site.statuses(1) == [200]
    assert (await site.get("fresh/font.woff", Cache_Control="no-cache", **GZIP)).body == FILES["fresh/font.woff"]
    assert (await site.get("fresh/font.woff", Cache_Control="no-store", **GZIP)).body == FILES["fresh/font.woff"]
    assert await site.statuses(2) == [304, 200]


async def test_live_values_and_what_must_not_be_stored_are_never_kept(site: Site) -> None:
    values = {(await site.get("live")).body for _ in range(3)}
    assert len(values) == 3
    for _ in range(2):
        assert plain(await site.get("secret/report.js")) == FILES["secret/report.js"]
    assert await site.statuses(5) == [200] * 5
    assert site.front.web.caches.size == 0


async def test_nobody_gets_what_another_user_loaded(site: Site) -> None:
    assert await site.load() == [200] * 4
    await site.get("fresh/font.woff")
    assert await site.statuses(1) == [200]
    assert await site.load(token="two") == [200] * 4
    await site.get("fresh/font.woff", token="two")
    assert await site.statuses(1) == [200]
    assert await site.load() == [304] * 4


async def test_a_browser_that_takes_no_gzip_gets_none_of_what_is_kept(site: Site) -> None:
    assert (await site.get("app.js")).value("content-encoding") == "gzip"
    for statuses in ([200, 200], [304, 304]):
        for name in ("app.js", "app.css"):
            answer = await site.get(name, Accept="*/*")
            assert (answer.value("content-encoding"), answer.body) == (None, FILES[name])
        await until(lambda: site.panel.seen)
        site.read = max(site.read, 1)
        assert await site.statuses(2) == statuses
    assert (await site.get("app.js")).value("content-encoding") == "gzip"
    assert await site.statuses(1) == [304]


@pytest.mark.parametrize("what", ["permission removed", "options changed", "address changed"])
async def test_what_is_kept_goes_when_what_it_was_kept_under_changes(site: Site, what: str) -> None:
    assert await site.load() == [200] * 4
    await site.get("fresh/font.woff")
    assert await site.statuses(1) == [200]
    access, key = site.front.access, ("tok", site.front.label)
    session = access.sessions[key]
    if what == "permission removed":
        del access.sessions[key]
    elif what == "options changed":
        access.sessions[key] = session | {"service": session["service"] | {"options": {"forwarded": True}}}
    else:
        access.sessions[key] = session | {"service": session["service"] | {"host": "127.0.99.11"}}
    access.push({"type": "access.changed", "account_id": "id-acme"})
    await until(lambda: site.front.web.caches.size == 0)
    token = "tok"
    if what == "permission removed":
        assert (await site.get("fresh/font.woff")).status == 401
        token = "again"  # it is given back, and the same user signs in anew
        access.sessions[token, key[1]] = session
    assert (await site.get("fresh/font.woff", token=token)).status == 200
    assert await site.statuses(1) == [200]
    assert await site.load(token=token) == [200] * 4


async def test_a_changed_file_is_seen_at_once(site: Site) -> None:
    assert await site.load() == [200] * 4
    new = SCRIPT[::-1]
    (site.panel.directory / "files" / "app.js").write_bytes(new)
    os.utime(site.panel.directory / "files" / "app.js", (1_800_000_000, 1_800_000_000))
    assert plain(await site.get("app.js")) == new
    assert await site.statuses(1) == [200]
    assert plain(await site.get("app.js")) == new
    assert await site.statuses(1) == [304]


async def test_many_at_once(site: Site) -> None:
    """As a page asks: all its files side by side, by several connections."""
    for statuses in ([200] * 4, [304] * 4):
        answers = await asyncio.gather(*(site.get(name) for name in PAGE))
        assert [plain(answer) for answer in answers] == [FILES[name] for name in PAGE]
        assert await site.statuses(4) == statuses
