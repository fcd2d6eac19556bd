"""Services below paths of one host: the path decides, and what can be kept apart at one origin is kept apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from panelgate.names import Sites
from tests.fakes.front import Answer, Device, Front, running
from tests.webproxy.forward.test_companion import sibling
from tests.webproxy.forward.test_websocket import Echo
from webproxy.forward.jar import Jar

HOST = "apps.localhost:8080"
ORIGIN = f"http://{HOST}"
NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
SOCKET = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


class Two:
    """Two machines' HMIs below two paths; the same person is signed in at both."""

    def __init__(self, front: Front, options: dict[str, object]) -> None:
        self.front = front
        add = front.access.add_session
        self.labels = [
            add(f"tok{number}", device=f"machine{number}", options=options, siblings=[sibling()]) for number in (1, 2)
        ]
        self.jars = [Jar.below(label) for label in self.labels]
        self.cookies = [f"{jar.session.decode()}=tok{number}" for number, jar in enumerate(self.jars, 1)]

    def base(self, number: int) -> str:
        return f"{ORIGIN}/{self.labels[number - 1]}"

    async def at(self, target: str, *, method: str = "GET", cookie: str | None = None, **headers: str) -> Answer:
        lines = {"Host": HOST, "Cookie": "; ".join(self.cookies) if cookie is None else cookie, **headers}
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(
            f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value
        )
        return await self.front.ask(head.encode() + b"\r\n")

    async def ask(self, number: int, target: str = "/", **more: str) -> Answer:
        """A request below the path of machine `number`, with all cookies of the host."""
        return await self.at(f"/{self.labels[number - 1]}{target}", **more)


@asynccontextmanager
async def two(device: Device | None = None, **options: object) -> AsyncIterator[Two]:
    async with running(device, sites=Sites(apps="apps.localhost")) as front:
        yield Two(front, options)


