from urllib.parse import urlencode

import pytest

from panelgate.errors import Refused
from tests.fakes.portal_access import FakeAccess, three
from tests.fakes.portal_browser import browse, moved, page
from webproxy.leads import mark_of
from webproxy.pages.links import DeepLink, parse

HMI = "http://hmi--press-4--alpine.apps.localhost:8080"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/a/b", DeepLink("a", "b")),
        ("/A/B/", DeepLink("a", "b")),
        ("/a/b/hmi", DeepLink("a", "b", "hmi")),
        ("/a/b/hmi/x%2fy/z", DeepLink("a", "b", "hmi", path="/x%2fy/z")),
        ("/a/b/proxy/10.0.0.1/x", DeepLink("a", "b", ip="10.0.0.1", path="/x")),
        ("/a/b/proxy/10.0.0.1:8080", DeepLink("a", "b", ip="10.0.0.1", port=8080)),
        ("/a/b/proxy", DeepLink("a", "b", "proxy")),
    ],
)
def test_three_forms(path, wanted):
    assert parse(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "/a",
        "//b",
        "/a--b/c",
        "/a/b/x--y",
        "/a/b/proxy/evil.example/",
        "/a/b/proxy/10.0.0.1:0/",
        "/a/b/proxy/10.0.0.1:99999/",
        "/a/b/proxy/10.0.0.1:x/",
        "/a/%2e%2e",
    ],
)
def test_no_deep_links(path):
    assert parse(path) is None


async def test_to_the_panel_with_path_and_query_as_they_were():
    async with browse() as client:
        assert await moved(client, "/alpine/press-4/hmi/a%2fb?x=1&y=%20") == f"{HMI}/a%2fb?x=1&y=%20"
        assert await moved(client, "/alpine/press-4/proxy/192.168.0.12/x") == f"{HMI}/x"
        assert (await moved(client, "/alpine/press-4/drives")).endswith("/index.html")


async def test_a_machine_with_one_panel_opens_it():
    async with browse() as client:
        assert (await moved(client, "/alpine/furnace-2")).startswith("http://hmi--furnace-2--alpine.")
        assert await moved(client, "/alpine/press-4") == "/machines/press-4"


async def test_unknown_and_foreign_are_the_same_page():
    async with browse() as client:
        bodies = set()
        for path in (
            "/alpine/nope",
            "/foreign/press-4",
            "/foreign/press-4/hmi",
            "/alpine/press-4/nope",
            "/alpine/press-4/proxy/10.9.9.9/",
            "/a--b/c",
            "/x/y/z--",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404
            bodies.add(answer.text)
        assert len(bodies) == 1


async def test_sign_in_first_whatever_it_names():
    async with browse(token=None) as client:
        assert await moved(client, "/foreign/x/hmi/a%2fb?q=1") == "/sign-in?next=/foreign/x/hmi/a%252fb%3Fq%3D1"


N = "a" * 64


async def test_hand_off():
    async with browse() as client:
        where = await moved(client, f"/launch?host=hmi--press-4--alpine&n={N}&state=s1")
        assert where == f"{HMI}/.pg/cb?code=the-code&state=s1"


async def test_a_link_from_another_site_is_confirmed_by_the_person():
    ask = mark_of("hmi--press-4--alpine", b"/set?speed=9")
    words = {"host": "hmi--press-4--alpine", "n": N, "state": "s1"}
    async with browse() as client:
        seen = await page(client, f"/launch?{urlencode(words | {'ask': ask})}")
        assert "Continue to the panel?" in seen.words
        answer = await client.post("/launch", data=words)
        assert answer.headers["location"] == f"{HMI}/.pg/cb?code=the-code&state=s1"
        assert (await client.post("/launch", data=words, headers={"origin": HMI})).status_code == 403


@pytest.mark.parametrize(
    ("site", "asked"), [("none", False), ("same-origin", False), ("same-site", True), ("cross-site", True)]
)
async def test_the_portals_own_deep_link_needs_no_confirmation(site, asked):
    ask = mark_of("hmi--press-4--alpine", b"/set?speed=9")
    async with browse() as client:
        answer = await client.get("/alpine/press-4/hmi/set?speed=9", headers={"sec-fetch-site": site})
        assert answer.headers["location"] == f"{HMI}/set?speed=9"
        lead = answer.headers.get("set-cookie", "").split(";")[0]
        cookies = f"{client.headers['cookie']}; {lead}"
        answer = await client.get(
            f"/launch?host=hmi--press-4--alpine&n={N}&state=s1&ask={ask}", headers={"cookie": cookies}
        )
        assert (answer.status_code == 200) is asked


@pytest.mark.parametrize(
    "query",
    [
        "",
        f"host=evil.example&n={N}&state=s",
        f"host=a/b&n={N}&state=s",
        "host=a--b--c&n=zz&state=s",
        f"host=a--b--c&n={N}&state=%0d%0aX",
        f"host=//evil&n={N}&state=s",
        f"host=a--b--c&n={N}&state=s&ask=x",
        f"host=x@evil&n={N}&state=s",
    ],
)
async def test_hand_off_leads_nowhere_else(query):
    async with browse() as client:
        await page(client, f"/launch?{query}", 400)


async def test_hand_off_refusals():
    access = FakeAccess()
    async with browse(access) as client:
        await page(client, f"/launch?host=hmi--x--alpine&n={N}&state=s", 404)

        def refuse(*_: object) -> None:
            raise Refused("not_allowed")

        access._own = refuse  # type: ignore[method-assign,assignment]
        seen = await page(client, f"/launch?host=hmi--press-4--alpine&n={N}&state=s", 403)
        assert "watch or operate" in seen.words


async def test_hidden_panels_leave_no_choice():
    rows = three()
    rows[0]["services"][0]["visible"] = False
    async with browse(FakeAccess(rows)) as client:
        assert await moved(client, "/alpine/furnace-2") == "/machines/furnace-2"
