"""The demonstration HMI as a browser meets it."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from demo import hmi
from panelgate.clock import FakeClock

ORIGIN = "http://127.0.80.10:8081"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(clock: FakeClock) -> Starlette:
    return hmi.create_app(clock, ORIGIN)


@pytest.fixture
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
async def operator(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await browser.post("/login", data={"user": "operator", "password": "1234"})
    assert answer.status_code == 302
    return browser


@pytest.fixture
async def live_address(app: Starlette) -> AsyncIterator[str]:
    """The HMI on a real port, for its WebSocket."""
    server = uvicorn.Server(uvicorn.Config(app, ws="websockets-sansio", log_config=None, lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))  # listens already: a connection waits until the server is up
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/live"
        server.should_exit = True


def session(operator: httpx.AsyncClient) -> dict[str, str]:
    return {"Cookie": f"{hmi.COOKIE}={operator.cookies[hmi.COOKIE]}"}


async def test_redirects_to_its_own_absolute_address(browser: httpx.AsyncClient):
    assert (await browser.get("/")).headers["location"] == f"{ORIGIN}/login"
    assert (await browser.get("/panel")).headers["location"] == f"{ORIGIN}/login"


async def test_signs_in_shows_the_panel_and_signs_out(operator: httpx.AsyncClient):
    assert (await operator.get("/")).headers["location"] == f"{ORIGIN}/panel"
    page = (await operator.get("/panel")).text
    assert "Mixing plant 3" in page
    assert 'src="/assets/hmi.js"' in page
    assert (await operator.get("/logout")).headers["location"] == f"{ORIGIN}/login"
    assert (await operator.get("/panel")).status_code == 302


@pytest.mark.parametrize(("user", "password"), [("operator", "4321"), ("admin", "1234"), ("", "")])
async def test_wrong_password_is_told_and_opens_nothing(browser: httpx.AsyncClient, user: str, password: str):
    answer = await browser.post("/login", data={"user": user, "password": password})
    assert answer.status_code == 401
    assert "wrong" in answer.text
    assert hmi.COOKIE not in answer.cookies


def test_remembers_a_hundred_sessions_at_most(clock: FakeClock):
    desk = hmi.Hmi(clock, ORIGIN)
    tokens = [desk.sign_in("operator", "1234") for _ in range(hmi.MAX_SESSIONS + 1)]
    assert len(desk.sessions) == hmi.MAX_SESSIONS
    assert tokens[0] not in desk.sessions
    assert tokens[-1] in desk.sessions


async def test_buttons_show_in_the_live_values(operator: httpx.AsyncClient, clock: FakeClock, live_address: str):
    async with connect(live_address, origin=ORIGIN, additional_headers=session(operator)) as live:
        assert json.loads(await live.recv())["state"] == "stopped"
        assert (await operator.post("/command", json={"command": "set_target", "value": 80})).json()["target"] == 80.0
        await operator.post("/command", json={"command": "start"})
        clock.advance(5)
        while (values := json.loads(await live.recv()))["state"] == "stopped":
            pass
        assert values["target"] == 80.0
        assert values["speed"] == 180.0
    await operator.post("/command", json={"command": "stop"})
    clock.advance(5)
    assert (await operator.post("/command", json={"command": "stop"})).json()["state"] == "stopped"


@pytest.mark.parametrize("origin", ["http://portal.localhost:8080", "null", None])
async def test_live_values_only_for_its_own_pages(operator: httpx.AsyncClient, live_address: str, origin: str | None):
    with pytest.raises(InvalidStatus):
        await connect(live_address, origin=origin, additional_headers=session(operator))


async def test_live_values_only_for_the_signed_in(live_address: str):
    with pytest.raises(InvalidStatus):
        await connect(live_address, origin=ORIGIN)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"command": "explode"}, 400),
        ({"command": "set_target"}, 400),
        ({"command": "set_target", "value": "warm"}, 400),
        ({"command": "set_target", "value": 300}, 422),
        ([], 400),
    ],
)
async def test_command_it_cannot_follow_is_refused_with_a_sentence(
    operator: httpx.AsyncClient, body: object, status: int
):
    answer = await operator.post("/command", json=body)
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


async def test_nothing_without_signing_in(browser: httpx.AsyncClient):
    assert (await browser.post("/command", json={"command": "start"})).status_code == 401
    assert (await browser.post("/recipe", files={"file": ("a.rcp", b"x")})).status_code == 401
    assert (await browser.get("/events")).status_code == 401
    assert (await browser.get("/report.csv")).status_code == 302
    assert (await browser.get("/archive.csv")).status_code == 302


async def test_report_carries_umlauts_in_its_name(operator: httpx.AsyncClient):
    answer = await operator.get("/report.csv")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Chargenbericht R_hrwerk.csv\"; filename*=UTF-8''Chargenbericht%20R%C3%BChrwerk.csv"
    )
    assert answer.text.splitlines()[0] == "Batch;Recipe;Peak °C;Result"


async def test_archive_is_streamed_without_a_length(operator: httpx.AsyncClient):
    answer = await operator.get("/archive.csv?rows=1201")
    assert "content-length" not in answer.headers
    lines = answer.text.splitlines()
    assert len(lines) == 1202
    assert lines[-1].startswith("1200;")


@pytest.mark.parametrize("rows", ["0", "-1", "many", "1000001"])
async def test_archive_of_an_odd_length_is_refused(operator: httpx.AsyncClient, rows: str):
    assert (await operator.get(f"/archive.csv?rows={rows}")).status_code == 400


async def test_recipe_upload_reaches_the_machine(operator: httpx.AsyncClient):
    content = bytes(range(256)) * 1000
    answer = (await operator.post("/recipe", files={"file": ("Grüner Lack.rcp", content)})).json()
    assert answer == {
        "name": "Grüner Lack.rcp",
        "size": 256_000,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert (await operator.post("/command", json={"command": "stop"})).json()["recipe"] == "Grüner Lack"


async def test_recipe_must_be_a_file_of_sensible_size(operator: httpx.AsyncClient):
    assert (await operator.post("/recipe", data={"file": "text"})).status_code == 400
    big = {"file": ("big", bytes(hmi.MAX_RECIPE + 1))}
    assert (await operator.post("/recipe", files=big)).status_code == 413


async def test_events_send_each_message_once(clock: FakeClock):
    app = hmi.create_app(clock, ORIGIN)
    desk = app.state.hmi
    token = desk.sign_in("operator", "1234")

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/events",
        "headers": [(b"cookie", f"{hmi.COOKIE}={token}".encode())],
        "app": app,
    }
    answer = await hmi.events(Request(scope, receive))
    lines = answer.body_iterator.__aiter__()
    assert '"Control switched on"' in await anext(lines)
    desk.machine.start(clock.monotonic())
    assert '"Started by the operator"' in await anext(lines)
    assert (await anext(lines)).startswith(":")


async def test_asset_and_missing_page(browser: httpx.AsyncClient):
    assert (await browser.get("/assets/hmi.css")).headers["content-type"].startswith("text/css")
    missing = await browser.get("/nothing")
    assert missing.status_code == 404
    assert "No such page" in missing.text