def said(*lines: str, body: str = "ok") -> Device:
    head = "".join(f"{line}\r\n" for line in lines)
    return Device(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n{body}".encode())


async def test_the_path_decides_and_the_device_never_sees_it() -> None:
    async with two() as site:
        answer = await site.ask(1, "/a?b=/c", Referer=f"{site.base(1)}/page", Origin=ORIGIN, method="POST")
        assert (answer.status, answer.body) == (200, b"ok")
        head = site.front.device.heads[0]
        assert head.startswith(b"POST /a?b=/c HTTP/1.1\r\nHost: 10.0.0.5\r\n")
        assert b"Origin: http://10.0.0.5\r\nReferer: http://10.0.0.5/page\r\n" in head
        assert site.labels[0].encode() not in head


@pytest.mark.parametrize("target", [
    "/", "/x", "/hmi--machine1", "/HMI--machine1--acme/", "/hmi%2d-machine1--acme/", "/.pg/cb",
    "/..%2fhmi--machine1--acme/",
    "/hmi--machine1--acme--x/", "/%68mi--machine1--acme/",
])  # fmt: skip
async def test_what_names_no_service_reaches_none(target: str) -> None:
    async with two() as site:
        answer = await site.at(target, **NAVIGATE)
        assert answer.status == 404
        assert site.front.device.heads == []


@pytest.mark.parametrize("target", ["/hmi--machine1--acme//evil/x", "/hmi--machine1--acme/\\evil"])
async def test_no_other_host_is_left_when_the_path_is_taken_off(target: str) -> None:
    async with two() as site:
        assert (await site.at(target)).status == 400
        assert site.front.device.heads == []


async def test_the_portal_serves_no_service_and_no_other_host_does() -> None:
    async with two() as site:
        target = f"/{site.labels[0]}/"
        assert (await site.at(target, Host="portal.localhost:8080")).body == f"portal GET {target} 0".encode()
        for host in (
            f"{site.labels[0]}.apps.localhost:8080",
            "apps.localhost:8081",
            "apps.localhost",
        ):
            assert (await site.at("/", Host=host)).status == 421
        for host in (f"{HOST}{target}", f"{HOST}/{site.labels[0]}"):
            assert (await site.at("/", Host=host)).status == 400
        dotted = await site.at(f"{target}x?y", Host="apps.localhost.:8080")
        assert (dotted.status, dotted.value("location")) == (308, f"{site.base(1)}/x?y")
        assert site.front.device.heads == []


async def test_our_own_files_are_there_once_for_all() -> None:
    async with two() as site:
        assert (await site.at("/.pg/static/js/below.js")).body == b"portal GET /.pg/static/js/below.js 0"
        answer = await site.ask(1, "/.pg/static/js/below.js")
        assert answer.body == b"portal GET /.pg/static/js/below.js 0"
        assert (await site.at("/.pg/static/js/below.js", Service_Worker="script")).status == 403


async def test_a_path_without_its_slash_gets_one() -> None:
    async with two() as site:
        answer = await site.ask(1, "?a=b")
        assert (answer.status, answer.value("location")) == (308, f"/{site.labels[0]}/?a=b")


async def test_an_address_that_lost_its_path_is_sent_back_there() -> None:
    """A script may put an address together from pieces: its page's Referer says whose it is."""
    async with two() as site:
        answer = await site.at("/api/x?y", Referer=f"{site.base(2)}/deep/page", method="PUT", Origin=ORIGIN)
        assert (answer.status, answer.value("location")) == (307, f"/{site.labels[1]}/api/x?y")
        for referer in (
            f"http://evil.localhost:8080/{site.labels[0]}/",
            f"{ORIGIN}.evil/{site.labels[0]}/",
            f"{ORIGIN}/x/",
            ORIGIN,
        ):
            assert (await site.at("/api/x", Referer=referer)).status == 404
        assert (await site.at("/.pg/reset", Referer=f"{site.base(2)}/")).status == 404
        assert site.front.device.heads == []


async def test_each_device_gets_its_own_cookies_only() -> None:
    device = said(
        "Set-Cookie: session=A; Path=/x", "Set-Cookie: __Host-s=B; Path=/; Secure", "Set-Cookie: c=C; Domain=x.y"
    )
    async with two(device) as site:
        kept = [(await site.ask(number)).values("set-cookie") for number in (1, 2)]
        assert kept[0][0].endswith("~session=A; Path=/hmi--machine1--acme/x; Secure; HttpOnly")
        assert kept[0][1].startswith("__Host-Http-")
        assert "; Path=/;" in kept[0][1]
        assert kept[0][2].endswith("~c=C; Secure; HttpOnly")
        pairs = [cookie.partition(";")[0] for cookies in kept for cookie in cookies]
        assert len(set(pairs)) == 6
        planted = f"planted=1; {site.jars[0].prefix.decode()}planted=1; __Host-pgs=portal"
        await site.ask(2, cookie="; ".join([*site.cookies, *pairs, planted]))
        lines = [line for line in device.heads[-1].split(b"\r\n") if line.lower().startswith(b"cookie")]
        assert lines == [b"Cookie: session=A; __Host-s=B; c=C"]
        assert b"tok" not in device.heads[-1]


async def test_a_companion_gets_none_of_the_hosts_cookies() -> None:
    async with two(companions=["socket"]) as site:
        other = Device()
        await other.start()
        site.front.targets["svc2"] = ("127.0.0.1", other.port)
        stem = "__Http-" + site.jars[0].prefix.decode()
        cookies = [*site.cookies, "__Host-Http-pgs=portal", f"{stem}session=A", "__Http-other~session=B"]
        assert (await site.ask(1, "/.pg/companion/socket/x", cookie="; ".join(cookies))).status == 200
        lines = [line for line in other.heads[0].split(b"\r\n") if line.lower().startswith(b"cookie")]
        await other.stop()
        assert lines == [b"Cookie: session=A"]


async def test_a_session_counts_below_its_own_path_only() -> None:
    async with two() as site:
        other = f"{site.jars[1].session.decode()}=tok1"
        for cookie in (site.cookies[0], other, f"__Host-pg=tok2; {site.cookies[0]}"):
            assert (await site.ask(2, cookie=cookie)).status == 401
        assert site.front.device.heads == []


async def test_one_connection_carries_both_services() -> None:
    """A browser uses one for all paths of a host: what was remembered of the last request is not the next one's."""
    async with two() as site:
        raw = await site.front.connect()
        common = f"Host: {HOST}\r\nCookie: {'; '.join(site.cookies)}\r\n\r\n"
        for number, token in ((1, "tok1"), (2, "tok2"), (1, "tok1")):
            head = f"GET /{site.labels[number - 1]}/same HTTP/1.1\r\n{common}"
            assert (await raw.ask(head.encode())).status == 200
            assert {visit.label for visit in site.front.web.visits if visit.token == token} == {site.labels[number - 1]}
        assert (await raw.ask(f"GET /same HTTP/1.1\r\n{common}".encode())).status == 404
        assert len(site.front.device.heads) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_form_of_another_panel_changes_nothing(method: str) -> None:
    async with two() as site:
        both = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
        for referer in (f"{site.base(2)}/page", f"{ORIGIN}/"):
            assert (await site.ask(1, "/set", method=method, Referer=referer, **both)).status == 403
        assert (await site.ask(1, "/set", method=method, Origin="http://evil")).status == 403
        assert site.front.device.heads == []
        assert (await site.ask(1, "/set", method=method, Referer=f"{site.base(1)}/page", **both)).status == 200


@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "style"])
async def test_another_panel_embeds_nothing(dest: str) -> None:
    async with two() as site:
        mode = "navigate" if dest == "iframe" else "no-cors"
        own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert (await site.ask(1, "/set?v=1", Referer=f"{site.base(2)}/page", **own)).status == 403
        assert site.front.device.heads == []
        assert (await site.ask(1, "/set?v=1", Referer=f"{site.base(1)}/page", **own)).status == 200


