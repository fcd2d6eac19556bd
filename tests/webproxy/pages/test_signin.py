from panelgate.errors import Refused
from tests.fakes.portal_access import PASSWORD, FakeAccess, iso
from tests.fakes.portal_browser import browse, moved, page
from webproxy.pages.signin import locked_page

GOOD = {"account": "Alpine", "user": "jana", "password": PASSWORD, "next": "/alpine/press-4/hmi#frag"}


async def test_password_then_code_then_onward():
    async with browse(token=None) as client:
        answer = await client.post("/sign-in", data=GOOD)
        assert answer.headers["location"] == "/sign-in/code?next=/alpine/press-4/hmi%23frag"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-pgs=factor-token;")
        for word in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
            assert word in cookie
        assert "Domain" not in cookie
    async with browse(token="factor-token") as client:
        answer = await client.post("/sign-in/code", data={"code": "123 456", "next": "/alpine/press-4/hmi#frag"})
        assert answer.headers["location"] == "/alpine/press-4/hmi#frag"
        assert "__Host-pgs=full-token" in answer.headers["set-cookie"]


async def test_the_account_comes_from_the_link():
    async with browse(token=None) as client:
        seen = await page(client, "/sign-in?next=/alpine/press-4")
        assert seen.all("input", name="account")[0]["value"] == "alpine"
        assert "autofocus" in seen.all("input", name="user")[0]


async def test_wrong_ones_are_neutral_and_keep_the_names():
    async with browse(token=None) as client:
        seen = await page(client, "/sign-in", 401, **(GOOD | {"password": "wrong"}))
        assert seen.all("input", name="user")[0]["value"] == "jana"
        other = await page(client, "/sign-in", 401, **(GOOD | {"account": "nobody"}))
        assert seen.words == other.words


async def test_next_never_leads_away():
    async with browse(token="factor-token") as client:
        assert await moved(client, "/sign-in/code", code="123456", next="//evil.example") == "/machines"


async def test_lock_out_says_until_when():
    access = FakeAccess()
    access.locked_until = iso(minutes=-15)
    async with browse(access, token=None) as client:
        answer = await client.post("/sign-in", data=GOOD)
        assert answer.status_code == 429
        assert "minutes" in answer.text
        assert access.locked_until in answer.text


async def test_recovery_codes_and_wrong_codes():
    async with browse(token="factor-token") as client:
        assert await moved(client, "/sign-in/recovery", code=" abcd-efgh-ijkl ") == "/machines"
        assert "not right" in (await page(client, "/sign-in/code", 401, code="000000")).words
        assert "used before" in (await page(client, "/sign-in/recovery", 401, code="x")).words
    async with browse(token="enrol-token") as client:
        assert (await moved(client, "/sign-in/code")).startswith("/factor")


async def test_who_is_signed_in_goes_on():
    async with browse() as client:
        assert await moved(client, "/sign-in?next=/settings") == "/settings"
        assert await moved(client, "/sign-in/code") == "/machines"
        assert await moved(client, "/") == "/machines"


async def test_signing_out_takes_the_cookie():
    async with browse() as client:
        answer = await client.post("/sign-out")
        assert answer.headers["location"] == "/signed-out"
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert (await client.get("/sign-out")).status_code == 404


def test_too_many_tries_from_one_network_are_no_lock_out():
    text = locked_page(Refused("too_many_calls", status=429)).body.decode()
    assert "Wait a minute" in text
    assert "Unlock" not in text
