"""Services at ports of one host, in Chromium: what an installation without wildcard names shows and keeps apart."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import PANELGATE, Agent, Installation
from e2e.harness.processes import Process, free_port, listening, wait_until
from e2e.harness.servers import Panel

PORTS = "21000-21019"
HMI, PANEL, ONE, TWO = "127.0.83.10", "127.0.83.11", "127.0.83.12", "127.0.83.13"
PORTAL_COOKIE = "__Host-Http-pgs"


class Small:
    """A device whose pages set `session`, by header and by script, and that remembers what it was asked."""

    def __init__(self, host: str, name: str) -> None:
        small = self
        self.asked: list[tuple[str, str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                if self.path != "/favicon.ico":  # comes when the browser likes
                    small.asked.append((self.command, self.path, self.headers.get("Cookie", "")))
                body = f"<!doctype html><title>{name}</title><h1>Device {name}</h1>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Set-Cookie", f"session={name}; Path=/; HttpOnly")
                self.send_header("Set-Cookie", f"seen={name}; Path=/")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  the base class's names

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer((host, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Site:
    """The installation and its machine."""

    installation: Installation
    api: Administrator
    one: Small
    two: Small
    ports: dict[str, int] = field(default_factory=dict)

    def origin(self, slug: str) -> str:
        return f"http://portal.localhost:{self.ports[slug]}"

    def link(self, slug: str) -> str:
        return f"{self.installation.portal}/acme/line/{slug}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("ports")
    installation = Installation(directory / "installation", demo=False, origins="ports", origin_ports=PORTS)
    hmi_port = free_port(HMI)
    closing: list[Any] = []
    try:
        installation.start()
        hmi = Process("hmi", [PANELGATE, "demo", "hmi", "--host", HMI, "--port", str(hmi_port)], directory / "hmi.log")
        closing.append(hmi.stop)
        panel = Panel(directory / "panel", port=free_port(PANEL), host=PANEL)
        closing.append(panel.close)
        one, two = Small(ONE, "one"), Small(TWO, "two")
        closing += [one.close, two.close]
        api = Administrator.set_up(installation)
        device = api.device("line", lan="127.0.83.0/24")["id"]
        made = [
            api.service(device, "hmi", HMI, hmi_port),
            api.service(device, "panel", PANEL, panel.port, "vnc", password="plc12345"),
            api.service(device, "one", ONE, one.port),
            api.service(device, "two", TWO, two.port),
        ]
        agent = Agent(installation, "line", api.key(device), allow=[HMI, PANEL, ONE, TWO])
        closing.append(agent.stop)
        api.wait_online("line")
        hmi.wait_for("the HMI listens", lambda: listening(hmi_port, HMI))
        yield Site(installation, api, one, two, {row["slug"]: row["public_port"] for row in made})
    finally:
        for close in reversed(closing):
            close()
        installation.stop()


@pytest.fixture
def context(site: Site, browser: Browser) -> Iterator[BrowserContext]:
    made = signed_in(browser, site.api.token, PORTAL_COOKIE)
    yield made
    made.close()


def cookies(context: BrowserContext) -> dict[str, Any]:
    return {str(cookie["name"]): cookie for cookie in context.cookies()}


def test_every_service_has_a_port_of_its_own(site: Site) -> None:
    assert sorted(site.ports.values()) == [21000, 21001, 21002, 21003]


def test_the_demonstration_hmi_is_operated_through_its_port(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(site.link("hmi"))
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("1234")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.origin('hmi')}/panel")
    clock = page.locator("#time")
    expect(clock).not_to_have_text(clock.inner_text(), timeout=5_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#speed")).to_have_text(re.compile(r"^0(\.0)?$"), timeout=15_000)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#messages li").first).to_be_visible()
    shot(page, "port-mode-hmi")
    assert errors == []


def test_the_viewer_connects(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(site.link("panel"))
    expect(page.locator("body")).to_have_attribute("data-state", "connected")
    assert page.url.startswith(f"{site.origin('panel')}/")
    shot(page, "port-mode-viewer")


def test_cookies_of_two_services_stay_apart(site: Site, context: BrowserContext) -> None:
    pages = {}
    for slug in ("one", "two"):
        pages[slug] = context.new_page()
        pages[slug].goto(site.link(slug))
        expect(pages[slug].get_by_role("heading", name=f"Device {slug}")).to_be_visible()
    for slug, small in (("one", site.one), ("two", site.two)):
        pages[slug].evaluate("document.cookie = 'mine=1; Path=/'")
        pages[slug].goto(f"{site.origin(slug)}/again")
        assert small.asked[-1] == ("GET", "/again", f"session={slug}; seen={slug}")
        # Scripts see what scripts set; what devices set they neither see nor change.
        assert pages[slug].evaluate("document.cookie") == "mine=1"
    kept = [name for name in cookies(context) if name.endswith("~session")]
    assert len(kept) == 2


def test_a_page_can_plant_no_cookie_of_ours(site: Site, context: BrowserContext) -> None:
    """Ports share the host's cookies: only the prefix keeps the scripts of one from setting those of another."""
    context.new_page().goto(site.link("two"))
    page = context.new_page()
    page.goto(site.link("one"))
    stolen = [name for name in cookies(context) if "~" in name]
    assert len(stolen) == 4
    before = {name: cookie["value"] for name, cookie in cookies(context).items()}
    for name in (f"__Host-Http-pg-{site.ports['two']}", PORTAL_COOKIE, "__Host-Http-pgd-x", "__host-http-pgs", *stolen):
        page.evaluate("name => { document.cookie = `${name}=evil; Secure; Path=/` }", name)
    assert {name: cookie["value"] for name, cookie in cookies(context).items()} == before


