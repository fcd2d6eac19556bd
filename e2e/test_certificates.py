"""A panel with a certificate of its own: added, compared, trusted; and stopped when it shows another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.conftest import SignedIn, shot
from e2e.harness.installation import Installation
from e2e.harness.lan import Machine, fingerprint, self_signed

ADDRESS = "127.0.80.10"  # the demonstration's agent may dial it
MACHINE = "/machines/demo-machine"


def spelled(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, 64, 2)).upper()


@pytest.fixture
def panels(tmp_path: Path) -> Iterator[tuple[Machine, str, Machine, str]]:
    """Two web servers with a certificate each, and their fingerprints: the panel, and what answers in its place."""
    made = [self_signed(tmp_path, name, host=f"IP:{ADDRESS}") for name in ("own", "other")]
    own, other = (Machine(ADDRESS, pair) for pair in made)
    yield own, spelled(fingerprint(made[0][0])), other, spelled(fingerprint(made[1][0]))
    own.stop()
    other.stop()


def test_trust_on_first_use_and_a_changed_certificate(
    installation: Installation, ada: SignedIn, page: Page, panels: tuple[Machine, str, Machine, str],
    contexts: Callable[..., BrowserContext],
) -> None:  # fmt: skip
    own, first, other, second = panels
    ada.api.wait_online("demo-machine", 30)
    page.goto(f"{installation.portal}{MACHINE}/services/new")
    page.get_by_label("Name", exact=True).fill("Drives")
    page.get_by_label("Web page (HTTPS)").check()
    page.get_by_label("Address at the machine").fill(ADDRESS)
    page.get_by_label("Port").fill(str(own.port))
    page.get_by_role("button", name="Add", exact=True).click()

    # Nothing is trusted yet: straight on to where it is looked at.
    expect(page.get_by_role("heading", name="Certificate of Drives")).to_be_visible()
    service = page.url.split("/")[-2]
    panel = contexts(storage_state=ada.state).new_page()
    panel.goto(f"{installation.portal}/acme/demo-machine/drives")
    expect(panel.get_by_role("heading", name="not trusted yet")).to_be_visible()
    expect(panel.locator(".pg-print")).to_have_text(first)
    shot(panel, "certificate-new")
    page.get_by_role("button", name="Show the panel's certificate").click()
    expect(page.locator(".pg-print")).to_have_text(first)
    page.get_by_role("button", name="Trust this certificate").click()
    expect(page.get_by_text("The certificate is trusted.")).to_be_visible()
    panel.get_by_role("button", name="Try again").click()
    expect(panel.get_by_role("heading", name="Press 4")).to_be_visible()
    page.goto(f"{installation.portal}{MACHINE}/services/{service}/certificate")
    page.get_by_role("button", name="Show the panel's certificate").click()
    expect(page.get_by_text("It shows the certificate that is trusted.")).to_be_visible()

    # Something else answers in its place: nobody gets through, both are shown, and it is in the history.
    ada.api.call("PATCH", f"/admin/v1/services/{service}", {"port": other.port})
    panel.reload()
    expect(panel.get_by_role("heading", name="not the certificate that was trusted")).to_be_visible()
    expect(panel.locator(".pg-print")).to_have_text([second, first])
    shot(panel, "certificate-changed")
    panel.get_by_role("link", name="Look at the certificate").click()
    expect(panel).to_have_url(f"{installation.portal}{MACHINE}/services/{service}/certificate")
    panel.get_by_role("button", name="Show the panel's certificate").click()
    expect(panel.get_by_role("alert")).to_contain_text("not the certificate that was trusted")
    expect(panel.locator(".pg-print")).to_have_text([second, first])
    page.goto(f"{installation.portal}/activity/history?action=service")
    expect(page.get_by_text(f"{second[:23]}… instead of the trusted {first[:23]}…")).to_be_visible()
    ada.api.call("DELETE", f"/admin/v1/services/{service}")
