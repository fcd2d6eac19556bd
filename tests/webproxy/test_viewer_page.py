"""The viewer page in a real Chromium, over the real bridge, at a real TigerVNC server with X programs on it."""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from panelgate.errors import Unavailable
from tests.fakes.rfb_panel import RfbPanel
from tests.fakes.vnc_site import FakeWeb, VncSite
from webproxy.forward.vncend import End

pytestmark = pytest.mark.slow

PASSWORD = "plc12345"
DISPLAY, PORT = ":67", 28967
CHROMIUM_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NO_PICTURE = struct.pack(">BxH", 0, 0)
GREEN, WHITE = [0, 255, 0], [255, 255, 255]


class Panel:
    """TigerVNC with one X program: a window that is green, and one that shows what is typed at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        secret = await self._output("tigervncpasswd", "-f", given=PASSWORD.encode() + b"\n")
        (self.folder / "pw").write_bytes(secret)
        await self._run(
            "Xtigervnc", DISPLAY, "-rfbport", str(PORT), "-localhost", "-SecurityTypes", "VncAuth", "-PasswordFile",
            str(self.folder / "pw"), "-geometry", "400x300", "-depth", "24", "-AlwaysShared", "-noreset",
        )  # fmt: skip
        async with asyncio.timeout(10):
            while not await self._listens():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        await self._run("xlogo", "-display", DISPLAY, "-geometry", "400x300+0+0", "-bg", "#00ff00", "-fg", "#00ff00")

    async def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        self.processes.clear()

    async def watch_events(self) -> None:
        """A white window over everything that writes the events it gets into a file."""
        with (self.folder / "xev").open("wb") as output:
            await self._run(
                "xev", "-display", DISPLAY, "-geometry", "400x300+0+0", output=output
            )  # fmt: skip

    def events(self) -> str:
        return (self.folder / "xev").read_text()

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            return False
        writer.close()
        return True

    async def _run(self, *command: str, output: Any = asyncio.subprocess.DEVNULL) -> None:
        assert shutil.which(command[0]), f"{command[0]} is not installed: run make test, which installs it"
        self.processes.append(
            await asyncio.create_subprocess_exec(*command, stdout=output, stderr=asyncio.subprocess.DEVNULL)
        )

    async def _output(self, *command: str, given: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate(given))[0]


@pytest.fixture
async def panel(tmp_path: Path) -> AsyncIterator[Panel]:
    panel = Panel(tmp_path)
    await panel.start()
    yield panel
    await panel.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        yield browser
        await browser.close()


@asynccontextmanager
async def viewing(browser: Browser, web: FakeWeb, **options: Any) -> AsyncIterator[tuple[Page, VncSite]]:
    async with VncSite(web) as site:
        context = await browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        await page.goto(site.address)
        yield page, site
        assert errors == []
        await context.close()


async def connected(page: Page) -> None:
    await expect(page.locator("body")).to_have_attribute("data-state", "connected", timeout=10_000)


async def colour(page: Page, selector: str = "#picture canvas") -> list[int]:
    """The colour in the middle of the canvas."""
    found: list[int] = await page.locator(selector).evaluate(
        "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data].slice(0, 3)"
    )
    return found


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await check():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def shows(page: Page, wanted: list[int]) -> None:
    async def check() -> bool:
        return await colour(page) == wanted

    await until(check)


async def test_pixels_keys_clicks_and_clipboard(panel: Panel, browser: Browser) -> None:
    async with viewing(browser, FakeWeb(PORT, PASSWORD)) as (page, site):
        await connected(page)
        await expect(page).to_have_title("Press 7 · Operator panel")
        await shows(page, GREEN)
        await panel.watch_events()
        await shows(page, WHITE)
        box = await page.locator("#picture canvas").bounding_box()
        assert box is not None
        assert box["height"] == pytest.approx(800, abs=2)  # fitted: 400x300 fills the height
        await page.mouse.click(640, 400)
        await page.keyboard.press("Shift+H")
        await page.keyboard.press("7")

        async def arrived() -> bool:
            seen = panel.events()
            return all(word in seen for word in ("ButtonRelease", "keysym 0x48, H", "keysym 0x37, 7"))

        await until(arrived)
        # By keyboard into the bar, through its buttons, and back to the panel.
        await page.keyboard.press("Control+Alt+Shift")
        await expect(page.locator("#scale")).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#fullscreen")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.locator("#picture canvas")).to_be_focused()
        await page.mouse.move(640, 2)
        await page.locator("#cad").click()

        async def deleted() -> bool:
            return "Delete" in panel.events()

        await until(deleted)
        await page.mouse.move(640, 2)
        await page.locator("#clipboard").click()
        await page.locator("#clip-out").fill("kg5")
        await page.locator("#clip-type").click()

        async def typed() -> bool:
            return all(f"keysym {key}" in panel.events() for key in ("0x6b, k", "0x67, g", "0x35, 5"))

        await until(typed)
        await page.mouse.move(640, 2)
        await page.locator("#clipboard").click()
        await page.locator("#clip-send").click()
        await expect(page.locator("#clip-said")).to_contain_text("clipboard")
        bridge = site.bridges[0]
        assert bridge._messages.dropped == 0


async def test_a_panel_that_dies_and_comes_back(panel: Panel, browser: Browser) -> None:
    web = FakeWeb(PORT, PASSWORD)
    async with viewing(browser, web) as (page, _):
        await connected(page)
        await shows(page, GREEN)
        await panel.stop()
        await expect(page.locator("#veil-title")).to_have_text("VNC is not answering on the panel", timeout=10_000)
        await expect(page.locator("#veil-clock")).to_contain_text("Picture from")
        assert await colour(page, "#last") == GREEN  # the last picture stays under the veil
        await panel.start()
        await connected(page)
        await expect(page.locator("#veil")).to_be_hidden()
        await expect(page.locator("#last")).to_be_hidden()
        await shows(page, GREEN)


async def test_a_refused_password_is_said_once(panel: Panel, browser: Browser) -> None:
    web = FakeWeb(PORT, "wrong")
    async with viewing(browser, web) as (page, site):
        await expect(page.locator("#veil-title")).to_have_text("The panel refused the password")
        await expect(page.locator("#veil-said")).to_contain_text("Authentication failure")
        await expect(page.locator("#veil-reference-text")).to_have_text(site.bridges[0].reference)
        await expect(page.locator("#veil-again")).to_be_focused()
        await asyncio.sleep(2.5)
        assert len(site.bridges) == 1
        web.password = PASSWORD
        await page.keyboard.press("Enter")
        await connected(page)


async def test_offline_and_back_then_signed_out(panel: Panel, browser: Browser) -> None:
    web = FakeWeb(PORT, PASSWORD)
    web.circuit_error = Unavailable("device_offline", facts={"since": "2026-01-31T12:00:00Z"})
    async with viewing(browser, web) as (page, site):
        await expect(page.locator("#veil-title")).to_have_text("The machine is offline")
        await expect(page.locator("#veil-clock")).to_contain_text("Offline since")
        web.circuit_error = None
        await connected(page)
        web.permit("watch")
        await expect(page.locator("#watch-badge")).to_be_visible()
        await page.locator("#handle").click()
        await expect(page.locator("#cad")).to_be_hidden()
        web.emit({"type": "session.ended", "session_id": web.session.session_id})
        await expect(page.locator("#veil-title")).to_have_text("Your session has ended", timeout=2000)
        await expect(page.locator("#veil-sign-in")).to_be_focused()
        assert [bridge.ended for bridge in site.bridges] == [End.DEVICE_OFFLINE, End.SESSION_ENDED]


async def test_on_a_phone_the_keyboard_is_one_tap_away(panel: Panel, browser: Browser) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with viewing(browser, FakeWeb(PORT, PASSWORD), **options) as (page, _):
        await connected(page)
        await panel.watch_events()
        await shows(page, WHITE)
        await page.locator("#handle").tap()
        for button in ("scale", "keyboard", "cad", "clipboard", "disconnect"):
            box = await page.locator(f"#{button}").bounding_box()
            assert box is not None
            assert round(box["height"]) >= 44
            assert round(box["width"]) >= 44
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
        await page.locator("#keyboard").tap()
        await expect(page.locator("#typing")).to_be_focused()
        await expect(page.locator("#keyboard")).to_have_attribute("aria-pressed", "true")
        await page.keyboard.insert_text("m3")
        await page.keyboard.press("Backspace")
        await page.keyboard.press("Enter")

        async def arrived() -> bool:
            return all(word in panel.events() for word in ("0x6d, m", "0x33, 3", "BackSpace", "Return"))

        await until(arrived)
        await page.locator("#disconnect").tap()
        await expect(page.locator("#veil-title")).to_have_text("Disconnected")
        await page.locator("#veil-again").tap()
        await connected(page)


async def test_the_modules_own_sums(browser: Browser) -> None:
    """Pure functions of the page's modules, in the browser that runs them."""
    web = FakeWeb(1)
    web.circuit_error = Unavailable("access_down")
    async with viewing(browser, web) as (page, _):
        answers = await page.evaluate(
            """async () => {
                const plan = await import("/.pg/static/js/viewer/plan.js");
                const { difference } = await import("/.pg/static/js/viewer/typing.js");
                const words = await import("/.pg/static/js/viewer/words.js");
                const ends = { 4002: { key: "panel_refused", after: "ask" } };
                return {
                    waits: [0, 1, 5, 99].map((tries) => plan.wait(tries, () => 0)),
                    jitter: plan.wait(2, () => 1),
                    ours: plan.read(4002, "0123abcd Zu viele Versuche", ends),
                    bare: plan.read(4002, "", ends),
                    lost: plan.read(1006, "", ends).after,
                    moments: ["2026-01-31T12:00:00Z", "soon", ""].map((t) => plan.moment(t)?.toISOString() ?? null),
                    typed: [["··", "··a"], ["··ab", "··"], ["··teh", "··the "], ["··", "··ä😀"]]
                        .map((pair) => difference(...pair)),
                    durations: [0, 59, 61, 3660, 200000].map(words.duration),
                    sizes: [0, 999, 1500, 123456, 7.8e9].map(words.size),
                };
            }"""
        )
        assert answers == {
            "waits": [1, 2, 30, 30],
            "jitter": 5,
            "ours": {"key": "panel_refused", "after": "ask", "reference": "0123abcd", "detail": "Zu viele Versuche"},
            "bare": {"key": "panel_refused", "after": "ask", "reference": "", "detail": ""},
            "lost": "again",
            "moments": ["2026-01-31T12:00:00.000Z", None, None],
            "typed": [
                {"erase": 0, "insert": ["a"]},
                {"erase": 2, "insert": []},
                {"erase": 2, "insert": ["h", "e", " "]},
                {"erase": 0, "insert": ["ä", "😀"]},
            ],
            "durations": ["0 s", "59 s", "1 min 01 s", "1 h 01 min", "2 days"],
            "sizes": ["0 B", "999 B", "1.5 kB", "123 kB", "7.8 GB"],
        }


