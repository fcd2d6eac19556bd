"""Services at paths of one host, in Chromium: the last resort works, and says what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.conftest import shot, signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.installation import PANELGATE, Agent, Installation
from e2e.harness.processes import Process, free_port, listening, wait_until
from e2e.harness.servers import Panel, start_fuxa, start_modbus_simulator, start_node_red
from e2e.test_hmi_servers import CASES, Complaints
from tests.fakes.rooted_hmi import RESULTS, RootedHmi

HMI, PANEL, ONE, TWO, SERVERS = "127.0.0.84", "127.0.0.85", "127.0.0.86", "127.0.0.87", "127.0.0.1"


@dataclass
class Site:
    """The installation and its machine; `servers` are ports of the real ones, at the machine."""

    installation: Installation
    api: Administrator
    one: RootedHmi
    two: RootedHmi
    servers: dict[str, int]

    def base(self, slug: str) -> str:
        return self.installation.service_origin(f"{slug}--line--acme")

    def root(self, slug: str) -> str:
        return f"/{slug}--line--acme"

    def link(self, slug: str) -> str:
        return f"{self.installation.portal}/acme/line/{slug}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("paths")
    installation = Installation(directory / "installation", demo=False, origins="paths")
    hmi_port = free_port(HMI)
    servers = {name: free_port() for name in ("node-red", "fuxa", "modbus")}
    closing: list[Callable[[], Any]] = [installation.stop]
    try:
        installation.start()
        hmi = Process("hmi", [PANELGATE, "demo", "hmi", "--host", HMI, "--port", str(hmi_port)], directory / "hmi.log")
        closing.append(hmi.stop)
        panel = Panel(directory / "panel", port=free_port(PANEL), host=PANEL)
        closing.append(panel.close)
        closing.append(start_node_red(directory / "node-red", servers["node-red"]).stop)
        closing.append(start_fuxa(directory / "fuxa", servers["fuxa"]).stop)
        closing.append(start_modbus_simulator(directory / "modbus", servers["modbus"], free_port()).stop)
        one, two = RootedHmi(ONE, "one"), RootedHmi(TWO, "two")
        closing += [one.close, two.close]
        api = Administrator.set_up(installation)
        device = api.device("line", lan="127.0.0.0/24")["id"]
        api.service(device, "hmi", HMI, hmi_port)
        api.service(device, "panel", PANEL, panel.port, "vnc", password="plc12345")
        for slug, host, port in (("one", ONE, one.port), ("two", TWO, two.port)):
            api.service(device, slug, host, port)
        for slug, port in servers.items():
            api.service(device, slug, SERVERS, port)
        closing.append(Agent(installation, "line", api.key(device), allow=[HMI, PANEL, ONE, TWO, SERVERS]).stop)
        api.wait_online("line")
        hmi.wait_for("the HMI listens", lambda: listening(hmi_port, HMI))
        yield Site(installation, api, one, two, servers)
    finally:
        for close in reversed(closing):
            close()


@pytest.fixture
def context(site: Site, browser: Browser) -> Iterator[BrowserContext]:
    made = signed_in(browser, site.api.token)
    yield made
    made.close()


def cookies(context: BrowserContext) -> dict[str, Any]:
    return {str(cookie["name"]): cookie for cookie in context.cookies()}


def test_a_page_whose_every_address_begins_with_a_slash(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    complaints = Complaints()
    complaints.of(page)
    page.goto(site.link("one"))
    for line in RESULTS:
        expect(page.locator("#results li", has_text=line)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(0, 128, 0)"
    for image in ("image", "set"):
        assert page.evaluate("id => document.getElementById(id).naturalWidth", image) == 8
    heard = {path for _, path, _ in site.one.asked}
    assert {"/linked.svg", "/inline.svg", "/attribute.svg", "/imported.css"} <= heard
    assert not any(site.root("one") in path for path in heard)
    page.get_by_role("button", name="Set").click()
    page.wait_for_url(f"{site.base('one')}/was-set")
    page.get_by_role("link", name="Deep").click()
    page.wait_for_url(f"{site.base('one')}/deep/page")
    page.get_by_role("button", name="Leave").click()
    page.wait_for_url(f"{site.base('one')}/by-script")
    assert complaints.found == set()
    shot(page, "path-mode-page")


def test_the_demonstration_hmi_is_operated(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    complaints = Complaints()
    complaints.of(page)
    page.goto(site.link("hmi"))
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("1234")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.base('hmi')}/panel")
    clock = page.locator("#time")
    expect(clock).not_to_have_text(clock.inner_text(), timeout=5_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#speed")).to_have_text(re.compile(r"^0(\.0)?$"), timeout=15_000)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#messages li").first).to_be_visible()
    shot(page, "path-mode-hmi")
    assert complaints.found == set()


def test_the_viewer_connects(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(site.link("panel"))
    expect(page.locator("body")).to_have_attribute("data-state", "connected")
    assert page.url == f"{site.base('panel')}/"
    shot(page, "path-mode-viewer")


SHOWN = [case for case in CASES if case[1] != "workers"]


@pytest.mark.parametrize(("title", "server", "look", "accepted"), SHOWN, ids=[case[0] for case in SHOWN])
def test_real_servers(
    contexts: Callable[..., BrowserContext], context: BrowserContext, site: Site,
    title: str, server: str, look: Callable[[Page, str], None], accepted: set[str],
) -> None:  # fmt: skip
    direct, behind = Complaints(), Complaints()
    plain = contexts().new_page()
    direct.of(plain)
    look(plain, f"http://{SERVERS}:{site.servers[server]}")
    page = context.new_page()
    page.goto(f"{site.link(server)}/favicon.ico")
    behind.of(page)
    look(page, site.base(server))
    shot(page, f"path-mode-{title.replace(' ', '-').lower()}")
    found = {text.replace(site.root(server), "") for text in behind.found}
    assert {text for text in found - direct.found if not any(word in text.lower() for word in accepted)} == set()


def test_cookies_of_two_services_stay_apart(site: Site, context: BrowserContext) -> None:
    pages = {slug: context.new_page() for slug in ("one", "two")}
    for slug, page in pages.items():
        page.goto(site.link(slug))
        expect(page.get_by_role("heading", name=f"Device {slug}")).to_be_visible()
    for slug, hmi in (("one", site.one), ("two", site.two)):
        pages[slug].goto(f"{site.base(slug)}/again")
        assert ("GET", "/again", f"session={slug}") in hmi.asked
        assert pages[slug].evaluate("document.cookie") == ""
    kept = {name: cookie["path"] for name, cookie in cookies(context).items() if name.endswith("~session")}
    assert sorted(kept.values()) == [f"{site.root('one')}/", f"{site.root('two')}/"]


def test_a_page_can_plant_no_cookie_of_ours(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    for slug in ("two", "one"):
        page.goto(site.link(slug))
    # Those of the panels' host. What a script sets there the portal, a host of another name, never gets.
    names = [name for name in cookies(context) if name.startswith(("__Host-Http-", "__Http-"))]
    assert len(names) >= 6
    before = {name: cookie["value"] for name, cookie in cookies(context).items()}
    for name in names:
        for path in ("/", f"{site.root('two')}/"):
            page.evaluate("([name, path]) => { document.cookie = `${name}=evil; Secure; Path=${path}` }", [name, path])
    assert {name: cookie["value"] for name, cookie in cookies(context).items()} == before


def test_what_the_warning_says_is_so_and_the_portal_stays_apart(site: Site, context: BrowserContext) -> None:
    """The pages of one origin: this is why path mode is the last resort."""
    page = context.new_page()
    for slug in ("two", "one"):
        page.goto(site.link(slug))
    ask = """async ([address, options]) => {
      const frame = document.createElement("iframe");  // its fetch is the browser's own
      document.body.append(frame);
      try { return await (await frame.contentWindow.fetch(address, options)).text(); } catch { return "refused"; }
    }"""
    target = f"{site.base('two')}/api/set"
    # A script may write any Referer or none, and then nothing tells the two apart.
    lie = {"method": "POST", "referrer": f"{site.base('two')}/"}
    assert page.evaluate(ask, [target, lie]) == "POST /api/set"
    assert page.evaluate(ask, [f"{site.installation.portal}/machines", {"credentials": "include"}]) == "refused"


def test_administrators_see_the_warning(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    for path in ("/settings", "/machines/line"):
        page.goto(f"{site.installation.portal}{path}")
        expect(page.get_by_text("a hostile panel’s page can act on the others")).to_be_visible()
    shot(page, "path-mode-warning")


def test_a_deep_link_by_way_of_the_sign_in_and_signing_out(site: Site, contexts: Callable[..., BrowserContext]) -> None:
    context = contexts()
    page: Page = context.new_page()
    page.goto(f"{site.link('one')}/deep?from=mail#top")
    site.api.person.sign_in(page)
    page.wait_for_url(f"{site.base('one')}/deep?from=mail**")
    expect(page.get_by_role("heading", name="Device one")).to_be_visible()
    other = context.new_page()
    other.goto(site.link("two"))
    sessions = [name for name in cookies(context) if name.startswith("__Host-Http-pg-")]
    assert len(sessions) == 2
    page.evaluate("fetch('/.pg/sign-out', {method: 'POST'})")
    wait_until("one cookie is gone", lambda: sum(name in cookies(context) for name in sessions) == 1)
    other.reload()
    expect(other.get_by_role("heading", name="Device two")).to_be_visible()
    portal = context.new_page()
    portal.goto(f"{site.installation.portal}/machines")
    portal.get_by_label("User menu").click()
    portal.get_by_role("button", name="Sign out").click()
    expect(portal.get_by_role("heading", name="Sign in")).to_be_visible()
    other.goto(f"{site.base('two')}/")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
