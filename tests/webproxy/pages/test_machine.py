from tests.fakes.portal_access import FakeAccess, device, service, three
from tests.fakes.portal_browser import browse, page


async def test_services_are_targets_in_a_new_tab():
    async with browse() as client:
        seen = await page(client, "/machines/press-4")
        target = seen.all("a", href="/alpine/press-4/panel")[0]
        assert (target["target"], target["rel"]) == ("_blank", "noopener")
        assert target["aria-label"] == "Open Panel at the door of Press 4 in a new tab"
        assert "The agent's own pages" in seen.words
        assert "Jana Hofer" in seen.words


async def test_offline_and_never_say_what_to_do():
    async with browse() as client:
        assert "The machine is offline" in (await page(client, "/machines/furnace-2")).words
        assert "not connected yet" in (await page(client, "/machines/packer")).words
        await page(client, "/machines/nope", 404)


async def test_names_are_text():
    evil = "<script>alert(1)</script>\"'"
    rows = [device("press-4", evil, evil, "online", [service("press-4", "hmi", evil, 80, "http")])]
    rows[0]["open"] = [{"connection_id": "x", "user": evil, "service": evil, "since": None}]
    async with browse(FakeAccess(rows)) as client:
        for path in ("/machines", "/machines/press-4", "/activity", "/machines/press-4/edit", "/people/u2"):
            text = (await client.get(path)).text
            assert "<script>alert" not in text
            assert "&lt;script&gt;alert" in text


async def test_hidden_services_show_only_to_managers():
    rows = three()
    rows[2]["services"][0]["visible"] = False
    async with browse(FakeAccess(rows)) as client:
        assert "hidden" in (await page(client, "/machines/press-4")).words
    rows[2]["may"] = ["see", "operate"]
    async with browse(FakeAccess(rows)) as client:
        seen = await page(client, "/machines/press-4")
        assert not seen.all("a", href="/alpine/press-4/hmi")
        assert "Add a panel" not in seen.words