async def test_a_link_of_another_panel_is_asked_about() -> None:
    async with two() as site:
        own = {"Referer": f"{site.base(2)}/page", "Sec-Fetch-Site": "same-origin", **NAVIGATE}
        answer = await site.ask(1, "/set?v=1", **own)
        assert answer.status == 303
        assert "&ask=" in (answer.value("location") or "")
        assert (await site.ask(1, "/.pg/reset", **own)).status == 403
        assert site.front.device.heads == []
        assert (await site.ask(1, "/page", **own)).status == 200


async def test_websockets() -> None:
    async with two(Echo()) as site:
        for origin in ("http://evil", "null", "", "http://portal.localhost:8080"):
            assert (await site.ask(1, "/ws", Origin=origin, **SOCKET)).status == 403
        assert (await site.ask(1, "/ws", Origin=ORIGIN, Referer=f"{site.base(2)}/", **SOCKET)).status == 403
        assert site.front.device.heads == []
        raw = await site.front.connect()
        lines = {"Host": HOST, "Cookie": site.cookies[0], "Origin": ORIGIN, **SOCKET}
        lines["Sec-WebSocket-Extensions"] = "permessage-deflate"
        head = f"GET /{site.labels[0]}/ws HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items()
        )
        assert (await raw.ask(head.encode() + b"\r\n")).status == 101
        assert site.front.device.heads[0].startswith(b"GET /ws HTTP/1.1\r\n")
        assert b"permessage-deflate" in site.front.device.heads[0]
        raw.send(b"\x82\x02hi")
        assert await raw.reader.readexactly(4) == b"\x82\x02hi"


async def test_no_service_worker_whatever_the_options_say() -> None:
    async with two(service_workers=True) as site:
        assert (await site.ask(1, "/sw.js", Service_Worker="script")).status == 403
        assert site.front.device.heads == []


async def test_signing_in_and_out() -> None:
    async with two() as site:
        root = f"/{site.labels[0]}"
        began = await site.ask(1, "/a?b=1", cookie="x=1", **NAVIGATE)
        assert began.status == 303
        assert f"http://portal.localhost:8080/launch?host={site.labels[0]}&n=" in (began.value("location") or "")
        nonce_cookie = began.values("set-cookie")[0].partition(";")[0]
        name, _, value = nonce_cookie.partition("=")
        state = (began.value("location") or "").split("state=")[1]
        assert name == f"{site.jars[0].nonce.decode()}{state}"
        code = "c" * 43
        site.front.access.add_code(code, site.labels[0], value.partition(".")[0], "tok1")
        target = f"/.pg/cb?code={code}&state={state}"
        # The browser sends the same cookie below the other path as well.
        assert (await site.ask(2, target, cookie=nonce_cookie, **NAVIGATE)).status == 403
        answer = await site.ask(1, target, cookie=nonce_cookie, **NAVIGATE)
        assert (answer.status, answer.value("location")) == (303, f"{root}/a?b=1")
        assert f"{site.cookies[0]}; Path=/; Secure; HttpOnly; SameSite=Lax" in answer.values("set-cookie")
        out = await site.ask(1, "/.pg/sign-out", method="POST", Origin=ORIGIN, Content_Length="0")
        assert (out.status, out.value("location")) == (303, f"{root}/.pg/signed-out")
        assert (await site.ask(1, "/.pg/signed-out", **NAVIGATE)).status == 200
        reset = await site.ask(1, "/.pg/reset", **NAVIGATE)
        assert reset.value("location") == f"{site.base(1)}/"
        assert (await site.ask(1)).status == 401
        assert (await site.ask(2)).status == 200


