"""Services at ports of one host: what keeps them apart although they share its cookies and are one site."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from panelgate.ports import KnownPorts, PortRange
from tests.fakes.front import Answer, Device, Front, running, until
from webproxy.forward.jar import Jar

NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
SOCKET = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


class Two:
    """Two machines' HMIs at two ports; the same person is signed in at both."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.ports = front.service_ports[0], front.service_ports[-1]
        add = front.access.add_session
        self.labels = [
            add(f"tok{number}", device=f"machine{number}", public_port=port)
            for number, port in enumerate(self.ports, 1)
        ]
        self.jars = [Jar.at(port, label) for port, label in zip(self.ports, self.labels, strict=True)]
        self.cookies = [f"{jar.session.decode()}=tok{number}" for number, jar in enumerate(self.jars, 1)]

    def origin(self, number: int) -> str:
        return f"http://portal.localhost:{self.ports[number - 1]}"

    async def ask(
        self, number: int, target: str = "/", *, method: str = "GET", cookie: str | None = None,
        host: str | None = None, at: int = 0, **headers: str,
    ) -> Answer:  # fmt: skip
        """A request of the browser at the port of machine `number`, with all cookies of the host."""
        lines = {
            "Host": host or f"portal.localhost:{self.ports[number - 1]}",
            "Cookie": "; ".join(self.cookies) if cookie is None else cookie,
            **headers,
        }
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(
            f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value
        )
        return await self.front.ask(head.encode() + b"\r\n", at or self.ports[number - 1])


@asynccontextmanager
async def two(device: Device | None = None) -> AsyncIterator[Two]:
    async with running(device, ports=2) as front:
        yield Two(front)


async def test_a_port_is_a_services_origin() -> None:
    async with two() as site:
        answer = await site.ask(1)
        assert (answer.status, answer.body) == (200, b"ok")
        assert (await site.ask(2)).status == 200
        host = [line for line in site.front.device.heads[0].split(b"\r\n") if line.startswith(b"Host:")]
        assert host == [b"Host: 10.0.0.5"]
        assert site.front.access.count(f"/ports/{site.ports[0]}") == 1


