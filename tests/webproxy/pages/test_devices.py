import pytest

from tests.fakes.portal_access import FakeAccess, three
from tests.fakes.portal_browser import browse, moved, page
from webproxy.pages import devices


async def test_adding_shows_the_command_at_once():
    access = FakeAccess([])
    async with browse(access) as client:
        await page(client, "/add-machine")
        seen = await page(client, "/add-machine", name="Säge 9", site="Hall 2", lan="192.168.0.5/24, 10.0.0.0/8")
        assert "panelgate agent enrol" in seen.words
        body = next(body for method, path, body in access.calls if path == "/admin/v1/devices")
        assert body == {
            "name": "Säge 9",
            "slug": "sage-9",
            "site": "Hall 2",
            "description": "",
            "lan": ["192.168.0.0/24", "10.0.0.0/8"],
        }


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": " "}, "Give the machine a name"),
        ({"name": "!!"}, "short name"),
        ({"name": "A", "slug": "a--b"}, "single hyphens"),
        ({"name": "A", "lan": "the hall"}, "is no network"),
        ({"name": "Press 4"}, "already"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field(form, said):
    async with browse() as client:
        seen = await page(client, "/add-machine", 422, **form)
        assert said in seen.words
        assert "is-invalid" in str(seen.tags)


async def test_change_remove_release():
    access = FakeAccess()
    async with browse(access) as client:
        seen = await page(client, "/machines/press-4/edit")
        assert "2 connections will be cut" in seen.words
        assert (
            await moved(client, "/machines/press-4/edit", name="Press IV") == "/machines/press-4?done=machine-changed"
        )
        assert await moved(client, "/machines/press-4/release", _="") == "/machines/press-4?done=machine-released"
        assert await moved(client, "/machines/press-4/remove", _="") == "/machines?done=machine-removed"
        assert ("DELETE", "/admin/v1/devices/d-press-4", None) in access.calls


async def test_only_for_those_who_manage_it():
    rows = three()
    rows[2]["may"] = ["see", "operate"]
    async with browse(FakeAccess(rows, role="member")) as client:
        await page(client, "/machines/press-4/edit", 403)
        await page(client, "/machines/press-4/remove", 403, _="")
        await page(client, "/add-machine", 403)


def test_fields_of_sparse_device():
    assert devices.fields_of({"name": "A", "slug": "a"})["lan"] == ""


async def test_the_firewall_level():
    access = FakeAccess()
    async with browse(access) as client:
        seen = await page(client, "/machines/press-4/edit")
        assert [box["value"] for box in seen.all("input", name="level") if "checked" in box] == ["enforced"]
        await moved(client, "/machines/press-4/edit", name="Press 4", level="standard")
        (body,) = [body for method, path, body in access.calls if (method, path[-9:]) == ("PATCH", "d-press-4")]
        assert body["level"] == "standard"
        wrong = await page(client, "/machines/press-4/edit", 422, name="Press 4", level="open")
        assert "Choose a firewall level." in wrong.words
        assert not (await page(client, "/add-machine")).all("input", name="level")
