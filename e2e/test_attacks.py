"""What a hostile page on one service tries against another and against the portal, in a real browser.

The numbers are those of docs/attacks.md, which names the test for each; what needs no browser is tested beside its
module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.conftest import signed_in
from e2e.harness.administrator import Administrator
from e2e.harness.client import Client
from e2e.harness.device import Answer, Device, Seen
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import wait_until

EMPTY = Answer("<!doctype html><title>Panel</title><p>Panel</p>")
OURS = "__host-pg"  # how every cookie of ours begins, in lower case


@dataclass
class Field:
    """Two services of one machine, in one browser's sign-in: `evil` is the attacker's, `victim` another one."""

    installation: Installation
    api: Administrator
    evil: Device
    victim: Device

    def origin(self, name: str) -> str:
        return self.installation.service_origin(f"{name}--press--acme")


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    directory = tmp_path_factory.mktemp("attacks")
    installation = Installation(directory / "installation", demo=False)
    evil, victim = Device(), Device()
    stops: list[Callable[[], None]] = [installation.stop, evil.stop, victim.stop]
    try:
        installation.start()
        ada = Administrator.set_up(installation)
        device = ada.device("press", lan="127.0.0.1/32")
        for name, target in (("evil", evil), ("victim", victim)):
            ada.service(device["id"], name, "127.0.0.1", target.port)
        ada.service(device["id"], "worker", "127.0.0.1", evil.port, options={"service_workers": True})
        stops.append(Agent(installation, "press", ada.key(device["id"]), allow=["127.0.0.1"]).stop)
        ada.wait_online("press")
        yield Field(installation, ada, evil, victim)
    finally:
        for stop in reversed(stops):
            stop()


@pytest.fixture
def browser_of_ada(field: Field, browser: Browser) -> Iterator[BrowserContext]:
    """A browser with a session at the portal and at both services."""
    field.evil.pages = {"/": EMPTY}
    field.victim.pages = {"/": EMPTY, "/start": EMPTY, "/value": Answer("17", type="text/plain")}
    context = signed_in(browser, field.api.token)
    page = context.new_page()
    for name in ("victim", "evil"):
        page.goto(f"{field.installation.portal}/acme/press/{name}")
        expect(page.get_by_text("Panel")).to_be_visible()
    page.close()
    field.victim.seen.clear()
    field.evil.seen.clear()
    yield context
    context.close()


@pytest.fixture
def attacker(field: Field, browser_of_ada: BrowserContext) -> Page:
    """A page of the hostile service."""
    page = browser_of_ada.new_page()
    page.goto(field.origin("evil"))
    return page


def run(page: Page, script: str, *arguments: Any) -> Any:
    """Run a hostile script's function with a list of arguments; what it returns."""
    return page.evaluate(script, list(arguments))


def cookies(context: BrowserContext, origin: str) -> dict[str, str]:
    return {cookie["name"]: cookie["value"] for cookie in context.cookies(origin)}


def test_a1_and_a3_nothing_is_sent_to_a_sibling(field: Field, attacker: Page) -> None:
    """A form post, a fetch, a picture, a script, a frame: none of them reaches the other machine."""
    run(
        attacker,
        """async ([victim]) => {
            await fetch(victim + '/start', {method: 'POST', mode: 'no-cors', credentials: 'include', body: 'go=1'})
                .catch(() => 0);
            await fetch(victim + '/start?go=1', {mode: 'no-cors', credentials: 'include'}).catch(() => 0);
            const loads = ['img', 'script', 'iframe'].map(kind => new Promise(done => {
                const element = document.createElement(kind);
                element.onload = element.onerror = done;
                element.src = victim + '/start?by=' + kind;
                document.body.append(element);
            }));
            navigator.sendBeacon(victim + '/start', 'beacon');
            await Promise.all(loads);
        }""",
        field.origin("victim"),
    )
    with attacker.expect_navigation():
        run(
            attacker,
            """([victim]) => {
                const form = document.createElement('form');
                form.method = 'post'; form.action = victim + '/start';
                document.body.append(form); form.submit();
            }""",
            field.origin("victim"),
        )
    assert field.victim.seen == []


def test_a2_a_sibling_opens_no_websocket(field: Field, attacker: Page) -> None:
    failed = run(
        attacker,
        """([victim]) => new Promise(done => {
            const socket = new WebSocket(victim.replace('http', 'ws') + '/ws');
            socket.onopen = () => done('open');
            socket.onclose = event => done(event.code);
        })""",
        field.origin("victim"),
    )
    assert failed == 1006
    assert field.victim.seen == []


