from tests.fakes.portal_access import FakeAccess
from tests.fakes.portal_browser import browse, moved, page
from webproxy.pages import factor

URI = "otpauth://totp/Panelgate:x?secret=ABCD"


async def test_enrolment_shows_the_secret_as_picture_and_text():
    async with browse(token="enrol-token") as client:
        seen = await page(client, "/factor")
        picture = next(attrs for attrs in seen.all("img"))
        assert picture["src"].startswith("data:image/svg+xml")
        assert picture["alt"]
        assert "JBSW Y3DP" in seen.words


async def test_a_wrong_code_keeps_the_secret():
    access = FakeAccess()
    async with browse(access, token="enrol-token") as client:
        seen = await page(client, "/factor", 401, code="000000", secret="ABCD", uri=URI)
        assert seen.all("input", name="secret")[0]["value"] == "ABCD"
        assert "not right" in seen.words
        assert ("POST", "/webproxy/v1/factor/begin", None) not in access.calls
        assert await moved(client, "/factor", code="000000", secret="x", uri="javascript:alert(1)") == "/factor"


async def test_the_right_code_shows_ten_codes_and_a_new_session():
    async with browse(token="enrol-token") as client:
        answer = await client.post(
            "/factor", data={"code": "123 456", "secret": "ABCD", "uri": URI, "next": "/alpine/press-4"}
        )
        assert answer.text.count("<li><code>") == 10
        assert "__Host-pgs=full-token" in answer.headers["set-cookie"]
        assert 'data-stored="/alpine/press-4"' in answer.text


async def test_replacing_asks_for_the_password():
    access = FakeAccess()
    async with browse(access) as client:
        assert await page(client, "/factor")
        await page(client, "/factor", code="123456", password="pw", secret="ABCD", uri=URI)
        assert access.calls[-1][2] == {"code": "123456", "password": "pw"}


async def test_who_must_give_a_code_cannot_enrol_another():
    async with browse(token="factor-token") as client:
        assert (await moved(client, "/factor")).startswith("/sign-in/code")


def test_groups_of_four():
    assert factor.in_groups("ABCDEFGHIJ") == "ABCD EFGH IJ"
