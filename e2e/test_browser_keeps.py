"""What a browser keeps, and whom it talks to (rows A2, I12)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, Request, expect

from e2e.conftest import SignedIn
from e2e.harness.installation import Installation

STORED = "Object.entries(localStorage).concat(Object.entries(sessionStorage))"

# htmx keeps the address of the page; the rest are choices of looks, a word each.
ADDRESS_KEYS = {"htmx-current-path-for-history"}


def harmless(page: Page) -> bool:
    """Whether scripts have stored addresses and short words only: no token is as short as that."""
    return all(key in ADDRESS_KEYS or len(value) <= 16 for key, value in page.evaluate(STORED))


def test_nothing_useful_is_kept_and_nobody_else_is_asked(
    contexts: Callable[..., BrowserContext], installation: Installation, ada: SignedIn
) -> None:
    ada.api.wait_online("demo-machine", 40)
    context = contexts(storage_state=ada.state)
    page: Page = context.new_page()
    hosts: set[str] = set()

    def note(request: Request) -> None:
        hosts.add(urlsplit(request.url).netloc)

    context.on("request", note)
    for path in ("/machines", "/machines/demo-machine", "/activity", "/people", "/settings"):
        page.goto(installation.portal + path)
        assert page.evaluate("document.cookie") == "", "scripts see no cookie"
        assert harmless(page), page.evaluate(STORED)
    page.goto(f"{installation.portal}/acme/demo-machine/panel")
    expect(page.locator("body")).to_have_attribute("data-state", "connected")
    assert harmless(page), page.evaluate(STORED)
    page.goto(f"{installation.portal}/acme/demo-machine/hmi/login")
    expect(page.get_by_role("heading", name="Mixing plant 3")).to_be_visible()
    assert hosts <= {
        f"{name}:{installation.port}"
        for name in (
            "portal.localhost", "hmi--demo-machine--acme.apps.localhost", "panel--demo-machine--acme.apps.localhost"
        )
    }, hosts  # fmt: skip
    ours = [cookie for cookie in context.cookies() if cookie["name"].startswith("__Host-pg")]
    assert ours
    for cookie in ours:
        assert cookie["secure"], cookie["name"]
        assert cookie["httpOnly"], cookie["name"]
        assert cookie["path"] == "/"
        # What signs in is gone with the browser, or within minutes.
        if cookie["name"] in ("__Host-pgs", "__Host-pg"):
            assert cookie["expires"] == -1


def test_a_copy_of_the_profile_is_worth_nothing_after_signing_out(
    contexts: Callable[..., BrowserContext], installation: Installation, ada: SignedIn
) -> None:
    own = contexts()
    page = own.new_page()
    page.goto(f"{installation.portal}/acme/demo-machine/hmi/login")
    ada.person.sign_in(page)
    expect(page.get_by_role("heading", name="Mixing plant 3")).to_be_visible()
    stolen = own.storage_state()
    page.goto(f"{installation.portal}/machines")
    page.get_by_label("User menu").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: "/machines" not in url)
    thief = contexts(storage_state=stolen).new_page()
    for address in (
        f"{installation.portal}/machines",
        f"{installation.service_origin('hmi--demo-machine--acme')}/login",
    ):
        thief.goto(address)
        expect(thief.get_by_role("heading", name="Sign in")).to_be_visible()
