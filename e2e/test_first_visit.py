"""Set-up in the browser, and what the person finds."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.installation import Installation


def test_the_demonstration_machine_comes_online_without_a_reload(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.portal}/machines")
    row = page.locator("[data-device=demo-machine]")
    expect(row.get_by_text("Online")).to_be_visible(timeout=30_000)
    expect(row.get_by_role("link", name="Mixer HMI")).to_be_visible()
    shot(page, "machines")


def test_recovery_codes_were_shown_once(ada: SignedIn) -> None:
    assert len(set(ada.recovery_codes)) == 10


def test_set_up_works_only_once(cold: Page, installation: Installation) -> None:
    cold.goto(f"{installation.portal}/setup#code={installation.setup_code}")
    expect(cold.get_by_label("Short name in links")).to_have_count(0)


def test_the_machines_page_shows_panels_and_opens_one_in_a_new_tab(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.portal}/machines/demo-machine")
    expect(page.get_by_role("heading", name="Demonstration machine")).to_be_visible()
    shot(page, "machine")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open Mixer HMI").click()
    expect(opened.value.get_by_role("heading", name="Mixing plant 3")).to_be_visible()
    assert opened.value.url == f"{installation.service_origin('hmi--demo-machine--acme')}/login"


def test_a_phone_shows_the_same_list_as_cards(
    contexts: Callable[..., BrowserContext], ada: SignedIn, installation: Installation
) -> None:
    phone = contexts(
        storage_state=ada.state,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    ).new_page()
    phone.goto(f"{installation.portal}/machines")
    expect(phone.locator("[data-device=demo-machine]")).to_be_visible()
    shot(phone, "machines-phone-dark")
    overflow = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
