from tests.fakes.portal_access import FakeAccess, many
from tests.fakes.portal_browser import browse, moved, page
from webproxy.pages import machines


async def test_rows_with_status_in_words_and_quick_targets():
    async with browse() as client:
        seen = await page(client, "/machines")
        assert len(seen.all("tr")) == 4
        assert "Offline" in seen.words
        assert "Not connected yet" in seen.words
        assert seen.all("a", href="/alpine/press-4/hmi")[0]["rel"] == "noopener"


async def test_ten_thousand_are_paged_by_access():
    access = FakeAccess(many())
    async with browse(access) as client:
        seen = await page(client, "/machines?q=press&status=online&page=3")
        assert len(seen.all("tr")) == 51
        assert "101–150 of" in seen.words
        assert seen.all("a", rel="next")[0]["href"] == "/machines?q=press&status=online&page=4"
        assert await moved(client, "/machines?q=press&page=9999") == "/machines?q=press&page=25"


async def test_empty_states():
    async with browse(FakeAccess([])) as client:
        assert "Connect your first machine" in (await page(client, "/machines")).words
        assert "No machine found" in (await page(client, "/machines?q=zebra")).words
    async with browse(FakeAccess([], role="member")) as client:
        assert "decides which machines you reach" in (await page(client, "/machines")).words


async def test_nonsense_in_the_address():
    async with browse() as client:
        await page(client, "/machines?status=%3Cb%3E&page=-1")
        assert 'value="&lt;b&gt;&#34;"' in (await client.get("/machines?q=%3Cb%3E%22")).text


def test_access_without_paging_is_paged_here():
    rows = [{"slug": str(n)} for n in range(120)]
    devices, total = machines.find({"devices": rows}, 3)
    assert (len(devices), total) == (20, 120)


def test_what_is_open_is_told_once_by_name():
    device = {
        "services": [
            {"slug": "hmi", "name": "Main HMI", "protocol": "http"},
            {"slug": "win", "name": "Desktop", "protocol": "rdp"},
        ],
        "open": [{"user": "Ada", "service": "hmi"}, {"user": "Ada", "service": "hmi"}, {"user": "Bob", "service": "x"}],
    }
    told = machines.shown(device)
    assert [(row["user"], row["service"], row["times"]) for row in told["open"]] == [
        ("Ada", "Main HMI", 2),
        ("Bob", "x", 1),
    ]
    # A Windows desktop can't be opened yet: it is no quick target, only counted.
    assert [service["slug"] for service in told["quick"]] == ["hmi"]
    assert told["more"] == 1
