"""Every page for everyone: axe-core, the keyboard alone, a phone's width, a clean console."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from e2e.conftest import SignedIn
from e2e.harness.installation import Installation
from e2e.harness.processes import REPOSITORY

AXE = REPOSITORY / ".cache" / "axe-core-4.10.3" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VIEWS = [pytest.param(DESK, id="desk"), pytest.param(PHONE, id="phone")]
WITHOUT_SIGN_IN = ("/sign-in", "/sign-in/recovery", "/signed-out", "/nowhere")
SIGNED_IN = (
    "/machines", "/machines?q=nothing-is-called-so", "/machines?status=offline", "/machines/demo-machine",
    "/machines/demo-machine/edit", "/machines/demo-machine/connect", "/machines/demo-machine/services/new",
    "/machines/bare-press", "/machines/bare-press/services/new", "/add-machine", "/activity", "/activity/history",
    "/activity/history?q=nothing-is-called-so", "/people", "/people/new", "{person}", "/settings", "/factor",
    "{panel}/", "{closed}/", "{https}", "{https}/certificate",
)  # fmt: skip


class Watched:
    """A page whose console is read: violations of the content policy and script errors are failures."""

    def __init__(self, context: BrowserContext) -> None:
        self.page = context.new_page()
        self.trouble: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        # An answer of 404 or 502 is what some of these pages are about; the browser notes it by itself.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.trouble.append(f"{self.page.url}: {message.text}")

    def wrong(self) -> list[str]:
        """What is wrong with the page as it stands, a line each."""
        found = list(self.trouble)
        self.trouble.clear()
        page = self.page
        # From outside the page's own policy, which allows no such script.
        world = page.context.new_cdp_session(page)
        frame = world.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        place = world.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]

        def run(expression: str) -> Any:
            asked = {"expression": expression, "contextId": place, "awaitPromise": True, "returnByValue": True}
            return world.send("Runtime.evaluate", asked)["result"].get("value")

        run(AXE.read_text() + ";0")
        # The dark page is the same page in other colours.
        for scheme, only in (("light", {"type": "tag", "values": RULES}), ("dark", ["color-contrast"])):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
            answer = run(
                f"axe.run({{runOnly: {json.dumps(only)}, resultTypes: ['violations']}}).then(r => r.violations.map(v =>"
                " v.id + ': ' + v.nodes.map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | ')))"
            )
            assert isinstance(answer, list), "axe did not run"
            found += [f"{page.url} ({scheme}): {line}" for line in answer]
        world.detach()
        width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if width > window:
            found.append(f"{page.url}: {width} px wide in a window of {window}")
        return found


@pytest.fixture(scope="module")
def places(installation: Installation, ada: SignedIn) -> Iterator[dict[str, str]]:
    """Addresses that are only known at run time, and a machine that was never connected."""
    assert Path(AXE).exists(), "axe-core is missing: run `make setup-test`"
    ada.api.wait_online("demo-machine", 30)
    bare = ada.api.device("bare-press", lan="192.168.0.0/24")
    demo = ada.api.call("GET", "/webproxy/v1/devices/demo-machine")
    closed = ada.api.service(demo["id"], "closed", "127.0.80.10", 9)
    secure = ada.api.service(demo["id"], "secure", "127.0.80.10", 9, "https", tls_verify="none")
    user = ada.api.call(
        "POST",
        "/admin/v1/users",
        {"user": "kim", "display_name": "Kim", "role": "member", "password": ada.person.password},
    )["user"]
    yield {
        "person": f"/people/{user['id']}",
        "panel": installation.service_origin("panel--demo-machine--acme"),
        "closed": installation.service_origin(closed["host_label"]),
        "https": f"/machines/demo-machine/services/{secure['id']}",
    }
    ada.api.call("DELETE", f"/admin/v1/services/{secure['id']}")
    ada.api.call("DELETE", f"/admin/v1/services/{closed['id']}")
    ada.api.call("DELETE", f"/admin/v1/devices/{bare['id']}")
    ada.api.call("DELETE", f"/admin/v1/users/{user['id']}")


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_passes_axe_fits_and_keeps_the_console_clean(
    contexts: Callable[..., BrowserContext], installation: Installation, ada: SignedIn, places: dict[str, str],
    view: dict[str, Any],
) -> None:  # fmt: skip
    wrong: list[str] = []
    for state, addresses in ((None, WITHOUT_SIGN_IN), (ada.state, SIGNED_IN)):
        watched = Watched(contexts(**view, reduced_motion="reduce", **({"storage_state": state} if state else {})))
        for template in addresses:
            address = template.format(**places)
            watched.page.goto(address if address.startswith("http") else installation.portal + address)
            if template == "{panel}/":
                expect(watched.page.locator("body")).to_have_attribute("data-state", "connected")
                # The bar with the focus in it stays, and the clipboard with it.
                watched.page.keyboard.press("Control+Alt+Shift")
                watched.page.locator("#clipboard").click()
                expect(watched.page.locator("#clipboard-box")).to_be_visible()
            if template == "{https}":
                # With everything open that can be.
                watched.page.locator("details.pg-more > summary").click()
                watched.page.get_by_label("The server, by Basic").check()
            wrong += watched.wrong()
    assert wrong == []


def focused(page: Page) -> str:
    """The name of what has the focus, and that it can be seen to have it."""
    name, outline = page.evaluate(
        "(() => { const e = document.activeElement, s = getComputedStyle(e);"
        " return [(e.getAttribute('aria-label') || e.innerText || e.id || '').trim(),"
        " s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 || s.boxShadow !== 'none']; })()"
    )
    assert outline, f"the focus on “{name}” can't be seen"
    return str(name)


def test_the_keyboard_alone_gets_everywhere(page: Page, installation: Installation, places: dict[str, str]) -> None:
    page.goto(f"{installation.portal}/machines")
    walked = []
    for _ in range(40):
        page.keyboard.press("Tab")
        walked.append(focused(page))
        if walked[-1].startswith("Open Operator panel"):
            break
    order = [
        "Skip to the content", "Panelgate", "Machines", "Activity", "People", "Settings", "search", "User menu of Ada",
        "Add a machine", "Demonstration machine", "Open Operator panel of Demonstration machine in a new tab",
    ]  # fmt: skip
    assert [name for name in walked if name in order] == order

    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("demo")
    expect(page.locator("[data-device]")).to_have_count(1)
    expect(page).to_have_url(f"{installation.portal}/machines?q=demo")

    menu = page.locator("details.pg-menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(menu).to_have_attribute("open", "")
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()

    page.goto(f"{installation.portal}{places['person']}")
    opener = page.get_by_role("button", name="Disable")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(opener).to_be_focused()


def test_the_viewer_obeys_the_keyboard(page: Page, places: dict[str, str]) -> None:
    page.goto(f"{places['panel']}/")
    expect(page.locator("body")).to_have_attribute("data-state", "connected")
    page.keyboard.press("Control+Alt+Shift")
    expect(page.locator("#bar")).not_to_have_attribute("inert", "")
    expect(page.locator("#scale")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#fullscreen")).to_be_focused()
    assert focused(page)
    page.keyboard.press("Escape")
    expect(page.locator("#picture canvas")).to_be_focused()
