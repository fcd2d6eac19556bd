from urllib.parse import urlencode

import pytest

from panelgate.errors import Refused
from panelgate.names import Sites
from panelgate.ports import KnownPorts, PortRange
from tests.fakes.portal_access import FakeAccess, three
from tests.fakes.portal_browser import Page, browse, moved, page
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
        ("/a/b/proxy/10.0.0.1//x;y+z/%2f", DeepLink("a", "b", ip="10.0.0.1", path="//x;y+z/%2f")),
        ("/a/b/proxy/[fd00:0::1]:8080/x", DeepLink("a", "b", ip="fd00::1", port=8080, path="/x")),
        ("/a/b/proxy/%5Bfd00::1%5D/x", DeepLink("a", "b", ip="fd00::1", path="/x")),
        ("/Acme%20Mixers/Press%204/hmi", DeepLink("Acme Mixers", "Press 4", "hmi")),
        ("/a/Press+4/hmi/x+y", DeepLink("a", "Press+4", "hmi", path="/x+y", names=("Press 4",))),
        (
            "/a/eWON++FLEXO+SM%2B2845%27s",
            DeepLink("a", "eWON++FLEXO+SM+2845's", names=("eWON  FLEXO SM+2845's",)),
        ),
        ("/a/S%C3%A4ge", DeepLink("a", "Säge")),
    ],
)
def test_three_forms(path, wanted):
    assert parse(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "/a",
        "//b",
        "/a/b/x--y",
        "/a/b/proxy/evil.example/",
        "/a/b/proxy/10.0.0.1:0/",
        "/a/b/proxy/10.0.0.1:99999/",
        "/a/b/proxy/10.0.0.1:x/",
        "/a/%2e%2e",
        "/a/%00",
        "/a/x%0d%0ay",
        "/a/" + "x" * 101,
        "/a/b/rcgi.bin/ParamForm",
        "/a/b//usr/viewon/Overview.shtm",
        "/a/b/proxy/127.1/",
        "/a/b/proxy/0x7f.1/",
        "/a/b/proxy/0x7f000001/",
        "/a/b/proxy/2130706433/",
        "/a/b/proxy/010.0.0.1/",
        "/a/b/proxy/10.0.0.1.:80/",
        "/a/b/proxy/10.0.0.1%2f@evil/",
        "/a/b/proxy/[fe80::1%25eth0]:80/",
        "/a/b/proxy/fe80::1%25eth0/",
        "/a/b/proxy/[10.0.0.1]x:80/",
        "/a/b/proxy/[::1/",
        "/a/b/proxy//10.0.0.1/",
        "/a/b/proxy/１０.0.0.1/",
        "/a/b/proxy/10.0.0.1:٨٠/",
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
            "/alpine/press-4/proxy/169.254.169.254/",
            "/alpine/press-4/proxy/0x7f.1/",
            "/alpine/press-4/usr/viewon/Overview.shtm",
            "/alpine/Nope%20at+all/proxy/192.168.0.12/",
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


async def test_path_and_query_arrive_as_they_were():
    async with browse() as client:
        for path in (
            "/rcgi.bin/ParamForm?AST_Param=$dtIV$ftT",
            "/a;b=1/c+d/%2F%20%7e/~x?y=a+b;c&&d=%26#",
            "/a//b///c?u=http://evil.example//x",
            "/x|y?z={a}|^`",
            "/?",
        ):
            answer = await client.get(f"/alpine/press-4/proxy/192.168.0.12{path}")
            assert answer.status_code == 303
            sent = answer.request.url.raw_path.decode().partition("/proxy/192.168.0.12")[2]
            wanted = sent if sent != "/?" else "/"
            assert answer.headers["location"] == HMI + wanted


@pytest.mark.parametrize("path", ["//evil.example/x?y", "///evil.example/x?y", "////evil.example/x?y"])
async def test_double_slashes_lead_to_no_other_host(path):
    async with browse() as client:
        where = await moved(client, f"/alpine/press-4/proxy/192.168.0.12{path}")
        assert where == f"{HMI}/evil.example/x?y"


async def test_the_machine_by_its_name():
    async with browse() as client:
        for name in ("Press%204", "Press+4"):
            assert await moved(client, f"/alpine/{name}/proxy/192.168.0.12/x") == f"{HMI}/x"


def at_standard(**more: object) -> FakeAccess:
    rows = three()
    rows[2]["level"] = "standard"
    return FakeAccess(rows, **more)  # type: ignore[arg-type]


LINK = "/alpine/press-4/proxy/192.168.0.99:8080/a%2fb;c//d?x=1+2&y=%20"
MADE = "http://ip-192-168-0-99-8080--press-4--alpine.apps.localhost:8080/a%2fb;c//d?x=1+2&y=%20"


def opened(access: FakeAccess) -> int:
    return sum(1 for _, path, body in access.calls if path.endswith("/resolve") and body.get("open"))


async def test_a_bookmark_opens_an_address_that_nobody_listed():
    access = at_standard()
    async with browse(access) as client:
        answer = await client.get(LINK, headers={"sec-fetch-site": "none"})
        assert answer.headers["location"] == MADE
        # Its query is the person's own as well: nothing asks once more.
        assert "__Host-pgd-" in answer.headers["set-cookie"]
        again = await client.get(LINK, headers={"sec-fetch-site": "cross-site"})
        assert again.headers["location"] == MADE


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "nonsense", None])
async def test_any_other_way_there_is_confirmed_by_the_person(site):
    access = at_standard()
    async with browse(access) as client:
        answer = await client.get(LINK, headers={"sec-fetch-site": site} if site else {})
        assert answer.status_code == 200
        assert "Open 192.168.0.99:8080?" in answer.text
        assert opened(access) == 0
        form = Page(answer.text).all("form", method="post")[0]
        assert form["action"] == LINK
        foreign = await client.post(LINK, data={}, headers={"origin": HMI})
        assert (foreign.status_code, opened(access)) == (403, 0)
        answer = await client.post(form["action"], data={}, headers={"sec-fetch-site": "same-origin"})
        assert answer.headers["location"] == MADE


