from panelgate.names import Sites
from tests.fakes.portal_access import PASSWORD, FakeAccess
from tests.fakes.portal_browser import browse, moved, page


async def test_sessions_are_named_and_can_be_ended():
    async with browse() as client:
        seen = await page(client, "/settings")
        assert "Chrome on Windows" in seen.words
        assert "Safari on iPhone" in seen.words
        assert await moved(client, "/settings/sessions/s2/end", _="") == "/settings?done=session-ended"


async def test_administrators_are_told_that_panels_share_one_address():
    warning = "All panels share one address"
    for sites, role, told in (
        (Sites(apps="apps.localhost"), "administrator", True), (Sites(apps="apps.localhost"), "member", False),
        (Sites(), "administrator", False),
    ):  # fmt: skip
        async with browse(FakeAccess(role=role), sites=sites) as client:
            for path in ("/settings", "/machines/press-4"):
                assert (warning in (await page(client, path)).words) is told


async def test_password():
    async with browse() as client:
        good = {"current": PASSWORD, "new": "another sentence", "repeated": "another sentence"}
        assert await moved(client, "/settings/password", **good) == "/settings?done=password-changed"
        assert "differ" in (await page(client, "/settings/password", 422, **(good | {"repeated": "x"}))).words
        assert (
            "not your present password"
            in (await page(client, "/settings/password", 422, **(good | {"current": "x"}))).words
        )


async def test_recovery_codes():
    async with browse() as client:
        assert "n0fw-9pxm-t0qa" in (await page(client, "/settings/recovery-codes", password=PASSWORD)).words
        assert "not your present password" in (await page(client, "/settings/recovery-codes", 422, password="x")).words


async def test_account_name():
    access = FakeAccess()
    async with browse(access) as client:
        assert await moved(client, "/settings/account", name="Alpine") == "/settings?done=account-saved"
        await page(client, "/settings/account", 422, name=" ")
    async with browse(FakeAccess(role="member")) as client:
        await page(client, "/settings/account", 403, name="x")
        assert "/settings/account" not in (await client.get("/settings")).text