def test_a4_planted_cookies_change_nobodys_session(
    field: Field, attacker: Page, browser_of_ada: BrowserContext
) -> None:
    """Wider domain, longer path, our own name with and without a name: the good cookie counts, or nothing does."""
    run(
        attacker,
        """() => {
            document.cookie = '__Host-pg=planted; Domain=apps.localhost; Path=/';
            document.cookie = '__Host-pg=planted; Domain=apps.localhost; Path=/value; Secure';
            document.cookie = '__host-PG=planted; Domain=apps.localhost; Path=/value';
            document.cookie = '=__Host-pg=planted; Domain=apps.localhost; Path=/value';
            document.cookie = 'plain=planted; Domain=apps.localhost; Path=/';
        }""",
    )
    page = browser_of_ada.new_page()
    page.goto(f"{field.origin('victim')}/value")
    for seen in field.victim.asked("/value"):
        assert OURS not in seen.all().lower()
    told = page.content()
    assert "17" in told or "cookies" in told.lower(), "the right person's page, or a page that says what is wrong"
    # The way out that such a page offers works.
    page.goto(f"{field.origin('victim')}/.pg/reset")
    page.goto(f"{field.installation.portal}/acme/press/victim/value")
    expect(page.get_by_text("17")).to_be_visible()


def test_a5_a_device_sets_no_cookie_of_ours(field: Field, attacker: Page, browser_of_ada: BrowserContext) -> None:
    before = cookies(browser_of_ada, field.origin("evil"))
    field.evil.pages["/cookies"] = Answer(
        "set",
        [
            ("Set-Cookie", "__Host-pg=theirs; Path=/; Secure"),
            ("Set-Cookie", "=__Host-pg=theirs; Path=/; Secure"),
            ("Set-Cookie", "__HOST-pgn-0123456789abcdef=theirs; Path=/; Secure"),
            ("Set-Cookie", "wide=1; Domain=apps.localhost; Path=/"),
        ],
    )
    attacker.goto(f"{field.origin('evil')}/cookies")
    assert {name: value for name, value in cookies(browser_of_ada, field.origin("evil")).items() if name != "wide"} == (
        before
    )
    assert "wide" not in cookies(browser_of_ada, field.origin("victim")), "a cookie stays at its own origin"


def test_a6_no_device_ever_sees_our_cookies(field: Field, attacker: Page) -> None:
    attacker.goto(f"{field.origin('evil')}/?again")
    assert field.evil.seen
    assert all(OURS not in seen.all().lower() for seen in field.evil.seen)


def test_a7_a_cookie_bomb_leaves_the_sibling_usable(
    field: Field, attacker: Page, browser_of_ada: BrowserContext
) -> None:
    run(
        attacker,
        """() => { for (let n = 0; n < 40; n++)
            document.cookie = 'bomb' + n + '=' + 'x'.repeat(4000) + '; Domain=apps.localhost; Path=/'; }""",
    )
    page = browser_of_ada.new_page()
    answer = page.goto(f"{field.origin('victim')}/value")
    assert answer is not None
    if answer.status != 200:
        page.goto(f"{field.origin('victim')}/.pg/reset")
        page.goto(f"{field.installation.portal}/acme/press/victim/value")
    expect(page.get_by_text("17")).to_be_visible()
    assert all("bomb" not in seen.all() for seen in field.victim.seen), "what it did not set itself stays out"


def test_a8_and_a28_a_device_gives_the_browser_no_orders_for_others(
    field: Field, attacker: Page, browser_of_ada: BrowserContext
) -> None:
    orders = {
        "Clear-Site-Data": '"cookies", "storage"', "Strict-Transport-Security": "max-age=99; includeSubDomains",
        "Alt-Svc": 'h3=":443"', "NEL": '{"report_to":"x","max_age":9}', "Report-To": '{"group":"x"}',
        "Public-Key-Pins": "max-age=9", "Access-Control-Allow-Origin": "*", "Reporting-Endpoints": 'x="https://e.org"',
    }  # fmt: skip
    field.evil.pages["/orders"] = Answer("ordered", list(orders.items()))
    answer = attacker.goto(f"{field.origin('evil')}/orders")
    assert answer is not None
    got = {name.lower() for name in answer.headers}
    assert got & {name.lower() for name in orders} == set()
    page = browser_of_ada.new_page()
    page.goto(f"{field.origin('victim')}/value")
    expect(page.get_by_text("17")).to_be_visible()