ATTEMPTS = """async origin => {
  const tries = {
    post: () => fetch(`${origin}/set`, {method: "POST", body: "v=1", credentials: "include", mode: "no-cors"}),
    get: () => fetch(`${origin}/set?v=1`, {credentials: "include", mode: "no-cors"}),
    read: () => fetch(`${origin}/read`, {credentials: "include"}).then(answer => answer.text()),
    image: () => new Promise(done => {
      const image = new Image(); image.onload = image.onerror = done; image.src = `${origin}/set?image=1`; }),
    socket: () => new Promise(done => {
      const socket = new WebSocket(origin.replace("http", "ws") + "/ws");
      socket.onopen = () => done("open"); socket.onclose = () => done("closed"); }),
    frame: () => new Promise(done => {
      const frame = document.createElement("iframe"); frame.onload = done; frame.src = `${origin}/framed`;
      document.body.append(frame); }),
  };
  const results = {};
  for (const [name, attempt] of Object.entries(tries)) {
    try { results[name] = String(await attempt()); } catch (error) { results[name] = "refused"; }
  }
  return results;
}"""


def test_a_page_reaches_nothing_at_another_port(site: Site, context: BrowserContext) -> None:
    """Both ports are the same site, and the browser sends the session along: Origin and Sec-Fetch-Site decide."""
    context.new_page().goto(site.link("two"))
    page = context.new_page()
    page.goto(site.link("one"))
    known = len(site.two.asked)
    results = page.evaluate(ATTEMPTS, site.origin("two"))
    assert results["socket"] == "closed"
    assert results["read"] == "refused"
    assert site.two.asked[known:] == []
    results = page.evaluate(ATTEMPTS, site.installation.portal)
    assert results["read"] == "refused"


def test_a_port_that_nobody_has_is_nothing(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    answer = page.goto("http://portal.localhost:21019/")
    assert answer is not None
    assert answer.status == 404
    assert page.url.startswith(site.installation.portal)


def test_signing_out_of_one_service_leaves_the_other(site: Site, context: BrowserContext) -> None:
    pages = {slug: context.new_page() for slug in ("one", "two")}
    for slug, page in pages.items():
        page.goto(site.link(slug))
    pages["one"].evaluate("fetch('/.pg/sign-out', {method: 'POST'})")
    wait_until("the cookie is gone", lambda: f"__Host-Http-pg-{site.ports['one']}" not in cookies(context))
    assert f"__Host-Http-pg-{site.ports['two']}" in cookies(context)
    pages["two"].reload()
    expect(pages["two"].get_by_role("heading", name="Device two")).to_be_visible()


def test_a_deep_link_by_way_of_the_sign_in_and_signing_out_of_it_all(
    site: Site, contexts: Callable[..., BrowserContext]
) -> None:
    context = contexts()
    page: Page = context.new_page()
    page.goto(f"{site.link('one')}/deep?from=mail#top")
    site.api.person.sign_in(page)
    page.wait_for_url(f"{site.origin('one')}/deep?from=mail**")
    expect(page.get_by_role("heading", name="Device one")).to_be_visible()
    portal = context.new_page()
    portal.goto(f"{site.installation.portal}/machines")
    portal.get_by_label("User menu").click()
    portal.get_by_role("button", name="Sign out").click()
    expect(portal.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{site.origin('one')}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
