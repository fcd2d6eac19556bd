"""Bookmarks as M2Web has them: addresses on a machine's LAN, under each firewall level, in a real browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation

ADDRESS = "127.0.87.10"  # the machine's panels; the owner of the agent's computer allows just this one
FORBIDDEN = "127.0.87.11"  # in the declared LAN, and not allowed by that owner


class Echo:
    """A panel whose page says what was asked for; `asked` are the targets of its requests."""

    def __init__(self, host: str) -> None:
        self.asked: list[str] = []
        echo = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                echo.asked.append(self.path)
                said = json.dumps(self.path).replace("<", "\\u003c")
                page = f"<!doctype html><title>Old panel</title><h1>Old panel</h1><code>{said}</code>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Site:
    """An installation with one machine, its listed panel and two that nobody listed."""

    def __init__(self, directory: Path) -> None:
        self.installation = Installation(directory, demo=False)
        self.panels = [Echo(ADDRESS), Echo(ADDRESS), Echo(ADDRESS), Echo(FORBIDDEN)]
        self.listed, self.other, self.third, self.forbidden = self.panels

    def start(self) -> None:
        self.installation.start()
        self.api = Administrator.set_up(self.installation)
        body = {"slug": "press", "name": "Press 4 Hall+B", "site": "", "description": "", "lan": ["127.0.87.0/24"]}
        self.device = self.api.call("POST", "/admin/v1/devices", body)["device"]["id"]
        self.api.service(self.device, "hmi", ADDRESS, self.listed.port)
        self.agent = Agent(self.installation, "press", self.api.key(self.device), allow=[ADDRESS])
        self.api.wait_online("press")

    def at_level(self, level: str) -> None:
        self.api.call("PATCH", f"/admin/v1/devices/{self.device}", {"level": level})

    def link(self, host: str, port: int, rest: str = "/", device: str = "press") -> str:
        return f"{self.installation.portal}/acme/{device}/proxy/{host}:{port}{rest}"

    def origin(self, host: str, port: int) -> str:
        return self.installation.service_origin(f"ip-{host.replace('.', '-')}-{port}--press--acme")

    def stop(self) -> None:
        if hasattr(self, "agent"):
            self.agent.stop()
        self.installation.stop()
        for panel in self.panels:
            panel.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("m2web"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = signed_in(browser, site.api.token)
    yield context.new_page()
    context.close()


def test_under_enforced_only_listed_panels_open(page: Page, site: Site) -> None:
    site.at_level("enforced")
    page.goto(site.link(ADDRESS, site.listed.port, "/x"))
    page.wait_for_url(f"{site.installation.service_origin('hmi--press--acme')}/x")
    answer = page.goto(site.link(ADDRESS, site.other.port, "/start?a=1"))
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name=f"No panel is listed at {ADDRESS}:{site.other.port}")).to_be_visible()
    shot(page, "m2web-missing")
    page.get_by_role("link", name="Add it as a panel").click()
    expect(page.get_by_label("Address at the machine", exact=True)).to_have_value(ADDRESS)
    expect(page.get_by_label("Port", exact=True)).to_have_value(str(site.other.port))
    assert site.other.asked == []


def test_under_standard_a_bookmark_opens_at_the_first_click(page: Page, site: Site) -> None:
    """Three in a row: each makes a service that neither circuit nor agent has heard of."""
    site.at_level("standard")
    rest = "/rcgi.bin//Form;v=1/a%2Fb+c%20d?AST_Param=$dtIV$ftT&x=1+2&y=%26;z"
    for panel in (site.other, site.third):
        page.goto(site.link(ADDRESS, panel.port, rest, "Press%204%20Hall%2BB"))
        page.wait_for_url(f"{site.origin(ADDRESS, panel.port)}/**")
        expect(page.get_by_role("heading", name="Old panel")).to_be_visible()
        assert rest in panel.asked
    page.goto(site.link(ADDRESS, site.other.port, "//evil.example/x", "PRESS+4+Hall%2BB"))
    page.wait_for_url(f"{site.origin(ADDRESS, site.other.port)}/evil.example/x")
    page.goto(f"{site.installation.portal}/machines/press")
    expect(page.get_by_role("heading", name="Opened by links")).to_be_visible()
    shot(page, "m2web-opened")
    page.get_by_role("button", name=f"Remove {ADDRESS}:{site.third.port}").click()
    page.get_by_role("button", name=f"Keep {ADDRESS}:{site.other.port} as a panel").click()
    expect(page.get_by_text("The address is a panel now")).to_be_visible()
    site.at_level("enforced")
    page.goto(site.link(ADDRESS, site.other.port, "/kept"))
    page.wait_for_url(f"{site.origin(ADDRESS, site.other.port)}/kept")
    answer = page.goto(site.link(ADDRESS, site.third.port))
    assert answer is not None
    assert answer.status == 404


def test_a_link_on_another_site_makes_nothing_unasked(page: Page, site: Site) -> None:
    site.at_level("standard")
    before = len(site.third.asked)
    link = site.link(ADDRESS, site.third.port, "/set?speed=9")
    # The page of a panel is another site for the portal: what a hostile one does.
    page.goto(site.link(ADDRESS, site.listed.port, "/"))
    page.wait_for_url("**hmi--press--acme**")
    page.evaluate("address => { location.href = address }", link + "#end")
    expect(page.get_by_role("heading", name=f"Open {ADDRESS}:{site.third.port}?")).to_be_visible()
    shot(page, "m2web-confirm")
    services = site.api.call("GET", "/webproxy/v1/devices/press")["services"]
    assert site.third.port not in {row["port"] for row in services}
    assert len(site.third.asked) == before
    page.get_by_role("button", name="Open").click()
    page.wait_for_url(f"{site.origin(ADDRESS, site.third.port)}/set?speed=9#end")
    expect(page.get_by_role("heading", name="Old panel")).to_be_visible()


def test_what_the_owner_of_the_agents_computer_forbids_stays_forbidden(page: Page, site: Site) -> None:
    site.at_level("standard")
    page.goto(site.link(FORBIDDEN, site.forbidden.port))
    page.wait_for_url(f"{site.origin(FORBIDDEN, site.forbidden.port)}/**")
    expect(page.get_by_role("heading", name="Old panel")).not_to_be_visible()
    expect(page.locator("main h1")).to_be_visible()
    shot(page, "m2web-forbidden")
    assert site.forbidden.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "[::1]", "0x7f.1", "2130706433", "0177.0.0.1",
        "127.0.87.0", "127.0.87.255", "[fe80::1%25eth0]", "localhost",
    ],
)  # fmt: skip
def test_no_level_opens_what_leads_elsewhere(page: Page, site: Site, address: str) -> None:
    site.at_level("standard")
    answer = page.goto(f"{site.installation.portal}/acme/press/proxy/{address}:{site.installation.access_port}/")
    assert answer is not None
    assert answer.status == 404
    assert not [row for row in audit(site, "service.adhoc") if row["facts"]["host"] in address]


def audit(site: Site, action: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = site.api.call("GET", "/admin/v1/audit", params={"action": action})["rows"]
    return rows
