"""Signing in at a panel with the stored password, at real servers, through web proxy, relay and agent."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from tests.fakes.front import Answer, Front, running
from tests.fakes.plant import Plant, plant
from tests.fakes.web_servers import WebServer, lighttpd, nginx

USER, PASSWORD = "wärter", 'Pa"ß: wort\\9'
FILES = {"index.html": b"<!doctype html><h1>Press 4</h1>", "app.js": b"run();" * 1000, "a b.css": b"p { color: red }"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
Panel = Callable[[Path, str], WebServer]


def basic(directory: Path, password: str) -> WebServer:
    return nginx(directory, Plant.HOST, FILES, user=USER, password=password)


def digest(directory: Path, password: str) -> WebServer:
    return lighttpd(directory, Plant.HOST, FILES, user=USER, password=password)


def digest_sha(directory: Path, password: str) -> WebServer:
    return lighttpd(directory, Plant.HOST, FILES, user=USER, password=password, algorithm="SHA-256")


PANELS: list[Any] = [
    pytest.param("basic", basic, id="Basic"), pytest.param("digest", digest, id="MD5"),
    pytest.param("digest", digest_sha, id="SHA-256"),
]  # fmt: skip


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as found:
        yield found


@asynccontextmanager
async def through(directory: Path, panel: WebServer, auth: str, password: str = PASSWORD) -> AsyncIterator[Front]:
    async with plant(directory / "plant") as tunnel:
        tunnel.device.services.append(tunnel.row("hmi", Plant.HOST, panel.port))

        async def opener(**_: Any) -> Any:
            return await tunnel.circuit(tunnel.ticket(services=("hmi",)))

        session = {"service_id": "hmi", "host": Plant.HOST, "port": panel.port, "options": {"auth": auth}}
        async with running(session=session, opener=opener) as front:
            if auth != "none":
                front.access.credentials = {"hmi": {"user": USER, "password": password}}
            yield front


def silent(answers: list[Answer], logs: list[EventDict], password: str) -> None:
    """No challenge, so no prompt, and the password nowhere: as it is, or as Basic writes it."""
    forms = (password, base64.b64encode(f"{USER}:{password}".encode()).decode())
    for answer in answers:
        assert not answer.values("www-authenticate")
        assert not answer.values("authentication-info")
        assert not any(form.encode() in answer.head + answer.body for form in forms)
    assert logs
    said = [str(value) for event in logs for value in event.values()]
    assert not any(form in text for text in said for form in forms)


@pytest.mark.parametrize(("auth", "make"), PANELS)
async def test_the_page_works_without_a_question(tmp_path: Path, logs: list[EventDict], auth: str, make: Panel) -> None:
    with make(tmp_path / "panel", PASSWORD) as panel:
        async with through(tmp_path, panel, auth) as front:
            names = {"/": "index.html", "/app.js?v=1&w=%2F": "app.js", "/a%20b.css": "a b.css"}
            # Side by side, and a browser that still has a password of its own for the panel.
            own = {"Authorization": "Basic " + base64.b64encode(b"me:mine").decode()}
            asked = [front.ask(front.head(target=name, **more)) for name in names for more in ({}, own)]
            answers = await asyncio.gather(*asked)
            assert [answer.status for answer in answers] == [200] * 6
            assert [answer.body for answer in answers] == [FILES[name] for name in names.values() for _ in range(2)]
            raw = await front.connect()
            answers += [await raw.ask(front.head(target="/app.js", Cache_Control="no-cache")) for _ in range(5)]
            assert answers[-1].body == FILES["app.js"]
            silent(answers, logs, PASSWORD)


@pytest.mark.parametrize(("auth", "make"), PANELS)
async def test_a_wrong_password_is_a_page_of_ours(
    tmp_path: Path, logs: list[EventDict], auth: str, make: Panel
) -> None:
    with make(tmp_path / "panel", PASSWORD) as panel:
        async with through(tmp_path, panel, auth, "Wr0ng: ßecret") as front:
            page = await front.ask(front.head(**PAGE))
            assert page.status == 502
            assert b"The stored user name or password was refused" in page.body
            script = await front.ask(front.head(target="/app.js"))
            assert script.status == 502
            silent([page, script], logs, "Wr0ng: ßecret")
            refused = [event for event in logs if event["event"] == "sign-in at the device refused"]
            assert [event["session_id"] for event in refused] == ["s1"]


@pytest.mark.parametrize(("auth", "make"), PANELS)
async def test_the_panels_really_ask(tmp_path: Path, auth: str, make: Panel) -> None:
    with make(tmp_path / "panel", PASSWORD) as panel:
        async with through(tmp_path, panel, "none") as front:
            answer = await front.ask(front.head())
            assert answer.status == 401
            assert (answer.value("www-authenticate") or "").lower().startswith(auth)
