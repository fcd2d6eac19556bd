import pytest

from tests.fakes.portal_access import PASSWORD, FakeAccess
from tests.fakes.portal_browser import browse, moved, page

GOOD = {
    "code": "good-code",
    "account_name": "Alpine Forming",
    "user": "jana",
    "password": PASSWORD,
    "repeated": PASSWORD,
}


async def test_the_first_visit_leads_here_and_on_to_the_second_factor():
    access = FakeAccess(setup_needed=True)
    async with browse(access, token=None) as client:
        assert await moved(client, "/") == "/setup"
        assert await moved(client, "/sign-in") == "/setup"
        answer = await client.post("/setup", data=GOOD)
        assert answer.headers["location"] == "/factor"
        assert "__Host-pgs=enrol-token" in answer.headers["set-cookie"]
        body = access.calls[-1][2]
        assert (body["account"], body["display_name"]) == ("alpine-forming", "jana")
        assert body["client"]["address"] == "10.20.0.7"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"code": ""}, "set-up code"),
        ({"code": "bad"}, "not right"),
        ({"account_name": ""}, "Give the account a name"),
        ({"account": "people"}, "own addresses"),
        ({"user": ""}, "sign in with"),
        ({"password": "short", "repeated": "short"}, "at least"),
        ({"repeated": "other"}, "differ"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_lost(wrong, said):
    async with browse(FakeAccess(setup_needed=True), token=None) as client:
        answer = await client.post("/setup", data=GOOD | wrong)
        assert answer.status_code == 422
        assert said in answer.text
        assert PASSWORD not in answer.text


async def test_only_once_and_sign_up_only_where_allowed():
    access = FakeAccess()
    async with browse(access, token=None) as client:
        assert await moved(client, "/setup") == "/sign-in"
        assert await moved(client, "/sign-up") == "/sign-in"
        access.signup = True
        assert "Create an account" in (await page(client, "/sign-up")).words
        assert await moved(client, "/sign-up", **GOOD) == "/factor"
        assert "code" not in access.calls[-1][2]