async def test_pages_of_ours_ask_below_their_path() -> None:
    async with two() as site:
        site.front.access.offline = {"since": None}
        answer = await site.ask(1, **NAVIGATE)
        assert answer.status == 503
        assert f'data-poll="/{site.labels[0]}/.pg/status"'.encode() in answer.body
        cookie = f"{site.cookies[0]}; {site.jars[0].session.decode()}=evil"
        assert f"/{site.labels[0]}/.pg/reset".encode() in (await site.ask(1, cookie=cookie, **NAVIGATE)).body


async def test_a_page_is_shown_below_its_path() -> None:
    page = '<html><head><link href="/a.css" rel=stylesheet></head><a href="/b">http://10.0.0.5/c</a></html>'
    device = said("Content-Type: text/html", "Content-Security-Policy: default-src 'none'", "Content-Location: /d",
        'ETag: "1"', "Referrer-Policy: origin", 'WWW-Authenticate: Basic realm="plc"', "Permissions-Policy: camera=()",
        body=page)  # fmt: skip
    async with two(device) as site:
        root = f"/{site.labels[0]}"
        answer = await site.ask(1, "/", **NAVIGATE)
        text = answer.body.decode()
        assert (
            f'<link href="{root}/a.css" rel=stylesheet></head><a href="{root}/b">http://10.0.0.5/c</a></html>' in text
        )
        assert text.startswith('<html><head><script src="/.pg/static/js/below.js?v=')
        assert f'data-root="{root}"></script><script type="importmap">' in text
        assert answer.values("content-security-policy") == ["frame-ancestors 'self'"]
        assert answer.value("content-location") == f"{root}/d"
        assert answer.value("referrer-policy") == "same-origin"
        assert answer.value("www-authenticate") == f'Basic realm="{site.labels[0]}.plc"'
        assert answer.value("permissions-policy") == "camera=()"
        tag = answer.value("etag") or ""
        assert tag.startswith('W/"pg-')
        await site.ask(1, "/", If_None_Match=tag, Accept_Encoding="br, gzip")
        assert b'\r\nIf-None-Match: "1"\r\n' in device.heads[-1]
        assert b"\r\nAccept-Encoding: gzip\r\n" in device.heads[-1]
        piece = await site.ask(1, "/", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty")
        assert b"script" not in piece.body
        assert f'href="{root}/b"'.encode() in piece.body


async def test_with_rewriting_addresses_of_the_device_get_the_path_too() -> None:
    async with two(
        said("Content-Type: text/html", body='<a href="http://10.0.0.5/c"><a href="/d">'), rewrite=True
    ) as site:
        body = (await site.ask(1)).body.decode()
        assert f'<a href="{site.base(1)}/c"><a href="/{site.labels[0]}/d">' in body


@pytest.mark.parametrize(("location", "expected"), [
    ("/x", "ROOT/x"), ("x", "x"), ("http://10.0.0.5/x", "BASE/x"), (f"{ORIGIN}/x", "BASE/x"), ("ROOT/x", "ROOT/x"),
    ("BASE/x", "BASE/x"), ("https://vendor.example/", "https://vendor.example/"),
])  # fmt: skip
async def test_redirects_stay_below_the_path(location: str, expected: str) -> None:
    async with two() as site:
        base, root = site.base(1), f"/{site.labels[0]}"

        def put(text: str) -> str:
            return text.replace("BASE", base).replace("ROOT", root)

        head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {put(location)}\r\n\r\n"
        site.front.device.answer = head.encode()
        assert (await site.ask(1)).value("location") == put(expected)
