import pytest
from starlette.routing import Route

from panelgate.errors import Unavailable
from panelgate.names import RESERVED_ACCOUNTS
from tests.fakes.portal_access import FakeAccess
from tests.fakes.portal_browser import Page, browse
from webproxy.pages.routes import routes

PAGES = [
    "/machines",
    "/machines/press-4",
    "/machines/furnace-2",
    "/machines/packer",
    "/add-machine",
    "/machines/press-4/edit",
    "/machines/press-4/connect",
    "/machines/press-4/services/new",
    "/machines/press-4/services/press-4-panel",
    "/activity",
    "/activity/history",
    "/people",
    "/people/new",
    "/people/u1",
    "/people/u2",
    "/settings",
    "/factor",
    "/nope",
]
OUTSIDE = ["/sign-in", "/sign-in?next=/alpine/press-4", "/signed-out"]


def check(html: str) -> None:
    seen = Page(html)
    assert seen.unlabelled() == []
    assert len(seen.all("main")) == 1
    assert len(seen.all("h1")) == 1
    assert seen.all("a", href="#main")
    assert seen.all("html")[0]["lang"] == "en"
    ids = [attrs["id"] for _, attrs in seen.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in seen.tags:
        assert "style" not in attrs, (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        if tag == "script":
            assert attrs["src"].startswith("/static/")
        if tag == "img":
            assert attrs["alt"]
        if tag == "button":
            assert attrs.get("type") in {"submit", "button"}


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_can_be_used_by_everyone(path):
    async with browse() as client:
        check((await client.get(path)).text)


@pytest.mark.parametrize("path", OUTSIDE)
async def test_every_page_outside(path):
    async with browse(token=None) as client:
        check((await client.get(path)).text)


@pytest.mark.parametrize(
    ("token", "path"),
    [("factor-token", "/sign-in/code"), ("factor-token", "/sign-in/recovery"), ("enrol-token", "/factor")],
)
async def test_pages_on_the_way(token, path):
    async with browse(token=token) as client:
        check((await client.get(path)).text)


async def test_setup_page():
    async with browse(FakeAccess(setup_needed=True), token=None) as client:
        check((await client.get("/setup")).text)


@pytest.mark.parametrize("path", PAGES[:-1])
async def test_access_down_is_a_page(path):
    access = FakeAccess()
    access.fail = Unavailable("access_down")
    async with browse(access) as client:
        answer = await client.get(path)
        assert answer.status_code == 503
        check(answer.text)


async def test_missing_optional_data():
    rows = [{"id": "d", "slug": "press-4", "name": "P", "status": "online", "services": [], "may": []}]
    access = FakeAccess(rows)
    access._device = lambda _: rows[0]  # type: ignore[method-assign]
    access.devices = [rows[0] | {"site": "", "open": []}]
    access.users = [{"id": "u2", "name": "m", "display_name": "M", "role": "member", "disabled": False}]
    access.grants = {}
    async with browse(access) as client:
        for path in ("/machines", "/machines/press-4", "/people", "/people/u2", "/activity"):
            answer = await client.get(path)
            assert answer.status_code == 200, path


def test_own_words_are_reserved():
    first = {route.path.split("/")[1] for route in routes if isinstance(route, Route)} - {""}
    assert {word for word in first if not word.startswith("{")} <= RESERVED_ACCOUNTS
