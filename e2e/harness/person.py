"""A person with a password and an authenticator app, signing in through the real pages."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import pyotp
from playwright.sync_api import Page, expect

from e2e.harness.processes import wait_until

PASSWORD = "Correct-horse-7-battery"  # long enough for every policy


@dataclass
class Person:
    """Credentials as a person knows them; `secret` is what the authenticator app holds."""

    account: str
    user: str
    password: str = PASSWORD
    secret: str = ""
    last_step: int = 0

    def code(self) -> str:
        """A six-digit code that was not used before: waits for the next half minute when it must."""
        wait_until("the next half minute of the authenticator", lambda: int(time.time()) // 30 > self.last_step, 31)
        self.last_step = int(time.time()) // 30
        return pyotp.TOTP(self.secret).now()

    def set_up(self, page: Page, link: str, *, account_name: str) -> list[str]:
        """Follow the link of the first visit through all its pages; the recovery codes."""
        page.goto(link)
        page.get_by_label("Account name").fill(account_name)
        address = page.get_by_label("Address name")
        if address.count():
            address.fill(self.account)
        page.get_by_label("Your name", exact=False).first.fill("Ada Lovelace")
        page.get_by_label("User name").fill(self.user)
        page.get_by_label("Password", exact=True).fill(self.password)
        repeat = page.get_by_label(re.compile("again|repeat", re.IGNORECASE))
        if repeat.count():
            repeat.first.fill(self.password)
        page.get_by_role("button", name=re.compile("create|continue", re.IGNORECASE)).first.click()
        return self.enrol(page)

    def enrol(self, page: Page) -> list[str]:
        """Scan the secret (as text), confirm it, keep the recovery codes."""
        shown = page.locator("[data-secret]").first
        expect(shown).to_be_visible()
        self.secret = (shown.get_attribute("data-secret") or "").replace(" ", "")
        page.get_by_label("code", exact=False).first.fill(self.code())
        page.get_by_role("button", name=re.compile("confirm|continue|switch on", re.IGNORECASE)).first.click()
        codes = page.locator("[data-recovery-code]")
        expect(codes.first).to_be_visible()
        kept = [text.strip() for text in codes.all_inner_texts()]
        stored = page.get_by_role("checkbox")
        if stored.count():
            stored.first.check()
        page.get_by_role("button", name=re.compile("continue|done|machines", re.IGNORECASE)).first.click()
        return kept

    def sign_in(self, page: Page) -> None:
        """From the sign-in page to wherever it leads."""
        page.get_by_label("Account").fill(self.account)
        page.get_by_label("User").fill(self.user)
        page.get_by_label("Password", exact=True).fill(self.password)
        page.get_by_role("button", name=re.compile("sign in|continue", re.IGNORECASE)).click()
        page.get_by_label("code", exact=False).first.fill(self.code())
        page.get_by_role("button", name=re.compile("confirm|continue|sign in", re.IGNORECASE)).first.click()
