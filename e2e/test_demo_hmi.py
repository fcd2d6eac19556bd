"""The web HMI of the demonstration machine, operated through the whole chain."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.installation import Installation
from e2e.harness.processes import wait_until

LABEL = "hmi--demo-machine--acme"


@pytest.fixture
def hmi(page: Page, installation: Installation) -> Page:
    """The HMI, signed in at the HMI itself: its redirects name its own address on the machine's LAN."""
    page.goto(f"{installation.portal}/acme/demo-machine/hmi")
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("1234")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{installation.service_origin(LABEL)}/panel")
    return page


def test_live_values_move_and_buttons_change_the_machine(hmi: Page) -> None:
    clock = hmi.locator("#time")
    first = clock.inner_text()
    expect(clock).not_to_have_text(first, timeout=5_000)
    hmi.get_by_role("button", name="Stop").click()
    expect(hmi.locator("#speed")).to_have_text(re.compile(r"^0(\.0)?$"), timeout=15_000)
    hmi.get_by_role("button", name="Start").click()
    wait_until("the stirrer turns", lambda: float(hmi.locator("#speed").inner_text().replace(",", ".")) > 0)
    hmi.get_by_label("Set point °C").fill("71.5")
    hmi.get_by_role("button", name="Set", exact=True).click()
    expect(hmi.locator("#target")).to_have_text("71.5")
    shot(hmi, "demo-hmi")


def test_messages_arrive_as_server_sent_events(hmi: Page) -> None:
    expect(hmi.locator("#messages li").first).to_be_visible()


def test_a_report_is_downloaded_under_its_own_name(hmi: Page, tmp_path: Path) -> None:
    with hmi.expect_download() as download:
        hmi.get_by_role("link", name="Batch report").click()
    assert download.value.suggested_filename == "Chargenbericht Rührwerk.csv"
    download.value.save_as(tmp_path / "report.csv")
    assert "Peak °C" in (tmp_path / "report.csv").read_text()


def test_a_long_streamed_download_is_whole(hmi: Page, tmp_path: Path) -> None:
    with hmi.expect_download() as download:
        hmi.get_by_role("link", name="Archive").click()
    download.value.save_as(tmp_path / "archive.csv")
    assert (tmp_path / "archive.csv").read_bytes().count(b"\r\n") == 200_001


def test_a_recipe_is_uploaded_whole(hmi: Page, tmp_path: Path) -> None:
    recipe = tmp_path / "Blau 7.rcp"
    recipe.write_bytes(bytes(range(256)) * 8192)
    hmi.get_by_label("Recipe", exact=True).set_input_files(recipe)
    hmi.get_by_role("button", name="Load").click()
    expect(hmi.locator("#recipe")).to_have_text("Blau 7")


def test_the_machine_sees_nothing_of_us(hmi: Page) -> None:
    """Scripts of the page reach neither our cookie nor the portal."""
    assert "__Host" not in hmi.evaluate("document.cookie")


def test_no_error_in_the_console(page: Page, installation: Installation) -> None:
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{installation.portal}/acme/demo-machine/hmi/login")
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("1234")
    page.get_by_role("button", name="Sign in").click()
    first = page.locator("#time").inner_text()
    expect(page.locator("#time")).not_to_have_text(first)
    assert errors == []


def test_signing_out_ends_the_open_panel(
    contexts: Callable[..., BrowserContext], ada: SignedIn, installation: Installation
) -> None:
    context = contexts()
    page = context.new_page()
    page.goto(f"{installation.portal}/acme/demo-machine/hmi/login")
    ada.person.sign_in(page)
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("1234")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#link")).to_have_text("live", ignore_case=True)
    portal = context.new_page()
    portal.goto(f"{installation.portal}/machines")
    portal.get_by_label("User menu").click()
    portal.get_by_role("button", name="Sign out").click()
    expect(page.locator("#link")).not_to_have_text("live", ignore_case=True, timeout=3_000)
    answer = page.goto(f"{installation.service_origin(LABEL)}/panel")
    assert answer is not None
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
