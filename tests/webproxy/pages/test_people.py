import pytest

from tests.fakes.portal_access import PASSWORD, FakeAccess
from tests.fakes.portal_browser import browse, moved, page


async def test_the_list_says_who_cannot_sign_in():
    async with browse() as client:
        seen = await page(client, "/people")
        for word in ("Locked", "Disabled", "Second factor not set up", "Sam Öztürk"):
            assert word in seen.words
        assert "Nobody found" in (await page(client, "/people?q=zebra")).words


async def test_adding():
    access = FakeAccess()
    async with browse(access) as client:
        await page(client, "/people/new")
        assert (
            await moved(client, "/people/new", user="kim", password=PASSWORD, role="member")
            == "/people/u2?done=user-added"
        )
        assert access.calls[-1][2] == {"user": "kim", "display_name": "kim", "role": "member", "password": PASSWORD}
        assert (
            "already" in (await page(client, "/people/new", 422, user="jana", password=PASSWORD, role="member")).words
        )
        assert "Use at least" in (await page(client, "/people/new", 422, user="", password="x", role="king")).words


@pytest.mark.parametrize(
    ("act", "done"), [("disable", "user-changed"), ("reset-factor", "factor-reset"), ("unlock", "user-unlocked")]
)
async def test_acts(act, done):
    async with browse() as client:
        assert await moved(client, f"/people/u2/{act}", _="") == f"/people/u2?done={done}"


async def test_enable_change_remove():
    access = FakeAccess()
    async with browse(access) as client:
        await moved(client, "/people/u4/disable", disabled="no")
        assert access.calls[-1][2] == {"disabled": False}
        await moved(client, "/people/u2", display_name="Milo B.", role="administrator", password="a new password")
        assert access.calls[-1][2] == {"display_name": "Milo B.", "role": "administrator", "password": "a new password"}
        await page(client, "/people/u2", 422, display_name="", role="member")
        assert await moved(client, "/people/u2/remove", _="") == "/people?done=user-removed"
        await page(client, "/people/nobody", 404)


async def test_permissions_keep_what_the_form_did_not_show():
    access = FakeAccess()
    access.grants = {"all": None, "devices": {"d-hidden": "see", "d-press-4": "operate"}, "services": {"s": "watch"}}
    async with browse(access) as client:
        form = {"all": "watch", "device-d-press-4": "", "device-d-packer": "manage"}
        assert await moved(client, "/people/u2/grants", **form) == "/people/u2?done=grants-saved"
        assert access.grants == {
            "all": "watch",
            "devices": {"d-hidden": "see", "d-packer": "manage"},
            "services": {"s": "watch"},
        }
        await page(client, "/people/u2/grants", 422, all="king")


async def test_members_do_not_come_here():
    async with browse(FakeAccess(role="member")) as client:
        for path in ("/people", "/people/new", "/people/u2"):
            await page(client, path, 403)
        assert "/people" not in (await client.get("/machines")).text
