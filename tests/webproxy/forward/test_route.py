"""Attacks on a service's origin, as far as they show below the browser. Each would succeed without its defence."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.front import Device, running, until

SIBLING = "http://cam--press--acme.apps.localhost:8080"


async def test_a_sibling_can_not_post() -> None:
    async with running() as front:
        for origin in (SIBLING, "null", "http://portal.localhost:8080", front.origin + "0"):
            answer = await front.ask(front.head("POST", "/start", Origin=origin, Content_Length="0"))
            assert answer.status == 403
        assert (
            await front.ask(front.head("POST", "/start", Sec_Fetch_Site="same-site", Content_Length="0"))
        ).status == 403
        assert front.device.connections == 0


@pytest.mark.parametrize("origin", [SIBLING, "null", "http://evil.example", None])
async def test_a_foreign_websocket_is_stopped_before_the_dial(origin: str | None) -> None:
    async with running() as front:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "x"}
        if origin is not None:
            headers["Origin"] = origin
        assert (await front.ask(front.head(target="/ws", **headers))).status == 403
        assert front.device.connections == 0
        assert front.circuits == []


async def test_pictures_scripts_and_frames_of_other_sites_get_nothing() -> None:
    async with running() as front:
        for site in ("cross-site", "same-site"):
            for mode, dest in (("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")):
                head = front.head(target="/set?tag=1", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=dest)
                assert (await front.ask(head)).status == 403
        assert front.device.connections == 0


async def test_a_link_with_a_query_from_elsewhere_asks_first() -> None:
    async with running() as front:
        page = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        answer = await front.ask(front.head(target="/set?tag=1", **page))
        assert answer.status == 303
        assert "/launch?" in (answer.value("location") or "")
        assert "&ask=" in (answer.value("location") or "")
        assert front.device.connections == 0
        assert (await front.ask(front.head(target="/set", **page))).status == 200
        assert b"Sec-Fetch-Site: none\r\n" in front.device.heads[0]


async def test_planted_cookies_are_noticed() -> None:
    async with running() as front:
        answer = await front.ask(front.head(token="evil; __Host-pg=tok"))
        assert answer.status == 400
        assert "__Host-pg=; Max-Age=0" in (answer.value("set-cookie") or "")
        assert front.device.connections == 0


async def test_no_cookie_of_ours_reaches_the_device() -> None:
    async with running() as front:
        head = front.head(token=None).replace(
            b"\r\n\r\n", b"\r\nCOOKIE: a=1; __Host-pg=tok\r\ncookie: __host-PGN-1=x; b=2\r\n\r\n"
        )
        assert (await front.ask(head)).status == 200
        seen = front.device.heads[0]
        assert b"tok" not in seen
        assert b"host-pg" not in seen.lower()
        assert b"Cookie: a=1; b=2\r\n" in seen


async def test_what_a_browser_claims_about_itself_is_not_passed_on() -> None:
    async with running() as front:
        claims = {
            "X_Forwarded_For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "X_Real_IP": "1.2.3.4", "X_Remote_User": "admin",
            "Remote_User": "admin", "X_WebAuth_User": "admin", "Via": "1.1 x",
        }  # fmt: skip
        await front.ask(front.head(**claims))
        seen = front.device.heads[0]
        assert b"1.2.3.4" not in seen
        assert b"admin" not in seen
        await asyncio.sleep(0.05)
        assert front.access.connections["con1"]["client"]["address"] == "127.0.0.1"


async def test_service_workers_are_refused() -> None:
    async with running() as front:
        answer = await front.ask(front.head(target="/sw.js", Service_Worker="script", Sec_Fetch_Site="same-origin"))
        assert answer.status == 403
        assert front.device.connections == 0


async def test_service_workers_where_the_service_allows_them() -> None:
    async with running(session={"options": {"service_workers": True}}) as front:
        worker = {"Service_Worker": "script", "Sec_Fetch_Site": "same-origin"}
        assert (await front.ask(front.head(target="/sw.js", **worker))).status == 200
        assert b"Service-Worker: script" in front.device.heads[0]
        assert (await front.ask(front.head(target="/.pg/status", **worker))).status == 403
        assert (await front.ask(front.head(target="/sw.js", token=None, **worker))).status == 401


async def test_the_device_hears_who_asks_where_the_service_wants_it() -> None:
    async with running(session={"options": {"forwarded": True}}) as front:
        await front.ask(front.head(X_Forwarded_For="1.2.3.4"))
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in front.device.heads[0]
        assert b"1.2.3.4" not in front.device.heads[0]
        assert f"X-Forwarded-Host: {front.host}\r\n".encode() in front.device.heads[0]


async def test_clients_behind_a_load_balancer_are_told_apart_on_one_connection() -> None:
    settings = {"trusted_proxies": "127.0.0.1"}
    async with running(session={"options": {"forwarded": True}}, settings=settings) as front:
        raw = await front.connect()
        raw.send(front.head(X_Forwarded_For="192.0.2.1") + front.head(X_Forwarded_For="192.0.2.2"))
        for _ in range(2):
            await raw.read()
        assert [b"X-Forwarded-For: 192.0.2.%d\r\n" % (n + 1) in front.device.heads[n] for n in range(2)] == [True, True]


CHUNKED = {"Sec_Fetch_Site": "same-origin", "Transfer_Encoding": "chunked"}


async def test_a_trailer_is_no_header_and_names_no_client() -> None:
    settings = {"trusted_proxies": "127.0.0.1"}
    async with running(session={"options": {"forwarded": True}}, settings=settings) as front:
        raw = await front.connect()
        post = front.head("POST", Origin=front.origin, X_Forwarded_For="192.0.2.1", **CHUNKED)
        # The second waits for its turn, and has arrived whole by then.
        raw.send(front.head() + post + b"2\r\nok\r\n0\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n")
        await raw.read()
        await raw.read(b"POST")
        assert b"X-Forwarded-For: 192.0.2.1\r\n" in front.device.heads[1]


async def test_a_header_is_not_lost_because_it_was_a_trailer_before() -> None:
    async with running() as front:
        raw = await front.connect()
        plain = front.head("POST", Origin=front.origin, **CHUNKED)
        more = front.head("POST", Origin=front.origin, **CHUNKED, X_Value="2")
        await raw.ask(plain + b"2\r\nok\r\n0\r\nX-Value: 2\r\n\r\n")
        await raw.ask(more + b"2\r\nok\r\n0\r\n\r\n")
        assert [b"X-Value" in head for head in front.device.heads] == [False, True]


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"X: y\r\n" * 300_000, b"0\r\nX: " + b"y" * 1_500_000, b"2;" + b"x" * 1_500_000]
)
async def test_what_stands_beside_a_body_has_an_end(endless: bytes) -> None:
    async with running() as front:
        raw = await front.connect()
        raw.send(front.head("POST", Origin=front.origin, **CHUNKED) + b"2\r\nok\r\n" + endless)
        assert (await raw.end()).startswith(b"HTTP/1.1 400 ")
        (visit,) = front.web.visits
        assert not visit.pool.busy
        assert (await front.ask(front.head())).body == b"ok"


async def test_another_accounts_host_looks_like_no_session() -> None:
    async with running() as front:
        other = front.access.add_session("theirs", account="other", session_id="s2")
        host = front.web.sites.service_host(other)
        unknown = front.web.sites.service_host("hmi--nowhere--other")
        page = {"Accept": "text/html", "Sec_Fetch_Mode": "cors"}
        first = await front.ask(front.head(host=host, **page))
        second = await front.ask(front.head(host=unknown, **page))
        assert (first.status, second.status) == (401, 401)
        assert len(first.body) == len(second.body)
        assert front.device.connections == 0


async def test_users_never_share_a_connection() -> None:
    async with running() as front:
        front.access.add_session("second", session_id="s2", user="u2")
        assert (await front.ask(front.head())).status == 200
        assert (await front.ask(front.head())).status == 200
        assert front.device.connections == 1
        assert (await front.ask(front.head(token="second"))).status == 200
        assert front.device.connections == 2


async def test_watching_is_only_reading() -> None:
    async with running(session={"permission": "watch"}) as front:
        assert (await front.ask(front.head())).status == 200
        answer = await front.ask(
            front.head("POST", "/start", Origin=front.origin, Content_Length="0", Accept="text/html")
        )
        assert answer.status == 403
        assert b"watch" in answer.body
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": front.origin}
        assert (await front.ask(front.head(target="/ws", **headers))).status == 403
        assert len(front.device.heads) == 1


async def test_without_session_only_windows_are_sent_to_the_portal() -> None:
    async with running() as front:
        window = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document", "Accept": "text/html"}
        assert (await front.ask(front.head(token=None, **window))).status == 303
        assert (await front.ask(front.head(token="gone", **window))).status == 303
        for head in (
            front.head(token=None, target="/favicon.ico", Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="image"),
            front.head("POST", token=None, Origin=front.origin, Content_Length="0"),
            front.head(token=None, Upgrade="websocket", Connection="Upgrade", Origin=front.origin),
            front.head(token="gone", Sec_Fetch_Mode="cors"),
        ):
            answer = await front.ask(head)
            assert answer.status == 401
            assert answer.value("location") is None


async def test_sign_out_in_the_portal_ends_everything_at_once() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ndata")
        await reader.read()

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        raw.send(front.head(target="/events"))
        async with asyncio.timeout(5):
            await raw.reader.readuntil(b"data")
        front.access.sessions.clear()
        front.access.push({"type": "session.ended", "session_id": "s1"})
        async with asyncio.timeout(2):
            await raw.end()
        assert (await front.ask(front.head())).status == 401
        assert not front.circuits[0].is_open


async def test_a_permission_taken_ends_it_as_well() -> None:
    async with running() as front:
        assert (await front.ask(front.head())).status == 200
        front.access.sessions.clear()
        front.access.push({"type": "access.changed", "account_id": "id-acme"})
        await until(lambda: not list(front.web.visits), 2)
        assert (await front.ask(front.head())).status == 401


async def test_an_unknown_protocol_has_no_handler() -> None:
    async with running(session={"protocol": "rdp"}) as front:
        assert (await front.ask(front.head())).status == 501


async def test_access_down_keeps_what_is_known_going() -> None:
    async with running() as front:
        assert (await front.ask(front.head())).status == 200
        front.access.down = True
        front.clock.advance(600)
        assert (await front.ask(front.head())).status == 200
        answer = await front.ask(front.head(token="other", Accept="text/html", Sec_Fetch_Mode="navigate"))
        assert answer.status == 503
        assert b"access server" in answer.body
        front.clock.advance(600)
        assert (await front.ask(front.head())).status == 503


async def test_a_connection_that_a_load_balancer_shares_keeps_its_users_apart() -> None:
    async with running() as front:
        mine, nobody = front.head(), front.head(token=None)
        raw = await front.connect()
        for _ in range(3):
            assert (await raw.ask(mine)).status == 200
        before = len(front.device.heads)
        for _ in range(3):
            assert (await raw.ask(nobody)).status == 401
            assert (await raw.ask(front.head(token="stale"))).status == 401
            assert (await raw.ask(front.head(target="/.pg/status"))).status == 200
        assert len(front.device.heads) == before
        other = front.access.add_session("two", session_id="s2", user="u2")
        assert other == front.label
        await raw.ask(mine)
        for _ in range(3):
            assert (await raw.ask(front.head(token="two"))).status == 200
        assert front.device.connections == 2  # none of the first user's streams
