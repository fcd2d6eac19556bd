from tests.fakes.portal_access import FakeAccess, many
from tests.fakes.portal_browser import browse, page
from webproxy.pages import activity


def test_open_connections_are_listed_longest_first():
    rows = activity.connections(
        [
            {"slug": "a", "open": [{"since": "2026-01-02T00:00:00Z"}]},
            {"slug": "b", "open": [{"since": "2026-01-01T00:00:00Z"}]},
            {"slug": "c"},
        ]
    )
    assert [row["device"]["slug"] for row in rows] == ["b", "a"]


async def test_who_is_connected_now():
    async with browse() as client:
        seen = await page(client, "/activity")
        assert "Jana Hofer" in seen.words
        assert "Milo Brandt" in seen.words
        assert "Press 4" in seen.words


async def test_all_machines_are_looked_at():
    access = FakeAccess(many(1200))
    async with browse(access) as client:
        assert "Jana Hofer" in (await page(client, "/activity")).words
    async with browse(FakeAccess([])) as client:
        assert "Nobody is connected" in (await page(client, "/activity")).words


async def test_history_says_sentences_filters_and_pages():
    async with browse() as client:
        seen = await page(client, "/activity/history")
        assert "jana used hmi on press-4" in seen.words
        assert "Wrong password for milo" in seen.words
        assert seen.all("a", rel="next")[0]["href"] == "/activity/history?before=17"
        assert "jana used" not in (await page(client, "/activity/history?action=device")).words
        assert "Nothing recorded" in (await page(client, "/activity/history?q=zebra")).words
        await page(client, "/activity/history?action=%00&before=abc")


async def test_history_is_for_administrators():
    async with browse(FakeAccess(role="member")) as client:
        await page(client, "/activity/history", 403)


async def test_the_record_is_checked_on_demand():
    access = FakeAccess()
    async with browse(access) as client:
        assert "4,711 events" in (await page(client, "/activity/verify", _="")).words
        access.admin_get = lambda *_: {"ok": False, "rows": 9, "first_bad": 10}  # type: ignore[method-assign]
        assert "number 10 is missing" in (await page(client, "/activity/verify", _="")).words
