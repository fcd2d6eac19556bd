"""A person with a password and an authenticator app, signing in through the real pages."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import pyotp
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

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
        page.get_by_label("Name", exact=True).fill(account_name)
        page.get_by_label("Short name in links").fill(self.account)
        page.get_by_label("Your name").fill(self.user.title())
        page.get_by_label("User, to sign in with").fill(self.user)
        page.get_by_label("Password", exact=True).fill(self.password)
        page.get_by_label("Password again", exact=True).fill(self.password)
        page.get_by_role("button", name="Continue to the second factor").click()
        return self.enrol(page)

    def enrol(self, page: Page) -> list[str]:
        """Type the secret into the app, confirm it, keep the recovery codes."""
        shown = page.locator("#secret")
        expect(shown).to_be_visible()
        self.secret = shown.inner_text().replace(" ", "")
        self._type_code(page, re.compile(r"/factor"))
        codes = page.locator("#codes li")
        expect(codes).to_have_count(10)
        kept = [text.strip() for text in codes.all_inner_texts()]
        page.get_by_label("I have stored them").check()
        page.get_by_role("button", name="Continue").click()
        return kept

    def sign_in(self, page: Page) -> None:
        """From the sign-in page to wherever it leads; the account is filled in only where the page has not done it."""
        account = page.get_by_label("Account")
        if not account.input_value():
            account.fill(self.account)
        page.get_by_label("User").fill(self.user)
        page.get_by_label("Password", exact=True).fill(self.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        self._type_code(page, re.compile(r"/sign-in/code"))

    def _type_code(self, page: Page, address: re.Pattern[str]) -> None:
        page.get_by_label("Code", exact=True).fill(self.code())
        # The page sends six digits by itself; where it has not yet, a person presses the button.
        try:
            page.wait_for_url(lambda url: not address.search(url), timeout=1500)
        except PlaywrightTimeout:
            button = page.get_by_role("button", name="Continue")
            if button.count():
                button.click()