async def test_a_head_request_makes_nothing():
    access = at_standard()
    async with browse(access) as client:
        await client.head(LINK, headers={"sec-fetch-site": "none"})
        assert opened(access) == 0


async def test_a_bookmark_that_had_to_sign_in_is_not_asked_again_but_another_sites_link_is():
    for site, asks in (("none", False), ("cross-site", True)):
        access = at_standard()
        async with browse(access, token=None) as client:
            answer = await client.get(LINK, headers={"sec-fetch-site": site})
            assert answer.headers["location"].startswith("/sign-in?next=")
            remembered = [cookie.split(";")[0] for cookie in answer.headers.get_list("set-cookie")]
        async with browse(access) as client:
            cookies = "; ".join([client.headers["cookie"], *remembered])
            headers = {"cookie": cookies, "sec-fetch-site": "same-origin"}
            answer = await client.get(LINK, headers=headers)
            assert (answer.status_code == 200) is asks
            # It was for this address, not for another one.
            other = await client.get(LINK.replace(".99", ".98"), headers=headers)
            assert other.status_code == 200


async def test_a_manager_hears_what_to_add_and_the_form_has_it_filled_in():
    async with browse() as client:
        seen = await page(client, "/alpine/press-4/proxy/192.168.0.99:5901/x?y=1", 404)
        assert "No panel is listed at 192.168.0.99:5901" in seen.words
        (add,) = [a["href"] for a in seen.all("a") if "services/new" in a["href"]]
        form = await page(client, add)
        values = {field.get("name"): field.get("value") for field in form.all("input") if "value" in field}
        assert (values["host"], values["port"], values["path"]) == ("192.168.0.99", "5901", "/x?y=1")
        assert [box["value"] for box in form.all("input", name="protocol") if "checked" in box] == ["vnc"]
        outside = await page(client, "/alpine/press-4/proxy/10.9.9.9/", 404)
        assert "is not in the network of Press 4" in outside.words
        assert not [a for a in outside.all("a") if "services/new" in a["href"]]


async def test_nobody_else_hears_of_it():
    async with browse(FakeAccess(role="member")) as client:
        answers = {
            (await client.get(path)).text
            for path in ("/alpine/press-4/proxy/192.168.0.99:8080/", "/alpine/nothing/proxy/192.168.0.99:8080/")
        }
        assert len(answers) == 1
        assert "Nothing here for you" in answers.pop()


async def test_too_many_at_once():
    access = at_standard()
    access.full = True
    async with browse(access) as client:
        answer = await client.get(LINK, headers={"sec-fetch-site": "none"})
        assert answer.status_code == 429
        assert "Too many addresses at once" in answer.text


def by_port() -> tuple[FakeAccess, Sites]:
    devices = three()
    hmi = next(row for row in devices if row["slug"] == "press-4")["services"][0]
    hmi["public_port"] = 20007
    access = FakeAccess(devices)
    access.ports[20007] = hmi["host_label"]
    return access, Sites(ports=KnownPorts(PortRange(20000, 20999)))


async def test_where_services_have_ports_links_and_hand_offs_lead_there():
    access, sites = by_port()
    async with browse(access, sites=sites) as client:
        assert await moved(client, "/alpine/press-4/hmi/a%2fb?x=1") == "http://portal.localhost:20007/a%2fb?x=1"
    access, fresh = by_port()
    async with browse(access, sites=fresh) as client:
        where = await moved(client, f"/launch?host=20007&n={N}&state=s1")
        assert where == "http://portal.localhost:20007/.pg/cb?code=the-code&state=s1"
        for host in ("hmi--press-4--alpine", "8080", "30000", "evil:20007", ""):
            assert (await client.get(f"/launch?host={host}&n={N}&state=s1")).status_code == 400
        answer = await client.get("/alpine/press-4/drives")
        assert answer.status_code == 503
        assert "PANELGATE_ORIGINS" in answer.text
        assert "form-action 'self' http://portal.localhost:*" in answer.headers.get("content-security-policy", "")


async def test_where_services_have_ports_a_link_from_another_site_names_the_port():
    access, sites = by_port()
    ask = mark_of("20007", b"/set?speed=9")
    async with browse(access, sites=sites) as client:
        seen = await page(client, f"/launch?host=20007&n={N}&state=s1&ask={ask}")
        assert "portal.localhost:20007" in seen.words
        answer = await client.get("/alpine/press-4/hmi/set?speed=9", headers={"sec-fetch-site": "none"})
        lead = answer.headers["set-cookie"].split(";")[0]
        assert lead == f"__Host-Http-pgd-{ask}=1"
        cookies = f"{client.headers['cookie']}; {lead}"
        answer = await client.get(f"/launch?host=20007&n={N}&state=s1&ask={ask}", headers={"cookie": cookies})
        assert answer.status_code == 303
        planted = f"{client.headers['cookie']}; __Host-pgd-{ask}=1"
        answer = await client.get(f"/launch?host=20007&n={N}&state=s1&ask={ask}", headers={"cookie": planted})
        assert answer.status_code == 200, "the name that scripts can set counts for nothing"


async def test_where_services_have_ports_the_portals_cookie_has_another_name():
    _, sites = by_port()
    async with browse(token=None, sites=sites) as client:
        answer = await client.get("/machines", headers={"cookie": "__Host-pgs=full-token"})
        assert answer.headers["location"].startswith("/sign-in")