def test_a9_no_service_worker_stands_before_the_hand_off(field: Field, attacker: Page) -> None:
    field.evil.pages["/sw.js"] = Answer("self.onfetch = e => {}", type="text/javascript")
    said = run(attacker, "() => navigator.serviceWorker.register('/sw.js').then(() => 'installed', e => String(e))")
    assert "403" in said
    assert field.evil.asked("/sw.js") == []


THIEF = """
oninstall = () => skipWaiting();
onactivate = event => event.waitUntil(clients.claim());
onfetch = event => {
    if (new URL(event.request.url).pathname !== '/.pg/cb') return;
    event.respondWith(fetch('/loot', {method: 'POST', body: event.request.url}).then(() =>
        new Response('<title>Taken</title><p>Taken</p>', {headers: {'Content-Type': 'text/html'}})));
};
"""


def test_a9_a_code_that_an_allowed_worker_takes_is_worth_nothing_elsewhere(
    field: Field, browser_of_ada: BrowserContext, contexts: Callable[..., BrowserContext]
) -> None:
    """Where an administrator allows workers, one can answer the hand-off and tell its code to anybody."""
    origin = field.origin("worker")
    field.evil.pages |= {"/sw.js": Answer(THIEF, type="text/javascript"), "/loot": Answer("thanks")}
    page = browser_of_ada.new_page()
    page.goto(f"{field.installation.portal}/acme/press/worker")
    expect(page.get_by_text("Panel")).to_be_visible()
    page.evaluate(
        """() => new Promise(done => {
            navigator.serviceWorker.oncontrollerchange = done; navigator.serviceWorker.register('/sw.js'); })
        .then(() => 1)"""
    )
    browser_of_ada.clear_cookies(name="__Host-pg", domain=origin.split("//")[1].split(":")[0])
    with page.expect_navigation(url="**/.pg/cb*"):
        page.evaluate("portal => { location = portal + '/acme/press/worker'; }", field.installation.portal)
    expect(page.get_by_text("Taken")).to_be_visible()
    stolen = page.url
    assert "code=" in stolen
    for thief in (contexts(), signed_in_elsewhere(field, contexts)):
        other = thief.new_page()
        answer = other.goto(stolen)
        assert answer is not None
        assert answer.status == 403
        assert "__Host-pg" not in cookies(thief, origin)


def signed_in_elsewhere(field: Field, contexts: Callable[..., BrowserContext]) -> BrowserContext:
    """A browser that is in the middle of a hand-off of its own at the same origin: it has a nonce, another one."""
    context = contexts()
    context.new_page().goto(f"{field.origin('worker')}/")
    assert any(name.startswith("__Host-pgn-") for name in cookies(context, field.origin("worker")))
    return context


def test_a10_and_a12_a_code_of_another_browser_is_worth_nothing(
    field: Field, browser_of_ada: BrowserContext, contexts: Callable[..., BrowserContext]
) -> None:
    """Both ways round: a stolen code in the thief's browser, and an attacker's code in his victim's."""
    before = cookies(browser_of_ada, field.origin("victim"))
    for context in (contexts(), browser_of_ada):
        nonce_hash = hashlib.sha256(b"of another browser").hexdigest()
        wanted = {"host_label": "victim--press--acme", "nonce_hash": nonce_hash}
        code = field.api.call("POST", "/webproxy/v1/handoff", wanted)["code"]
        answer = context.new_page().goto(f"{field.origin('victim')}/.pg/cb?code={code}&state=0123456789abcdef")
        assert answer is not None
        assert answer.status == 403
        assert "__Host-pg" not in cookies(context, field.origin("victim")) or context is browser_of_ada
    assert cookies(browser_of_ada, field.origin("victim")) == before
    assert field.victim.seen == []


def test_a21_a_redirect_into_the_plant_is_not_followed(field: Field, attacker: Page) -> None:
    field.evil.pages["/away"] = Answer("", [("Location", "http://192.168.77.9/admin")], 302)
    answer = attacker.goto(f"{field.origin('evil')}/away")
    assert answer is not None
    assert answer.status == 502
    assert "192.168.77.9" in attacker.inner_text("body")
    assert attacker.url.startswith(field.origin("evil"))


