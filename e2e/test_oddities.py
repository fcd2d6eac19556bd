"""Odd answers of a device's web server in a real Chromium, directly and through Panelgate: the same comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page

from e2e.conftest import new_context
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.oddserver import OddServer
from tests.vectors.oddities import GROUPS, ODDITIES, Oddity

ADDRESS = "127.0.84.30"
PORT = 80  # where Chromium accepts the most: bare text without any head
LABEL = "odd--odd--acme"

# What a page's script sees. Each has ten seconds: nothing here waits on purpose.
ASK = """async ([number, method]) => {
  try {
    const signal = AbortSignal.timeout(10000);
    const answer = await fetch('/' + number, {method, cache: 'no-store', signal});
    const body = String.fromCharCode(...new Uint8Array(await answer.arrayBuffer()));
    return {status: answer.status, body, headers: Object.fromEntries(answer.headers)};
  } catch (error) {
    return {error: String(error)};
  }
}"""
Outcome = tuple[int | None, bytes, dict[str, str]]


@pytest.fixture(scope="module")
def device() -> Iterator[OddServer]:
    server = OddServer(ADDRESS, ODDITIES, PORT)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def direct(browser: Browser, device: OddServer) -> Iterator[Page]:
    context = new_context(browser)
    page = context.new_page()
    page.goto(f"http://{ADDRESS}:{device.port}/")
    yield page
    context.close()


@pytest.fixture(scope="module")
def through(browser: Browser, device: OddServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    directory = tmp_path_factory.mktemp("odd")
    installation = Installation(directory / "installation", demo=False)
    agent = None
    try:
        installation.start()
        api = Administrator.set_up(installation)
        made = api.device("odd", lan="127.0.84.0/24")
        api.service(made["id"], "odd", ADDRESS, device.port)
        agent = Agent(installation, "odd", api.key(made["id"]), allow=[ADDRESS])
        api.wait_online("odd")
        host = f"{LABEL}.apps.localhost"
        cookie: Any = {"name": "__Host-pg", "value": api.service_cookie(LABEL), "domain": host, "path": "/"}
        cookie |= {"expires": -1, "secure": True, "httpOnly": True, "sameSite": "Lax"}
        context = new_context(browser, storage_state={"cookies": [cookie]})
        page = context.new_page()
        page.goto(installation.service_origin(LABEL) + "/")
        assert page.get_by_role("heading", name="Odd answers").is_visible()
        yield page
        context.close()
    finally:
        if agent is not None:
            agent.stop()
        installation.stop()


def fetched(page: Page, oddity: Oddity) -> Outcome:
    """Status, body and x- headers as a script got them; a page of ours that says what is wrong counts as an error."""
    got = page.evaluate(ASK, [ODDITIES.index(oddity), oddity.method])
    if "error" in got:
        assert "Timeout" not in got["error"], oddity.name
        return None, b"", {}
    status, body = got["status"], got["body"].encode("latin-1")
    if status == 502 and got["headers"].get("content-type") == "application/json":
        assert oddity.method == "HEAD" or json.loads(body)["error"]["code"] in ("garbage", "closed"), body
        return None, b"", {}
    headers = {
        name: value for name, value in got["headers"].items() if name.startswith("x-") and name != "x-robots-tag"
    }
    return status, body, headers


@pytest.mark.parametrize("group", GROUPS)
def test_scripts_get_the_same(direct: Page, through: Page, group: str) -> None:
    for oddity in GROUPS[group]:
        assert fetched(direct, oddity) == oddity.direct, f"Chromium itself: {oddity.name}"
        assert fetched(through, oddity) == oddity.through, f"through Panelgate: {oddity.name}"


def shown(context: BrowserContext, origin: str, oddity: Oddity) -> str | None:
    """The text that a person sees; None for an error page, the browser's or ours, or a page that never gets ready."""
    whole = oddity.status is not None
    page = context.new_page()  # one each: the browser's own error page may come late, and would interrupt the next
    try:
        page.goto(f"{origin}/{ODDITIES.index(oddity)}", wait_until="load" if whole else "commit")
        ready, text = page.evaluate("[document.readyState, document.body ? document.body.innerText : '']")
    except Error as error:
        if "Timeout" in str(error):
            raise
        return None
    finally:
        page.close()
    return None if "Reference for support" in text or (not whole and ready == "loading") else str(text)


@pytest.mark.parametrize("group", ["versions", "in front", "length", "chunked", "broken"])
def test_people_see_the_same(direct: Page, through: Page, device: OddServer, group: str) -> None:
    there, here = f"http://{ADDRESS}:{device.port}", through.evaluate("location.origin")
    for oddity in GROUPS[group]:
        if oddity.method == "GET" and oddity.ours is None:
            seen = shown(direct.context, there, oddity)
            assert (seen is None) == (oddity.status is None), oddity.name
            assert shown(through.context, here, oddity) == seen, oddity.name
