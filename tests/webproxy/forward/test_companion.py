from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.front import Device, Front, running, until
from tests.webproxy.forward.test_websocket import Echo

AT = "/.pg/companion/socket"


def sibling(slug: str = "socket", **more: Any) -> dict[str, Any]:
    return {
        "id": "svc2", "slug": slug, "name": "Socket", "host": "10.0.0.5", "port": 8080, "protocol": "http",
        "label": f"{slug}--press--acme", "permission": "operate", "options": {}, **more,
    }  # fmt: skip


@asynccontextmanager
async def site(
    other: Device | None = None,
    *,
    companions: tuple[str, ...] = ("socket",),
    row: dict[str, Any] | None = None,
    rewrite: bool = True,
) -> AsyncIterator[tuple[Front, Device]]:
    other = other or Device()
    await other.start()
    session = {"options": {"companions": list(companions), "rewrite": rewrite}, "siblings": [row or sibling()]}
    try:
        async with running(session=session) as front:
            front.targets["svc2"] = ("127.0.0.1", other.port)
            yield front, other
    finally:
        await other.stop()


async def test_a_page_calls_its_companion_on_its_own_origin() -> None:
    async with site() as (front, other):
        head = front.head(target=AT + "/live?a=1", Origin=front.origin, Referer=front.origin + "/page")
        assert (await front.ask(head)).body == b"ok"
        assert front.device.connections == 0
        assert other.heads[0].startswith(b"GET /live?a=1 HTTP/1.1\r\nHost: 10.0.0.5:8080\r\n")
        assert b"Origin: http://10.0.0.5\r\nReferer: http://10.0.0.5/page\r\n" in other.heads[0]
        assert len(front.circuits) == 1
        assert (await front.ask(front.head("POST", AT, Origin=front.origin, Content_Length="0"))).status == 200
        assert other.heads[1].startswith(b"POST / HTTP/1.1\r\n")


async def test_its_socket_too() -> None:
    async with site(Echo(), rewrite=False) as (front, _):
        raw = await front.connect()
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "k"}
        assert (await raw.ask(front.head(target=AT + "/ws", Origin=front.origin, **upgrade))).status == 101
        raw.send(b"\x82\x02hi")
        assert await raw.reader.readexactly(4) == b"\x82\x02hi"
        assert (await front.ask(front.head(target=AT + "/ws", Origin="http://evil", **upgrade))).status == 403
        front.access.push({"type": "session.ended", "session_id": "s1"})
        async with asyncio.timeout(2):
            assert await raw.end() == b""


async def test_the_audit_names_the_companion() -> None:
    async with site() as (front, other):
        await front.ask(front.head(target=AT + "/"))
        await front.web.connections.flush()
        assert front.access.connections["con1"]["companion"] == "svc2"
        assert front.access.reports["con1"]["bytes_up"] == len(other.heads[0])


@pytest.mark.parametrize("slug", ["socket", "hmi", "cam", ""])
async def test_only_what_is_named_and_allowed(slug: str) -> None:
    async with site(companions=("cam",)) as (front, other):
        answer = await front.ask(front.head(target=f"/.pg/companion/{slug}/x"))
        assert (answer.status, other.connections, front.device.connections) == (404, 0, 0)
        assert b"no_companion" in answer.body


async def test_the_companions_own_permission_counts() -> None:
    async with site(row=sibling(permission="watch")) as (front, other):
        assert (await front.ask(front.head(target=AT + "/"))).status == 200
        assert (await front.ask(front.head("POST", AT + "/", Origin=front.origin, Content_Length="0"))).status == 403
        assert other.connections == 1


async def test_nobody_else_calls_it() -> None:
    async with site() as (front, other):
        for more in ({"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://evil"}):
            assert (await front.ask(front.head(target=AT + "/", **more))).status == 403
        assert (await front.ask(front.head(target=AT + "/", token=None))).status == 401
        assert (await front.ask(front.head(target=AT + "//evil"))).status == 400
        assert other.connections == 0


