"""Who reaches what: another account, a colleague without permission, the same after permission is taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.installation import Installation
from e2e.harness.person import PASSWORD, Person


@pytest.fixture(scope="module")
def bob(ada: SignedIn) -> Person:
    ada.api.call(
        "POST", "/admin/v1/users", {"user": "bob", "display_name": "Bob Watt", "role": "member", "password": PASSWORD}
    )
    return Person("acme", "bob")


def sign_in_first_time(page: Page, person: Person, portal: str) -> None:
    page.goto(f"{portal}/sign-in")
    page.get_by_label("Account").fill(person.account)
    page.get_by_label("User").fill(person.user)
    page.get_by_label("Password", exact=True).fill(person.password)
    page.get_by_role("button", name="Sign in").click()
    person.enrol(page)
    page.wait_for_url("**/machines")


def test_a_member_sees_and_reaches_only_what_was_given(
    contexts: Callable[..., BrowserContext], installation: Installation, ada: SignedIn, bob: Person
) -> None:
    page = contexts().new_page()
    sign_in_first_time(page, bob, installation.portal)
    expect(page.locator("[data-device]")).to_have_count(0)
    shot(page, "member-empty")
    answer = page.goto(f"{installation.portal}/acme/demo-machine/hmi")
    assert answer is not None
    assert answer.status == 404
    assert page.goto(f"{installation.portal}/people").status in {403, 404}  # type: ignore[union-attr]

    users = ada.api.call("GET", "/admin/v1/users")["users"]
    bob_id = next(user["id"] for user in users if user["name"] == "bob" or user.get("user") == "bob")
    device = ada.api.call("GET", "/webproxy/v1/devices/demo-machine")
    ada.api.call("PUT", f"/admin/v1/users/{bob_id}/grants", {"all": None, "devices": {device["id"]: "operate"}})
    page.goto(f"{installation.portal}/acme/demo-machine/hmi/login")
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("1234")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#link")).to_have_text("live", ignore_case=True)

    # Taken away again: the live page is cut within two seconds, and the next request is refused.
    ada.api.call("PUT", f"/admin/v1/users/{bob_id}/grants", {"all": None, "devices": {}})
    expect(page.locator("#link")).not_to_have_text("live", ignore_case=True, timeout=2_500)
    answer = page.reload()
    assert answer is not None
    assert answer.status >= 400
    shot(page, "permission-taken")


def test_ten_wrong_passwords_lock_even_the_right_one_out(
    contexts: Callable[..., BrowserContext], installation: Installation, ada: SignedIn
) -> None:
    ada.api.call(
        "POST", "/admin/v1/users", {"user": "eve", "display_name": "Eve", "role": "member", "password": PASSWORD}
    )
    page = contexts().new_page()
    for attempt in range(11):
        page.goto(f"{installation.portal}/sign-in")
        page.get_by_label("Account").fill("acme")
        page.get_by_label("User").fill("eve")
        page.get_by_label("Password", exact=True).fill("wrong" if attempt < 10 else PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("minutes")
    shot(page, "locked-out")
