import pytest

from tests.fakes.portal_access import FakeAccess
from tests.fakes.portal_browser import browse, moved, page

GOOD = {"name": "Panel", "protocol": "vnc", "host": "192.168.0.13", "port": "5900", "visible": "yes"}


async def test_adding_and_changing():
    access = FakeAccess()
    async with browse(access) as client:
        assert (
            await moved(client, "/machines/press-4/services/new", **GOOD, password="1234")
            == "/machines/press-4?done=service-added"
        )
        body = access.calls[-1][2]
        assert (body["slug"], body["port"], body["password"], body["visible"]) == ("panel", 5900, "1234", True)
        await moved(client, "/machines/press-4/services/press-4-panel", **GOOD)
        assert "password" not in access.calls[-1][2]
        assert "slug" not in access.calls[-1][2]
        await moved(client, "/machines/press-4/services/press-4-panel", **GOOD, forget_password="yes")
        assert access.calls[-1][2]["password"] == ""
        assert (
            await moved(client, "/machines/press-4/services/press-4-panel/remove", _="")
            == "/machines/press-4?done=service-removed"
        )
        await page(client, "/machines/press-4/services/nope", 404)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "Give the panel a name"),
        ({"host": "plc.local"}, "IP address"),
        ({"port": "0"}, "1 to 65535"),
        ({"protocol": "ftp"}, "how the panel is reached"),
        ({"slug": "proxy"}, "word of deep links"),
        ({"path": "x y"}, "begins with /"),
        ({"protocol": "https", "tls_verify": "pin", "tls_pin": "zz"}, "fingerprint"),
    ],
)
async def test_what_is_wrong_is_said(wrong, said):
    async with browse() as client:
        assert said in (await page(client, "/machines/press-4/services/new", 422, **(GOOD | wrong))).words


async def test_a_password_never_comes_back():
    async with browse() as client:
        text = (await client.get("/machines/press-4/services/press-4-panel")).text
        assert "One is stored" in text
        wrong = await client.post(
            "/machines/press-4/services/press-4-panel", data=GOOD | {"port": "x", "password": "s3cret-pw"}
        )
        assert "s3cret-pw" not in wrong.text


async def test_a_pin_with_colons_is_taken():
    access = FakeAccess()
    pin = ":".join(["AB"] * 32)
    async with browse(access) as client:
        await moved(
            client,
            "/machines/press-4/services/new",
            **(GOOD | {"protocol": "https", "tls_verify": "pin", "tls_pin": pin}),
        )
        assert access.calls[-1][2]["tls_pin"] == "ab" * 32


async def test_a_panel_without_a_trusted_certificate_leads_to_it():
    access = FakeAccess()
    form = GOOD | {"protocol": "https", "tls_verify": "pin", "option_cache": "yes"}
    here = "/machines/press-4/services/press-4-drives"
    async with browse(access) as client:
        assert await moved(client, here, **form) == f"{here}/certificate"
        body = access.calls[-1][2]
        assert (body["tls_verify"], body["tls_pin"]) == ("pin", "")  # what was pinned before is not kept by silence
        assert await moved(client, here, **form, tls_pin="ab" * 32) == "/machines/press-4?done=service-changed"
        assert await moved(client, here, **(form | {"tls_verify": "ca"})) == "/machines/press-4?done=service-changed"
        assert access.calls[-1][2]["tls_pin"] is None


async def test_accepting_any_certificate_is_warned_of():
    access = FakeAccess()
    services = {one["slug"]: one for found in access.devices for one in found["services"]}
    services["drives"] |= {"tls_verify": "none"}
    async with browse(access) as client:
        form = await page(client, "/machines/press-4/services/press-4-drives")
        assert form.all("div", **{"data-when": "tls_verify none"})
        assert "Any certificate is accepted" in (await page(client, "/machines/press-4")).words
        services["drives"] |= {"tls_verify": "pin", "tls_pin": None}
        assert "No certificate is trusted yet" in (await page(client, "/machines/press-4")).words
        for found in access.devices:
            found["may"] = ["see", "watch", "operate"]
        assert "certificate" not in (await page(client, "/machines/press-4")).words