async def test_never_as_a_document() -> None:
    page = {"Accept": "text/html", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Site": "same-origin"}
    async with site() as (front, other):
        answer = await front.ask(front.head(target=AT + "/a?b", Sec_Fetch_Dest="document", **page))
        assert (answer.status, answer.value("location")) == (
            303, front.web.sites.service_origin("socket--press--acme") + "/a?b",
        )  # fmt: skip
        for dest in ("iframe", "embed", "object", "frame"):
            assert (await front.ask(front.head(target=AT + "/a", Sec_Fetch_Dest=dest, **page))).status == 403
        assert other.connections == 0
        # A script may ask for it; shown as a page after all, it could do nothing.
        answer = await front.ask(front.head(target=AT + "/a", Sec_Fetch_Mode="cors", Sec_Fetch_Site="same-origin"))
        assert any("sandbox" in policy for policy in answer.values("content-security-policy"))


async def test_its_answers_lead_back_to_it() -> None:
    other = Device(
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: b=2; Domain=10.0.0.5\r\nContent-Length: 0\r\n\r\n"
    )
    async with site(other) as (front, _):
        answer = await front.ask(front.head(target=AT + "/"))
        assert (answer.value("location"), answer.value("set-cookie")) == (AT + "/login", "b=2; Path=/")


async def test_cookies_are_those_of_the_host() -> None:
    async with site() as (front, other):
        ask = front.head(target=AT + "/").replace(b"Cookie: ", b"Cookie: a=1; __pgc-socket~b=2; ")
        await front.ask(ask)
        assert b"Cookie: a=1\r\n" in other.heads[0]
    async with site(row=sibling(host="10.0.0.6")) as (front, other):
        await front.ask(ask)
        assert b"Cookie: b=2\r\n" in other.heads[0]


async def test_addresses_in_its_answers_are_the_pages() -> None:
    body = b'{"ws": "ws://10.0.0.5:8080/ws", "home": "http://10.0.0.5/"}'
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with site(Device(raw)) as (front, _):
        expected = f'{{"ws": "{front.origin.replace("http", "ws", 1)}{AT}/ws", "home": "{front.origin}/"}}'
        assert (await front.ask(front.head(target=AT + "/"))).body.decode() == expected


async def test_errors_name_it() -> None:
    async with site() as (front, other):
        front.targets["svc2"] = ("127.0.0.1", 1)
        answer = await front.ask(front.head("POST", AT, Origin=front.origin, Content_Length="0", Accept="text/html"))
        assert answer.status == 502
        assert b"10.0.0.5:8080" in answer.body
        assert other.connections == 0


async def test_a_companion_that_goes_is_cut() -> None:
    async with site(Echo()) as (front, _):
        raw = await front.connect()
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "k"}
        assert (await raw.ask(front.head(target=AT + "/ws", Origin=front.origin, **upgrade))).status == 101
        front.access.sessions["tok", front.label]["siblings"] = []
        front.access.push({"type": "access.changed", "account_id": "id-acme"})
        async with asyncio.timeout(3):
            assert await raw.end() == b""
        assert (await front.ask(front.head(target=AT + "/"))).status == 404
        await until(lambda: not [part for part in front.web.visits if part.sockets])


async def test_a_companion_without_a_permission_in_its_row_is_only_watched() -> None:
    row = sibling()
    del row["permission"]
    async with site(row=row) as (front, other):
        assert (await front.ask(front.head("POST", AT + "/", Origin=front.origin, Content_Length="0"))).status == 403
        assert other.connections == 0


@pytest.mark.parametrize("path", [
    "/.pg/%63ompanion/socket/x", "/%2epg/companion/socket/x", "/.pg/companion/%73ocket/x", "/.pg/companion/SOCKET/x",
    "/.pg/companion/socket./x", "/.pg/companion//socket/x", "/.pg/companion/./socket/x",
    "/.pg/companion/hmi/../socket/x",
    "/.pg/companion/socket%2fx", "/.pg//companion/socket/x", "/.pg/companion/socket;x/y", "/.pg/companion/socket%00/x",
    "/.pg/companion/socket\\x", "/.PG/companion/socket/x", "/.pg/companion", "/.pg/companion/",
])  # fmt: skip
async def test_no_other_spelling_leads_to_a_companion(path: str) -> None:
    async with site() as (front, other):
        await front.ask(front.head(target=path))
        assert other.connections == 0