async def test_each_device_gets_its_own_cookies_only() -> None:
    device = Device(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: session=A; Path=/\r\n\r\nok")
    async with two(device) as site:
        kept = [(await site.ask(number)).values("set-cookie")[0].partition(";")[0] for number in (1, 2)]
        assert kept[0] != kept[1]
        assert all(cookie.startswith("__Http-p") and cookie.endswith("~session=A") for cookie in kept)
        foreign = ["planted=1", f"{site.jars[1].prefix.decode()}planted=1", "__Host-Http-pgs=portal"]
        both = "; ".join([*site.cookies, *kept, *foreign])
        await site.ask(2, cookie=both)
        lines = [line for line in device.heads[-1].split(b"\r\n") if line.lower().startswith(b"cookie")]
        assert lines == [b"Cookie: session=A"]
        assert b"tok" not in device.heads[-1]


async def test_a_session_counts_at_its_own_port_only() -> None:
    """A page that reads nothing could still replay: the token of one port is worth nothing at another."""
    async with two() as site:
        other = f"{site.jars[1].session.decode()}=tok1"
        for cookie in (site.cookies[0], other, f"__Host-pg=tok2; {site.cookies[0]}"):
            assert (await site.ask(2, cookie=cookie)).status == 401
        assert site.front.device.heads == []


async def test_two_sessions_of_one_port_are_refused() -> None:
    async with two() as site:
        answer = await site.ask(1, cookie=f"{site.cookies[0]}; {site.jars[0].session.decode()}=evil")
        assert answer.status == 400
        assert f"{site.jars[0].session.decode()}=; Max-Age=0" in answer.values("set-cookie")[0]


@pytest.mark.parametrize("host", ["other", "portal", "none", "dot", "number", "name"])
async def test_a_host_that_is_not_the_port_that_was_dialled_reaches_nothing(host: str) -> None:
    async with two() as site:
        port = site.ports[0]
        given = {
            "other": f"portal.localhost:{site.ports[1]}", "portal": f"portal.localhost:{site.front.port}",
            "none": "portal.localhost", "dot": f"portal.localhost.:{port}", "number": f"127.0.0.1:{port}",
            "name": f"{site.labels[0]}.apps.localhost:{port}",
        }[host]  # fmt: skip
        answer = await site.ask(1, host=given)
        assert answer.status == (308 if host == "dot" else 421)
        assert site.front.device.heads == []


async def test_the_portals_listener_serves_no_service() -> None:
    async with two() as site:
        assert (await site.ask(1, at=site.front.port)).status == 421
        answer = await site.ask(1, "/x", host=f"portal.localhost:{site.front.port}", at=site.front.port)
        assert answer.body == b"portal GET /x 0"


@pytest.mark.parametrize("site_word", ["same-site", "cross-site"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_another_ports_page_cannot_act(method: str, site_word: str) -> None:
    async with two() as site:
        answer = await site.ask(1, "/set", method=method, Origin=site.origin(2), Sec_Fetch_Site=site_word)
        assert answer.status == 403
        answer = await site.ask(1, "/set", method=method, Sec_Fetch_Site=site_word)
        assert answer.status == 403
        assert site.front.device.heads == []


@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "style"])
async def test_another_ports_page_cannot_embed_or_fetch(dest: str) -> None:
    async with two() as site:
        mode = "navigate" if dest == "iframe" else "no-cors"
        answer = await site.ask(1, "/set?v=1", Sec_Fetch_Site="same-site", Sec_Fetch_Mode=mode, Sec_Fetch_Dest=dest)
        assert answer.status == 403
        assert site.front.device.heads == []


async def test_another_ports_page_leading_to_an_address_with_a_query_is_asked_about() -> None:
    async with two() as site:
        answer = await site.ask(1, "/set?v=1", Sec_Fetch_Site="same-site", **NAVIGATE)
        assert answer.status == 303
        assert "&ask=" in (answer.value("location") or "")
        assert site.front.device.heads == []


@pytest.mark.parametrize("origin", ["sibling", "portal", "null", "none", "scheme", "no port"])
async def test_no_other_page_opens_a_websocket(origin: str) -> None:
    async with two() as site:
        given = {
            "sibling": site.origin(2), "portal": f"http://portal.localhost:{site.front.port}", "null": "null",
            "none": "", "scheme": site.origin(1).replace("http", "https"), "no port": "http://portal.localhost",
        }[origin]  # fmt: skip
        assert (await site.ask(1, "/ws", Origin=given, **SOCKET)).status == 403
        assert site.front.device.heads == []


async def test_a_port_that_is_nobodys_looks_like_one_that_is() -> None:
    """To a stranger: the same redirect with the same words, so nobody counts an installation's machines."""
    async with two() as site:
        nobody = f"portal.localhost:{site.ports[1]}"
        site.front.access.ports.pop(site.ports[1])
        answers = [
            await site.ask(1, "/a", cookie="x=1", **NAVIGATE),
            await site.ask(2, "/a", cookie="x=1", host=nobody, **NAVIGATE),
        ]
        for answer, port in zip(answers, site.ports, strict=True):
            assert answer.status == 303
            assert f"/launch?host={port}&n=" in (answer.value("location") or "")
            assert "machine" not in answer.head.decode()
        assert (await site.ask(2)).status == 401
        assert site.front.device.heads == []


async def test_a_hand_off_is_finished_at_the_port_that_began_it() -> None:
    async with two() as site:
        began = await site.ask(1, "/a?b=1", cookie="x=1", **NAVIGATE)
        nonce_cookie = began.values("set-cookie")[0].partition(";")[0]
        name, _, value = nonce_cookie.partition("=")
        state = (began.value("location") or "").split("state=")[1]
        assert name == f"__Host-Http-pgn-{site.ports[0]}-{state}"
        code = "c" * 43
        target = f"/.pg/cb?code={code}&state={state}"
        site.front.access.add_code(code, site.labels[0], value.partition(".")[0], "tok1")
        # The browser sends the same cookie to the other port as well.
        assert (await site.ask(2, target, cookie=nonce_cookie, **NAVIGATE)).status != 303
        answer = await site.ask(1, target, cookie=nonce_cookie, **NAVIGATE)
        assert (answer.status, answer.value("location")) == (303, "/a?b=1")
        assert f"{site.cookies[0]}; Path=/; Secure; HttpOnly; SameSite=Lax" in answer.values("set-cookie")


async def test_a_ports_next_service_meets_nothing_of_the_last_one() -> None:
    async with two() as site:
        port = site.ports[0]
        code = "c" * 43
        site.front.access.add_code(code, site.labels[0], "0" * 64, "tok1")
        path = ".Lw"
        nonce = f"__Host-Http-pgn-{port}-{'0' * 16}={'0' * 64}{path}"
        target = f"/.pg/cb?code={code}&state={'0' * 16}"
        first = await site.ask(1, target, cookie=nonce, **NAVIGATE)
        user = next(line for line in first.values("set-cookie") if "pgu-" in line).partition(";")[0]
        assert first.value("clear-site-data") is None
        label = site.front.access.add_session("tok3", device="machine3", public_port=port)
        site.front.clock.advance(61)
        await site.ask(1)  # asked anew in the background
        await until(lambda: site.front.web.sites.ports.label_at(port) == label)  # type: ignore[union-attr]
        site.front.access.add_code(code, label, "0" * 64, "tok3")
        again = await site.ask(1, target, cookie=f"{nonce}; {user}", **NAVIGATE)
        assert again.status == 303
        assert again.value("clear-site-data") == '"cache", "storage"'
        assert Jar.at(port, label).prefix != site.jars[0].prefix


async def test_a_request_waits_while_it_is_asked_whose_port_it_is() -> None:
    """With its body, and what is pipelined behind it."""
    async with two() as site:
        port, host = site.ports[0], f"portal.localhost:{site.ports[0]}"
        raw = await site.front.connect(port)
        head = f"Host: {host}\r\nCookie: {site.cookies[0]}\r\nOrigin: {site.origin(1)}\r\n"
        raw.send(f"POST /a HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n{head}\r\n".encode())
        assert (await raw.read()).status == 200
        assert (await raw.read()).status == 200
        assert [entry.split(b" ")[1] for entry in site.front.device.heads] == [b"/a", b"/b"]


async def test_a_websocket_may_be_the_first_thing_that_comes() -> None:
    async def echo(reader, writer):  # type: ignore[no-untyped-def]
        await device.head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        writer.write(await reader.readexactly(4))
        await reader.read()

    device = Device(handler=echo)
    async with two(device) as site:
        raw = await site.front.connect(site.ports[0])
        lines = {"Host": f"portal.localhost:{site.ports[0]}", "Cookie": site.cookies[0], "Origin": site.origin(1)}
        head = "".join(f"{name}: {value}\r\n" for name, value in (lines | SOCKET).items())
        raw.send(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode() + b"ping")
        assert (await raw.read()).status == 101
        assert await raw.reader.readexactly(4) == b"ping"


async def test_with_the_access_server_down_the_person_is_told() -> None:
    async with two() as site:
        site.front.access.down = True
        answer = await site.ask(1, **NAVIGATE)
        assert answer.status == 503
        site.front.access.down = False
        assert (await site.ask(1)).status == 200
        site.front.access.down = True
        site.front.clock.advance(61)
        assert (await site.ask(1)).status == 200, "what was known goes on"


async def test_a_port_that_changed_its_service_is_noticed() -> None:
    async with two() as site:
        assert (await site.ask(1)).status == 200
        site.front.access.ports[site.ports[0]] = ""
        site.front.clock.advance(61)
        await site.ask(1)
        known = site.front.web.sites.ports
        assert isinstance(known, KnownPorts)
        await until(lambda: known.label_at(site.ports[0]) is None)
        assert (await site.ask(1)).status == 401
        assert PortRange(*site.ports) == known.range


async def test_a_companion_gets_its_own_cookies_and_nobodys_session() -> None:
    """All ports share a jar, so what reaches a companion is sorted by the page's port as well."""
    other = Device(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: cam=B; Path=/\r\n\r\nok")
    await other.start()
    try:
        for host in ("10.0.0.5", "10.0.0.6"):
            async with running(ports=2) as front:
                front.targets["svc2"] = ("127.0.0.1", other.port)
                row = {
                    "id": "svc2", "slug": "cam", "name": "Cam", "host": host, "port": 8080, "protocol": "http",
                    "label": "cam--machine1--acme", "permission": "operate", "public_port": None,
                }  # fmt: skip
                label = front.access.add_session(
                    "tok1", device="machine1", public_port=front.service_ports[0], siblings=[row],
                    options={"companions": ["cam"]},
                )  # fmt: skip
                jar = Jar.at(front.service_ports[0], label)
                session = f"{jar.session.decode()}=tok1"
                portal = "__Host-Http-pgs=portal; __Host-Http-pg-20999=other; __Http-p20999-1f3a~session=theirs"
                head = (
                    f"GET /.pg/companion/cam/x HTTP/1.1\r\nHost: portal.localhost:{front.service_ports[0]}\r\n"
                    f"Cookie: {session}; {portal}"
                )
                answer = await front.ask(f"{head}\r\n\r\n".encode(), front.service_ports[0])
                assert answer.status == 200
                assert b"\r\nCookie:" not in other.heads[-1]
                kept = answer.values("set-cookie")[0].partition(";")[0]
                await front.ask(f"{head}; {kept}\r\n\r\n".encode(), front.service_ports[0])
                assert b"\r\nCookie: cam=B\r\n" in other.heads[-1]
    finally:
        await other.stop()


async def test_a_companion_without_a_port_has_no_page_to_lead_to() -> None:
    async with running(ports=1) as front:
        row = {
            "id": "svc2", "slug": "cam", "name": "Cam", "host": "10.0.0.5", "port": 8080, "protocol": "http",
            "label": "cam--press--acme", "permission": "operate", "public_port": None,
        }  # fmt: skip
        port = front.service_ports[0]
        label = front.access.add_session("tok1", public_port=port, siblings=[row], options={"companions": ["cam"]})
        head = (
            f"GET /.pg/companion/cam/ HTTP/1.1\r\nHost: portal.localhost:{port}\r\nAccept: text/html\r\n"
            f"Cookie: {Jar.at(port, label).session.decode()}=tok1\r\nSec-Fetch-Mode: navigate\r\n"
            "Sec-Fetch-Dest: document\r\nSec-Fetch-Site: same-origin\r\n\r\n"
        )
        answer = await front.ask(head.encode(), port)
        assert answer.status == 502
        assert b"has no port of its own" in answer.body
