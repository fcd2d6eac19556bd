import pytest

from panelgate.errors import BadInput, Broken, Refused, Unavailable
from tests.fakes.portal_access import FakeAccess
from tests.fakes.portal_browser import ORIGIN, browse, moved, page
from webproxy.pages.session import problem_of


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://hmi--press-4--alpine.apps.localhost:8080",
        ORIGIN + ".evil.example",
        "http://portal.localhost",
    ],
)
async def test_unsafe_requests_of_others_do_nothing(origin):
    access = FakeAccess()
    async with browse(access, origin=origin) as client:
        for path in ("/machines/press-4/remove", "/sign-out", "/sign-in", "/settings/password", "/people/u2/remove"):
            await page(client, path, 403, _="")
    assert access.calls == []


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 303), ("none", 303), ("same-site", 403), ("cross-site", 403), (None, 403)]
)
async def test_without_origin_the_fetch_metadata_decide(site, status):
    async with browse(origin=None) as client:
        headers = {"sec-fetch-site": site} if site else {}
        assert (await client.post("/sign-out", headers=headers)).status_code == status


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [
        ("no-cors", "image"), ("no-cors", "script"), ("no-cors", "empty"), ("cors", "empty"), ("navigate", "iframe"),
        ("navigate", "frame"), ("navigate", "object"), ("navigate", "embed"), ("websocket", "empty"),
    ],
)  # fmt: skip
async def test_what_another_origins_page_embeds_does_nothing(site, mode, dest):
    access = FakeAccess()
    async with browse(access, origin=None) as client:
        headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
        for path in ("/machines", "/live", "/alpine/press-4/proxy/10.0.0.5/", "/launch?host=a&n=b&state=c", "/people"):
            assert (await client.get(path, headers=headers)).status_code == 403
        assert access.calls == []
        went = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (await client.get("/machines", headers=went)).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sec-purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"), ("purpose", "prefetch"), ("purpose", "prerender"),
        ("x-moz", "prefetch"),
    ],
)  # fmt: skip
async def test_what_a_browser_only_guesses_opens_nothing(name, value):
    access = FakeAccess()
    async with browse(access) as client:
        for path in ("/alpine/press-4/proxy/10.0.0.5:8080/", "/alpine/press-4/hmi/set?speed=9", "/machines"):
            answer = await client.get(path, headers={"sec-fetch-site": "none", name: value})
            assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
            assert "set-cookie" not in answer.headers
    assert access.calls == []


async def test_two_cookies_of_our_name_are_refused():
    async with browse(token=None) as client:
        answer = await client.get("/machines", headers={"cookie": "__Host-pgs=full-token; a=b; __Host-pgs=x"})
        assert answer.status_code == 400
        assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "cookie", [b"\xa0__Host-pgs=full-token", b"\x85__Host-pgs=full-token", b"__host-pgs=full-token"]
)
async def test_a_cookie_whose_name_is_not_quite_ours_signs_nobody_in(cookie):
    # To a browser these have no __Host- prefix, so a page of any sibling origin may plant them.
    async with browse(token=None) as client:
        answer = await client.get("/machines", headers={b"cookie": cookie})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize("token", [b"\xc3\xa9", b"a b", b"x" * 201, b'"full-token"'])
async def test_a_token_that_can_be_none_is_none(token):
    access = FakeAccess()
    async with browse(access, token=None) as client:
        answer = await client.get("/machines", headers={b"cookie": b"__Host-pgs=" + token})
        assert answer.status_code == 303
    assert access.calls == []


async def test_no_session_leads_to_sign_in_and_back():
    async with browse(token=None) as client:
        assert await moved(client, "/machines?q=a") == "/sign-in?next=/machines%3Fq%3Da"
        assert await moved(client, "/settings/password", current="x") == "/sign-in"
    async with browse(token="stale") as client:
        answer = await client.get("/machines")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        live = await client.get("/machines", headers={"hx-request": "true"})
        assert (live.status_code, live.headers["hx-redirect"]) == (204, "/sign-in")


async def test_an_unfinished_sign_in_is_finished_first():
    async with browse(token="factor-token") as client:
        assert await moved(client, "/machines") == "/sign-in/code"
    async with browse(token="enrol-token") as client:
        assert await moved(client, "/machines") == "/factor"


async def test_a_page_that_refreshes_itself_is_no_activity():
    access = FakeAccess()
    seen = []
    call = access.call

    async def note(method, path, **more):
        seen.append((path, more["background"]))
        return await call(method, path, **more)

    access.call = note  # type: ignore[method-assign]
    async with browse(access) as client:
        await client.get("/machines", headers={"panelgate-live": "1"})
        assert len(seen) > 1
        assert all(background for _, background in seen), "not one call of it counts as activity"
        seen.clear()
        await client.get("/machines")
        assert not any(background for _, background in seen)


async def test_large_and_odd_forms_are_refused():
    async with browse() as client:
        assert (await client.post("/people/new", content=b"x" * 70_000)).status_code == 413
        assert (await client.post("/people/new", content=b"a=\xff\xfe")).status_code == 400


async def test_done_says_only_known_sentences():
    async with browse() as client:
        assert "removed" in (await page(client, "/machines?done=machine-removed")).words
        assert "alert-success" not in (await client.get("/machines?done=You+won")).text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("not_found", status=404), 404),
        (Refused("not_allowed"), 403),
        (Refused("other", "last one"), 403),
        (Unavailable("access_down"), 503),
        (Unavailable("disk_full", "the disk is full", status=507), 507),
        (Unavailable("x", "taken", status=409), 409),
        (BadInput("x", "odd"), 400),
        (Broken("x"), 500),
    ],
)
def test_errors_become_pages(error, status):
    assert problem_of(error).status_code == status