def test_a22_what_a_browser_claims_about_itself_stops_here(field: Field) -> None:
    client = Client(field.installation, field.api, "evil--press--acme")
    claims = {
        "X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1", "Via": "1.1 x",
        "X-Remote-User": "root", "Remote-User": "root", "X-Auth-Request-User": "root", "X-Forwarded-Host": "evil",
    }  # fmt: skip
    field.evil.pages["/claims"] = EMPTY
    client.http.get("/claims", headers=claims)
    client.close()
    (seen,) = field.evil.asked("/claims")
    assert set(seen.headers) & {name.lower() for name in claims} == set()


def test_a23_names_are_text_on_every_page(field: Field, browser_of_ada: BrowserContext) -> None:
    device = field.api.device("xss", lan="127.0.0.1/32")
    hostile = "<img src=x onerror=document.title='owned'>"
    field.api.call("PATCH", f"/admin/v1/devices/{device['id']}", {"name": hostile, "site": hostile})
    page = browser_of_ada.new_page()
    for path in ("/machines", "/machines/xss", "/activity", "/acme/xss", f"/acme/xss/{hostile}"):
        page.goto(field.installation.portal + path)
        page.wait_for_load_state()
        assert page.title() != "owned"
    answer = page.goto(f"{field.installation.portal}/machines")
    assert answer is not None
    assert "unsafe" not in answer.headers["content-security-policy"]
    field.api.call("DELETE", f"/admin/v1/devices/{device['id']}")


def test_a24_no_page_is_framed_by_another(field: Field, attacker: Page) -> None:
    for target in (field.origin("victim"), field.installation.portal):
        run(
            attacker,
            """([target]) => new Promise(done => {
                const frame = document.createElement('iframe');
                frame.onload = done;
                frame.src = target + '/';
                document.body.append(frame);
            })""",
            target,
        )
        framed = attacker.frames[-1]
        assert framed.locator("main, p, h1").all_inner_texts() == [] or framed.url.startswith("chrome-error:")
    assert field.victim.seen == []


def test_a25_a_panel_has_no_hold_on_what_opened_it(field: Field, browser_of_ada: BrowserContext) -> None:
    page = browser_of_ada.new_page()
    page.goto(f"{field.installation.portal}/machines/press")
    with browser_of_ada.expect_page() as opened:
        run(page, "([url]) => { window.open(url); }", f"{field.installation.portal}/acme/press/evil")
    panel = opened.value
    panel.wait_for_url(f"{field.origin('evil')}/**")
    assert panel.evaluate("() => window.opener === null")


def test_a26_no_device_learns_where_the_person_came_from(field: Field, browser_of_ada: BrowserContext) -> None:
    page = browser_of_ada.new_page()
    page.goto(f"{field.installation.portal}/machines/press?secret=here")
    page.goto(f"{field.installation.portal}/acme/press/evil?x=1", referer=f"{field.installation.portal}/machines/press")
    page.wait_for_url(f"{field.origin('evil')}/**")
    for seen in field.evil.seen:
        assert "portal" not in seen.all()
        assert "code=" not in seen.all()
        assert "localhost" not in seen.all(), "and not even under which name it is known outside"


def test_a27_nothing_is_read_across_origins(field: Field, attacker: Page) -> None:
    def reflect(seen: Seen) -> Answer:
        origin = (seen.headers.get("origin") or ["*"])[0]
        return Answer(
            "17", [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")],
            type="text/plain",
        )  # fmt: skip

    field.victim.pages["/value"] = reflect
    said = run(
        attacker,
        "([v]) => fetch(v + '/value', {credentials: 'include'}).then(a => a.text(), e => 'blocked')",
        field.origin("victim"),
    )
    assert said == "blocked"


def test_a31_the_next_person_at_this_browser_sees_nothing_of_the_last(field: Field, browser: Browser) -> None:
    own = Administrator(field.installation, field.api.person)
    own.sign_in()
    field.victim.pages = {"/": Answer("Panel of ada", [("Cache-Control", "public, max-age=3600")])}
    context = signed_in(browser, own.token)
    page = context.new_page()
    answer = page.goto(f"{field.installation.portal}/acme/press/victim")
    assert answer is not None
    assert "private" in answer.headers["cache-control"]
    expect(page.get_by_text("Panel of ada")).to_be_visible()
    own.call("POST", "/webproxy/v1/sign-out", {})

    def gone() -> bool:
        page.goto(f"{field.origin('victim')}/?again")
        return "Panel of ada" not in page.content()

    wait_until("the session's end is known here", gone, 5)
    page.go_back()
    page.reload()
    assert "Panel of ada" not in page.content()
    context.close()
