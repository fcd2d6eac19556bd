from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from e2e.harness.administrator import Administrator
from e2e.harness.installation import Installation
from e2e.harness.person import Person
from e2e.harness.processes import REPOSITORY

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SHOTS = REPOSITORY / "shots"


# With the demonstration's tests in one process; the rest, which makes networks of its own, is the other process's.
BESIDE = {"test_attacks", "test_bad_devices", "test_hard_coded_addresses", "test_hmi_servers", "test_oddities"}


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the demonstration: its addresses exist once, so only one process may run these tests."""
    for item in items:
        if "installation" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.demonstration)
        elif item.path.stem in BESIDE:
            item.add_marker(pytest.mark.beside)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert Path(CHROMIUM).exists(), "Chromium is missing: run `make setup-test`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What `make run` starts, with the demonstration machine."""
    running = Installation(tmp_path_factory.mktemp("demo"), demo=True)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@dataclass
class SignedIn:
    """The administrator after the first visit; `state` is what the browser keeps."""

    person: Person
    state: Any
    recovery_codes: list[str]
    api: Administrator


def session_token(context: BrowserContext) -> str:
    return next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "__Host-pgs")


@pytest.fixture(scope="session")
def ada(installation: Installation, browser: Browser) -> SignedIn:
    """The first visit, in the browser, once."""
    person = Person("acme", "ada")
    context = new_context(browser)
    page = context.new_page()
    assert installation.link is not None
    codes = person.set_up(page, installation.link, account_name="Acme Mixers")
    page.wait_for_url("**/machines")
    shot(page, "first-machines")
    state = context.storage_state()
    api = Administrator.of_session(installation, person, session_token(context))
    context.close()
    return SignedIn(person, state, codes, api)


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    options.setdefault("viewport", {"width": 1280, "height": 800})
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    return context


def shot(page: Page, name: str) -> None:
    """Keep a picture for a person to look at."""
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def signed_in(browser: Browser, token: str, name: str = "__Host-pgs") -> BrowserContext:
    """A browser that has a portal session already."""
    cookie: Any = {"name": name, "value": token, "domain": "portal.localhost", "path": "/", "sameSite": "Lax"}
    return new_context(
        browser, storage_state={"cookies": [{**cookie, "expires": -1, "secure": True, "httpOnly": True}]}
    )


@pytest.fixture
def contexts(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Browsers of different people: each call is a new, empty profile."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        made.append(new_context(browser, **options))
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def page(contexts: Callable[..., BrowserContext], ada: SignedIn) -> Page:
    """A page of the administrator, signed in."""
    return contexts(storage_state=ada.state).new_page()


@pytest.fixture
def cold(contexts: Callable[..., BrowserContext], ada: SignedIn) -> Page:
    """A page of a browser that has never been here."""
    return contexts().new_page()
