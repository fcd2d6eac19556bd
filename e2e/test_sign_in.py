"""A panel that wants a password: with the stored one its page simply works, and no browser ever asks or learns it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from tests.fakes.web_servers import WebServer, lighttpd, nginx

ADDRESS = "127.0.85.10"
USER, RIGHT, WRONG = "waerter", "Right-pa55word-of-the-panel", "Wr0ng-pa55word-of-the-panel"
FILES = {
    "index.html": b"<!doctype html><title>Press 4</title><link rel=icon href=data:,><link rel=stylesheet href=a.css>"
    b"<h1>Press 4</h1><p id=value>none</p><script src=a.js></script>",
    "a.js": b"fetch('value.js').then((answer) => answer.text()).then((text) => {"
    b" document.getElementById('value').textContent = text; });",
    "value.js": b"Pressure 7 bar",
    "a.css": b"h1 { color: rgb(1, 2, 3) }",
}
MAKERS: dict[str, Callable[[Path], WebServer]] = {
    "basic": lambda directory: nginx(directory, ADDRESS, FILES, user=USER, password=RIGHT),
    "digest": lambda directory: lighttpd(directory, ADDRESS, FILES, user=USER, password=RIGHT),
}


class Site:
    """The installation, and its panels' services by their scheme."""

    def __init__(self, installation: Installation, ada: Administrator) -> None:
        self.installation = installation
        self.ada = ada
        self.services: dict[str, str] = {}

    def store(self, scheme: str, password: str) -> None:
        self.ada.call("PATCH", f"/admin/v1/services/{self.services[scheme]}", {"password": password})

    @property
    def log(self) -> str:
        """What all processes of the installation, and its agent, have said."""
        files = [file for file in self.installation.directory.rglob("*.log") if file.is_file()]
        assert files
        return "".join(file.read_text(errors="replace") for file in files)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("signing-in")
    installation = Installation(directory / "installation", demo=False)
    stops: list[Callable[[], None]] = [installation.stop]
    try:
        installation.start()
        ada = Administrator.set_up(installation)
        made = Site(installation, ada)
        device = ada.device("press", lan="127.0.85.0/24")
        for scheme, make in MAKERS.items():
            panel = make(directory / scheme)
            stops.append(panel.stop)
            options = {"auth": scheme, "user": USER}
            service = ada.service(device["id"], scheme, ADDRESS, panel.port, options=options, password=WRONG)
            made.services[scheme] = service["id"]
        stops.append(Agent(installation, "press", ada.key(device["id"]), allow=[ADDRESS]).stop)
        ada.wait_online("press")
        yield made
    finally:
        for stop in reversed(stops):
            stop()


class Heard:
    """What a browser was answered: statuses, and the heads both ways."""

    def __init__(self, page: Page) -> None:
        self.text = ""
        self.statuses: list[int] = []
        page.on("response", self._add)

    def _add(self, answer: Response) -> None:
        self.statuses.append(answer.status)
        self.text += repr(answer.all_headers()) + repr(answer.request.all_headers())


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    made = signed_in(browser, site.ada.token)
    yield made
    made.close()


@pytest.mark.parametrize("scheme", list(MAKERS))
def test_a_panel_with_a_password(context: BrowserContext, site: Site, scheme: str) -> None:
    portal, origin = site.installation.portal, site.installation.service_origin(f"{scheme}--press--acme")
    page = context.new_page()
    heard = Heard(page)
    page.goto(f"{portal}/acme/press/{scheme}")
    expect(page.get_by_role("heading", name="The stored user name or password was refused")).to_be_visible()
    shot(page, f"sign-in-refused-{scheme}")
    seen = page.content()
    assert 502 in heard.statuses

    site.store(scheme, RIGHT)
    page.goto(f"{origin}/")
    expect(page.get_by_role("heading", name="Press 4")).to_be_visible()
    expect(page.locator("#value")).to_have_text("Pressure 7 bar")
    assert page.locator("h1").evaluate("(it) => getComputedStyle(it).color") == "rgb(1, 2, 3)"
    page.reload()
    expect(page.locator("#value")).to_have_text("Pressure 7 bar")
    seen += page.content()

    # Who manages the machine sees that one is stored, and not which; so does the history.
    for path in (
        "/machines/press",
        f"/machines/press/services/{site.services[scheme]}",
        "/activity/history?action=service",
    ):
        page.goto(portal + path)
        expect(page.get_by_role("heading").first).to_be_visible()
        seen += page.content() + repr(page.locator("input").evaluate_all("(all) => all.map((it) => it.value)"))
    assert not {401, 404} & set(heard.statuses)
    for text in (heard.text, seen, site.log):
        assert not re.search("www-authenticate", text, re.IGNORECASE)
        assert RIGHT not in text
        assert WRONG not in text
    assert "sign-in at the device refused" in site.log
