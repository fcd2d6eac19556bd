from tests.fakes.portal_access import FakeAccess, device, service, three
from tests.fakes.portal_browser import browse, moved, page


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


async def test_what_links_opened_is_for_managers_to_keep_or_remove():
    rows = three()
    made = service("press-4", "ip-192-168-0-99-8080", "192.168.0.99:8080", 8080, "http", visible=False, kind="adhoc")
    rows[2]["services"].append(made)
    access = FakeAccess(rows)
    async with browse(access) as client:
        seen = await page(client, "/machines/press-4")
        assert "Opened by links" in seen.words
        assert seen.all("button", **{"aria-label": "Keep 192.168.0.99:8080 as a panel"})
        assert not seen.all("a", id=f"s-{made['id']}")
        keep = f"/machines/press-4/services/{made['id']}/keep"
        assert seen.all("form", action=keep)
        assert await moved(client, keep, _="") == f"/machines/press-4/services/{made['id']}?done=service-kept"
        assert ("POST", f"/admin/v1/services/{made['id']}/keep", None) in access.calls
        assert "Enforced" in seen.words
    rows[2]["may"] = ["see", "operate"]
    async with browse(FakeAccess(rows, role="member")) as client:
        await page(client, keep, 403, _="")
    rows[2]["services"].pop()
    async with browse(FakeAccess(rows)) as client:
        assert "Opened by links" not in (await page(client, "/machines/press-4")).words


async def test_one_panel_and_what_links_opened_is_still_one_panel():
    rows = three()
    rows[0]["services"].append(service("furnace-2", "ip-1", "192.168.0.9:1", 1, "http", visible=False, kind="adhoc"))
    async with browse(FakeAccess(rows)) as client:
        assert (await moved(client, "/alpine/furnace-2")).startswith("http://hmi--furnace-2--alpine.")