async def test_the_own_size_and_full_screen(panel: Panel, browser: Browser) -> None:
    async with viewing(browser, FakeWeb(PORT, PASSWORD)) as (page, _):
        await connected(page)
        await page.mouse.move(640, 2)
        await page.locator("#scale").click()
        await expect(page.locator("#scale")).to_have_attribute("aria-pressed", "false")
        box = await page.locator("#picture canvas").bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (400, 300)
        await page.reload()  # remembered
        await connected(page)
        await expect(page.locator("#scale")).to_have_text("1:1")
        await page.mouse.move(640, 2)
        await page.locator("#fullscreen").click()
        await expect(page.locator("#fullscreen")).to_have_attribute("aria-pressed", "true")


async def test_clipboard_text_both_ways(browser: Browser) -> None:
    async with RfbPanel() as panel, viewing(browser, FakeWeb(panel.port)) as (page, site):
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await expect(page.locator("#veil")).to_be_visible()

        async def opened() -> bool:
            return bool(panel.shared)

        await until(opened)
        await asyncio.sleep(0.2)
        panel.send(NO_PICTURE)
        await connected(page)
        text = "Rezept 9: 80 °C".encode("latin-1")
        panel.send(struct.pack(">BxxxI", 3, len(text)) + text)
        await page.mouse.move(640, 2)
        await page.locator("#clipboard").click()
        await expect(page.locator("#clip-in")).to_have_value("Rezept 9: 80 °C")
        await page.locator("#clip-copy").click()
        await expect(page.locator("#clip-said")).to_have_text("Copied.")
        panel.received.clear()
        await page.locator("#clip-read").click()

        async def pasted() -> bool:
            return struct.pack(">BxxxI", 6, len(text)) + text in panel.received

        await until(pasted)
        await page.locator("#clip-out").press("Escape")
        await expect(page.locator("#clipboard-box")).to_be_hidden()
        assert site.bridges[0].ended is None


