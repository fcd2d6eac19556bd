"""A technician clicks a link in a mail: sign in, and he is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.installation import Installation

LABEL = "hmi--demo-machine--acme"


def test_a_cold_link_leads_through_sign_in_to_the_very_page(
    cold: Page, installation: Installation, ada: SignedIn
) -> None:
    cold.goto(f"{installation.portal}/acme/demo-machine/hmi/report%2Fx?batch=7&who=a%20b#end")
    expect(cold.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(cold.get_by_label("Account")).to_have_value("acme")
    shot(cold, "sign-in")
    ada.person.sign_in(cold)
    origin = installation.service_origin(LABEL)
    cold.wait_for_url(f"{origin}/report%2Fx?batch=7&who=a%20b#end")
    expect(cold.get_by_role("heading", name="No such page")).to_be_visible()


def test_a_link_to_the_machine_shows_its_page(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.portal}/acme/demo-machine")
    expect(page.get_by_role("heading", name="Demonstration machine")).to_be_visible()


@pytest.mark.parametrize("path", ["/acme/demo-machine/hmi/login", "/acme/demo-machine/proxy/127.0.80.10:8081/login"])
def test_every_form_of_link_reaches_the_service(page: Page, installation: Installation, path: str) -> None:
    page.goto(installation.portal + path)
    page.wait_for_url(f"{installation.service_origin(LABEL)}/login")
    expect(page.get_by_role("heading", name="Mixing plant 3")).to_be_visible()


def test_a_link_straight_to_the_service_signs_in_first(cold: Page, installation: Installation) -> None:
    cold.goto(f"{installation.service_origin(LABEL)}/login")
    expect(cold.get_by_role("heading", name="Sign in")).to_be_visible()


def test_what_is_unknown_and_what_is_foreign_look_the_same(page: Page, installation: Installation) -> None:
    texts = set()
    for path in (
        "/acme/no-such-machine",
        "/other/demo-machine",
        "/acme/no-such-machine/hmi/",
        "/other/demo-machine/hmi/",
    ):
        answer = page.goto(installation.portal + path)
        assert answer is not None
        assert answer.status == 404
        # The address itself is repeated nowhere: what is left must be equal letter by letter, but for the reference.
        texts.add(page.locator("main h1").inner_text())
    shot(page, "not-found")
    assert len(texts) == 1


@pytest.mark.parametrize(
    "path",
    ["127.0.0.1/", "169.254.169.254/", "[::1]:80/", "2130706433/", "localhost:8441/"],
)
def test_addresses_that_nobody_listed_are_not_reached(page: Page, installation: Installation, path: str) -> None:
    answer = page.goto(f"{installation.portal}/acme/demo-machine/proxy/{path}")
    assert answer is not None
    assert answer.status in {400, 404}


def test_second_machine_opens_without_a_second_sign_in(
    contexts: Callable[..., BrowserContext], ada: SignedIn, installation: Installation
) -> None:
    page = contexts(storage_state=ada.state).new_page()
    page.goto(f"{installation.portal}/acme/demo-machine/hmi/login")
    page.wait_for_url(f"{installation.service_origin(LABEL)}/login")
    other = page.context.new_page()
    other.goto(f"{installation.portal}/acme/demo-machine/panel")
    other.wait_for_url(f"{installation.service_origin('panel--demo-machine--acme')}/**")