async def test_two_people_at_one_panel(panel: Panel, browser: Browser) -> None:
    async with (
        viewing(browser, FakeWeb(PORT, PASSWORD)) as (one, _),
        viewing(browser, FakeWeb(PORT, PASSWORD, "watch")) as (two, site),
    ):
        await connected(one)
        await connected(two)
        await shows(one, GREEN)
        await shows(two, GREEN)
        await panel.watch_events()
        await shows(two, WHITE)
        await expect(two.locator("#watch-badge")).to_be_visible()
        await two.mouse.click(640, 400)
        await two.keyboard.press("9")
        await one.mouse.click(640, 400)
        await one.keyboard.press("8")

        async def arrived() -> bool:
            return "0x38, 8" in panel.events()

        await until(arrived)
        assert "0x39, 9" not in panel.events()
        assert site.bridges[0].ended is None


async def test_a_lost_line_and_a_lost_session_look_alike_to_a_websocket_but_not_to_a_person(browser: Browser) -> None:
    async with RfbPanel() as panel, viewing(browser, FakeWeb(panel.port)) as (page, site):
        site.deaf = True
        for bridge in site.bridges:
            bridge._abort()
        await expect(page.locator("#veil-title")).to_have_text("The connection was lost")
        await expect(page.locator("#veil-clock")).to_contain_text("Next try in")
        site.signed_out = True  # seen at the next try, which the page makes by itself
        await expect(page.locator("#veil-title")).to_have_text("Your session has ended", timeout=15_000)
        await expect(page.locator("#veil-sign-in")).to_be_focused()
