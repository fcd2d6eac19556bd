from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from tests.fakes.front import Answer, Device, Front, running, until
from webproxy.forward import aside
from webproxy.forward.request import read

USER = {"user": "operator", "password": "top-secret-4711"}
BASIC = b"Basic " + base64.b64encode(b"operator:top-secret-4711")
REFUSED = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 3\r\n\r\nno!'


NTLM_STEP = b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM dG9rZW4=\r\nContent-Length: 0\r\n\r\n"


class Web(Device):
    """Answers by what `reply` says of a head, and keeps the bodies it got."""

    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self.reply = reply
        self.bodies: list[bytes] = []
        self.handler = self.serve

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await self.head(reader)
            self.bodies.append(await self.body(reader, head))
            writer.write(self.reply(head))


def value(head: bytes, name: bytes) -> bytes:
    found = re.findall(rb"\r\n" + name + rb": ([^\r]*)", head, re.IGNORECASE)
    assert len(found) <= 1, head
    return found[0] if found else b""


def signed(front: Front) -> None:
    front.access.credentials = {"svc1": USER}


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as found:
        yield found


def assert_nothing_leaks(answer: Answer, logs: list[EventDict]) -> None:
    said = answer.head + answer.body + repr(logs).encode()
    for secret in (b"top-secret-4711", BASIC[6:]):
        assert secret not in said


# ---- sign-in


async def test_basic_is_added_and_the_browsers_own_dropped(logs: list[EventDict]) -> None:
    async with running(session={"options": {"auth": "basic"}}) as front:
        signed(front)
        answer = await front.ask(front.head(Authorization="Basic browser"))
        assert answer.status == 200
        assert value(front.device.heads[0], b"Authorization") == BASIC
        assert b"browser" not in front.device.heads[0]
        assert_nothing_leaks(answer, logs)


async def test_a_refusal_is_a_page_of_ours_and_never_a_prompt(logs: list[EventDict]) -> None:
    async with running(Device(REFUSED), session={"options": {"auth": "basic"}}) as front:
        signed(front)
        page = await front.ask(front.head(Accept="text/html", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document"))
        assert page.status == 502
        assert page.value("www-authenticate") is None
        assert b"The stored user name or password was refused" in page.body
        assert_nothing_leaks(page, logs)
        # Forty files of a page must not lock the account at the device.
        for _ in range(5):
            script = await front.ask(front.head(Accept="*/*", Sec_Fetch_Mode="cors"))
            assert script.status == 502
            assert b"sign_in_refused" in script.body
        assert len(front.device.heads) == 1


async def test_nothing_stored_and_another_kind_are_said() -> None:
    async with running(Device(REFUSED), session={"options": {"auth": "basic"}}) as front:
        answer = await front.ask(front.head(Accept="text/html"))
        assert b"No password is stored" in answer.body
        assert value(front.device.heads[0], b"Authorization") == b""
    async with running(Device(REFUSED), session={"options": {"auth": "digest"}}) as front:
        signed(front)
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 502
        assert b"asks for basic" in answer.body
        assert value(front.device.heads[0], b"Authorization") == b""


async def test_a_401_of_the_pages_own_passes() -> None:
    own = b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}"
    async with running(Device(own), session={"options": {"auth": "basic"}}) as front:
        signed(front)
        assert (await front.ask(front.head())).status == 401


async def test_a_redirect_takes_no_password_along() -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n"
    async with running(Device(away), session={"options": {"auth": "basic"}}) as front:
        signed(front)
        answer = await front.ask(front.head())
        assert answer.value("location") == "https://example.com/"
        assert len(front.device.heads) == 1  # the web proxy follows nothing
        assert BASIC not in answer.head


class DigestDevice(Web):
    """MD5 with qop=auth. It checks everything, and a nonce is good for `uses` requests."""

    def __init__(self, uses: int = 1000, *, nextnonce: bool = False) -> None:
        super().__init__(self.answer_to)
        self.uses = uses
        self.nextnonce = nextnonce
        self.nonces: dict[bytes, int] = {}
        self.challenges = 0

    def nonce(self) -> bytes:
        made = b"nonce%d" % len(self.nonces)
        self.nonces[made] = 0
        return made

    def challenge(self, stale: bool) -> bytes:
        self.challenges += 1
        offer = b'Digest realm="r", qop="auth", nonce="%b"%b' % (self.nonce(), b", stale=true" if stale else b"")
        return b"HTTP/1.1 401 No\r\nWWW-Authenticate: %b\r\nContent-Length: 2\r\n\r\nno" % offer

    def answer_to(self, head: bytes) -> bytes:
        def h(text: bytes) -> bytes:
            return hashlib.md5(text).hexdigest().encode()

        method, target, _ = head.split(b" ", 2)
        given = dict(re.findall(rb'(\w+)="?([^",]*)"?', value(head, b"Authorization")))
        nonce = given.get(b"nonce", b"")
        if nonce not in self.nonces:
            return self.challenge(stale=False)
        if self.nonces[nonce] >= self.uses:
            return self.challenge(stale=True)
        key, a2 = h(b"operator:r:top-secret-4711"), h(method + b":" + target)
        right = h(b":".join([key, nonce, given[b"nc"], given[b"cnonce"], b"auth", a2]))
        if given[b"response"] != right or given[b"uri"] != target or int(given[b"nc"], 16) != self.nonces[nonce] + 1:
            return self.challenge(stale=False)
        self.nonces[nonce] += 1
        if value(head, b"Upgrade"):
            return b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        info = b'Authentication-Info: rspauth="x", nextnonce="%b"\r\n' % self.nonce() if self.nextnonce else b""
        return b"HTTP/1.1 200 OK\r\n" + info + b"Content-Length: 2\r\n\r\nok"


DIGEST: dict[str, Any] = {"options": {"auth": "digest", "cache": False}}


async def test_digest_is_answered_once_and_then_known(logs: list[EventDict]) -> None:
    device = DigestDevice()
    async with running(device, session=DIGEST) as front:
        signed(front)
        raw = await front.connect()
        for number in range(5):
            answer = await raw.ask(front.head(target=f"/a%2F{number}?x=%20|"))
            assert (answer.status, answer.body) == (200, b"ok")
            assert answer.value("www-authenticate") is None
        assert (device.challenges, len(device.heads), device.connections) == (1, 6, 1)
        assert_nothing_leaks(answer, logs)


async def test_digest_stale_and_nextnonce() -> None:
    device = DigestDevice(uses=2)
    async with running(device, session=DIGEST) as front:
        signed(front)
        for _ in range(6):
            assert (await front.ask(front.head())).status == 200
        assert device.challenges == 3
    device = DigestDevice(uses=1, nextnonce=True)
    async with running(device, session=DIGEST) as front:
        signed(front)
        for _ in range(6):
            answer = await front.ask(front.head())
            assert answer.status == 200
            assert answer.value("authentication-info") is None
        assert device.challenges == 1


async def test_digest_repeats_a_body_and_only_a_bounded_one() -> None:
    device = DigestDevice()
    async with running(device, session=DIGEST) as front:
        signed(front)
        raw = await front.connect()
        post = front.head("POST", Origin=front.origin, Content_Length="5") + b"start"
        assert (await raw.ask(post)).status == 200
        assert device.bodies == [b"start", b"start"]
        device.nonces.clear()
        chunked = front.head("POST", Origin=front.origin, Transfer_Encoding="chunked") + b"2\r\non\r\n0\r\n\r\n"
        assert (await raw.ask(chunked)).status == 200
        assert device.bodies[2:] == [b"on", b"on"]
        device.nonces.clear()
        large = b"x" * (aside.REPLAY_LIMIT + 1)
        length = str(len(large))
        answer = await front.ask(front.head("POST", Origin=front.origin, Content_Length=length) + large)
        assert (answer.status, b"sign_in_too_large" in answer.body) == (502, True)
        # The nonce is known now, so the second try goes out signed.
        assert (await front.ask(front.head("POST", Origin=front.origin, Content_Length=length) + large)).status == 200


async def test_digest_with_a_wrong_password_is_no_loop() -> None:
    device = DigestDevice()
    async with running(device, session=DIGEST) as front:
        front.access.credentials = {"svc1": USER | {"password": "wrong"}}
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 502
        assert b"was refused" in answer.body
        assert len(device.heads) == 2


async def test_digest_for_websockets() -> None:
    device = DigestDevice()
    async with running(device, session=DIGEST) as front:
        signed(front)
        raw = await front.connect()
        upgrade = front.head(
            Origin=front.origin, Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        assert (await raw.ask(upgrade)).status == 101
        assert device.challenges == 1


async def test_another_service_gets_its_own_or_nothing() -> None:
    async with running(session={"options": {"auth": "basic"}}) as front:
        front.access.credentials = {"other": USER}
        await front.ask(front.head())
        assert value(front.device.heads[0], b"Authorization") == b""


async def test_a_companion_is_signed_in_to_with_its_own() -> None:
    row = {"id": "svc2", "slug": "live", "host": "10.0.0.5", "port": 8080, "protocol": "http", "permission": "operate"}
    for options, mine in (({"auth": "basic"}, b"Basic " + base64.b64encode(b"live:own")), ({}, b"")):
        sibling = {**row, "label": "live--press--acme", "options": options}
        session = {"options": {"auth": "basic", "companions": ["live"]}, "siblings": [sibling]}
        async with running(session=session) as front:
            front.targets["svc2"] = front.targets["svc1"]
            front.access.credentials = {"svc1": USER, "svc2": {"user": "live", "password": "own"}}
            for target in ("/", "/.pg/companion/live/x"):
                script = front.head(target=target, Sec_Fetch_Mode="cors", Sec_Fetch_Site="same-origin")
                assert (await front.ask(script)).status == 200
            assert [value(head, b"Authorization") for head in front.device.heads] == [BASIC, mine]


# ---- cache

CSS = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Type: text/css\r\nContent-Length: 4\r\n\r\nbody'
FRESH = CSS.replace(b"\r\nETag", b"\r\nCache-Control: max-age=60\r\nETag")
SAME = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'


def site(head: bytes) -> bytes:
    return SAME if value(head, b"If-None-Match") == b'"1"' else CSS


async def test_a_second_load_asks_and_gets_a_304() -> None:
    async with running(Web(site)) as front:
        raw = await front.connect()
        for number in range(3):
            answer = await raw.ask(front.head())
            assert (answer.status, answer.body, answer.value("content-type")) == (200, b"body", "text/css")
            assert value(front.device.heads[-1], b"If-None-Match") == (b'"1"' if number else b"")
        # The browser's own condition, whether it is ours or not.
        assert (await raw.ask(front.head(If_None_Match='W/"1"'))).status == 304
        assert (await raw.ask(front.head(If_None_Match='"old"'))).body == b"body"
        assert len(front.device.heads) == 5


async def test_fresh_needs_no_device_and_reload_does() -> None:
    async with running(Web(lambda head: SAME if value(head, b"If-None-Match") else FRESH)) as front:
        raw = await front.connect()
        await raw.ask(front.head())
        front.clock.advance(10)
        answer = await raw.ask(front.head())
        assert (answer.status, answer.body, answer.value("age")) == (200, b"body", "10")
        assert answer.value("cache-control") == "private, max-age=60"
        assert (await raw.ask(front.head(If_None_Match='"1"'))).status == 304
        assert len(front.device.heads) == 1
        await raw.ask(front.head(Cache_Control="no-cache"))
        assert len(front.device.heads) == 2
        await raw.ask(front.head(Cache_Control="no-store"))
        assert value(front.device.heads[2], b"If-None-Match") == b""
        front.clock.advance(61)
        await raw.ask(front.head())
        assert len(front.device.heads) == 4
        # Signed in at the device as somebody else, perhaps: only the device knows.
        await raw.ask(front.head(Cookie="__Host-pg=tok; device=2", token=None))
        assert len(front.device.heads) == 5


async def test_two_users_share_nothing_and_one_users_browsers_do() -> None:
    def reply(head: bytes) -> bytes:
        return SAME if value(head, b"If-None-Match") else FRESH

    async with running(Web(reply)) as front:
        front.access.add_session("two", session_id="s2", user="u2")
        front.access.add_session("three", session_id="s3", user="u1")
        await front.ask(front.head())
        await front.ask(front.head(token="two"))
        assert len(front.device.heads) == 2
        assert value(front.device.heads[1], b"If-None-Match") == b""
        await front.ask(front.head(token="three"))
        assert len(front.device.heads) == 2


async def test_what_is_kept_goes_with_the_permission() -> None:
    async with running(Web(site)) as front:
        await front.ask(front.head())
        assert front.web.caches.size
        front.access.push({"type": "session.ended", "session_id": "s1"})
        await until(lambda: not list(front.web.visits))
        assert front.web.caches.size  # signed out: the same user may profit the next time
        front.access.push({"type": "access.changed", "account_id": "id-acme"})
        await until(lambda: not front.web.caches.size)
    async with running(Web(site)) as front:
        await front.ask(front.head())
        front.access.sessions.clear()
        front.access.push({"type": "access.changed", "account_id": "id-acme"})
        await until(lambda: not front.web.caches.size)
    async with running(Web(site)) as front:
        await front.ask(front.head())
        front.access.sessions["tok", front.label]["permission"] = "watch"
        front.access.push({"type": "access.changed", "account_id": "id-acme"})
        await until(lambda: not front.web.caches.size)


async def test_a_changed_service_takes_along_what_is_kept_although_it_is_in_use() -> None:
    """The same person's other browser has it open, too, and has not been told yet."""
    async with running(Web(site)) as front:
        front.access.add_session("tok2", session_id="s2")
        for token in ("tok", "tok2"):
            await front.ask(front.head(token=token))
        session = await front.web.sessions.get("tok", front.label)
        assert front.web.caches.size
        front.web.visits.changed("tok", session)
        assert front.web.caches.size == 0


async def test_only_what_signs_in_is_asked_while_a_connection_is_being_signed_in() -> None:
    """Two browser connections: the second's request waits, and is never the sign-in's next step."""
    device = Web(lambda head: NTLM_STEP if b"/ntlm" in head and b"NTLM x" in head else site(head))
    async with running(device) as front:
        first, second = await front.connect(), await front.connect()
        assert (await second.ask(front.head(target="/warm"))).status == 200
        assert (await first.ask(front.head(target="/ntlm", Authorization="NTLM x"))).status == 401
        visit = next(iter(front.web.visits))
        assert visit.pool.by_connection
        second.send(front.head(target="/other"))
        await until(lambda: visit.pool.waiting)
        assert not [head for head in device.heads if b"/other" in head]
        assert (await first.ask(front.head(target="/ntlm", Authorization="NTLM y"))).status == 200
        assert (await second.read()).status == 200
        assert [head.split(b" ")[1] for head in device.heads[-2:]] == [b"/ntlm", b"/other"]
        assert len(visit.pool.idle) == 1


async def test_a_command_to_an_address_forgets_what_is_kept_of_it() -> None:
    async with running(Web(site)) as front:
        raw = await front.connect()
        await raw.ask(front.head())
        await raw.ask(front.head("POST", Origin=front.origin, Content_Length="0"))
        await raw.ask(front.head())
        assert value(front.device.heads[2], b"If-None-Match") == b""


@pytest.mark.parametrize("answer", [
    CSS + b"more than it said", CSS.replace(b"4", b"9"), b"HTTP/1.0 200 OK\r\nETag: x\r\n\r\nbody",
    CSS.replace(b"200 OK", b"206 Partial").replace(b"ETag", b"Content-Range: bytes 0-3/9\r\nETag"),
    CSS.replace(b"ETag", b"Content-Length: 4\r\nETag"),
])  # fmt: skip
async def test_only_what_ended_beyond_doubt_is_kept(answer: bytes) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(answer)

    async with running(Device(handler=once)) as front:
        for _ in range(2):
            raw = await front.connect()
            raw.send(front.head(target="/file", Range="bytes=0-3") if b"206" in answer else front.head(target="/file"))
            await until(lambda: front.device.heads)
            await asyncio.wait_for(raw.reader.read(100), 5)
            raw.close()
        assert front.web.caches.size == 0


async def test_the_option_and_the_setting_turn_it_off() -> None:
    for more in ({"session": {"options": {"cache": False}}}, {"settings": {"cache_bytes": 0}}):
        async with running(Web(site), **more) as front:  # type: ignore[arg-type]
            for _ in range(2):
                assert (await front.ask(front.head())).body == b"body"
            assert [value(head, b"If-None-Match") for head in front.device.heads] == [b"", b""]


async def test_a_304_about_another_one_is_asked_again() -> None:
    replies = [CSS, SAME.replace(b'"1"', b'"2"'), CSS.replace(b"body", b"new!")]
    async with running(Web(lambda _: replies.pop(0))) as front:
        raw = await front.connect()
        assert (await raw.ask(front.head())).body == b"body"
        assert (await raw.ask(front.head())).body == b"new!"


async def test_an_offline_machine_looks_offline() -> None:
    async with running(Device(FRESH)) as front:
        assert (await front.ask(front.head())).status == 200
        front.access.offline = {"since": "2026-01-31T12:00:00Z"}
        front.circuits[0].close()
        await asyncio.sleep(0)  # the loss is noted by the clock
        front.clock.advance(30)
        assert (await front.ask(front.head(Accept="*/*"))).status == 503


def test_a_replay_is_bounded() -> None:
    replay = aside.Replay()
    replay.add(b"x" * aside.REPLAY_LIMIT)
    assert replay.whole
    replay.add(b"x")
    assert not replay.whole
    assert replay.pieces == []
    assert read(b"GET", b"/", "1.1", [(b"Host", b"x"), (b"Authorization", b"NTLM x")]).authorization == b"NTLM x"


async def test_what_never_arrives_whole_is_given_back() -> None:
    """Answers that break off, run too long, or are left by the browser: nothing of them stays counted."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await device.head(reader)
        kind = head.split(b" ")[1]
        length = {b"/close": b"", b"/last": b"Content-Length: 500\r\nConnection: close\r\n"}.get(
            kind, b"Content-Length: 1000\r\n"
        )
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\n%b\r\n%b' % (length, b"x" * 500))
        if kind in (b"/left", b"/ends"):
            await reader.read()
        await writer.drain()

    device = Device(handler=handler)
    async with running(device) as front:
        caches = front.web.caches
        for target in ("/short", "/close", "/last"):
            raw = await front.connect()
            raw.send(front.head(target=target, Connection="close"))
            await raw.end()
            assert caches.arriving == 0, target
        raw = await front.connect()
        raw.send(front.head(target="/left"))
        await until(lambda: caches.arriving > 500)
        raw.close()
        await until(lambda: caches.arriving == 0)
        raw = await front.connect()
        raw.send(front.head(target="/ends"))
        await until(lambda: caches.arriving > 500)
        front.access.push({"type": "session.ended", "session_id": "s1"})
        await until(lambda: caches.arriving == 0)
        assert caches.size == 0


async def test_a_lost_sign_in_by_connection_ends_nobody_elses_request() -> None:
    """A load balancer sends everybody's requests by one connection: the second is not the first one's user's."""
    ready, go, answer = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await device.head(reader)
        if b"/ntlm" in head:
            writer.write(b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM dG9rZW4=\r\nContent-Length: 0\r\n\r\n")
            await go.wait()
        else:
            ready.set()
            await answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
            await reader.read()

    device = Device(handler=handler)
    async with running(device) as front:
        front.access.add_session("tok2", user="u2", session_id="s2")
        balancer = await front.connect()
        assert (await balancer.ask(front.head(target="/ntlm"))).status == 401
        balancer.send(front.head(target="/slow", token="tok2"))
        await ready.wait()
        visit = next(one for one in front.web.visits if one.token == "tok")
        go.set()
        await until(lambda: not visit.pool.idle)
        answer.set()
        assert (await balancer.read()).body == b"mine"


async def test_a_lost_sign_in_by_connection_ends_the_browsers_connection() -> None:
    """The next step on another stream would count as a wrong password at the device."""
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await device.head(reader)
        writer.write(b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM dG9rZW4=\r\nContent-Length: 0\r\n\r\n")
        await gone.wait()

    device = Device(handler=handler)
    async with running(device) as front:
        raw = await front.connect()
        assert (await raw.ask(front.head(target="/ntlm"))).status == 401
        gone.set()
        assert await raw.end() == b""


async def test_a_stream_from_before_the_sign_in_is_not_used_again() -> None:
    """Nobody is signed in on it: a request there would look like a wrong password."""
    go = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await device.head(reader)
            if b"/slow" in head:
                await go.wait()
            writer.write(NTLM_STEP if b"/ntlm" in head and b"NTLM y" not in head else site(head))

    device = Device(handler=handler)
    async with running(device) as front:
        early, late = await front.connect(), await front.connect()
        early.send(front.head(target="/slow"))
        await until(lambda: device.heads)
        assert (await late.ask(front.head(target="/ntlm"))).status == 401
        go.set()
        assert (await early.read()).status == 200
        pool = next(iter(front.web.visits)).pool
        assert device.connections == 2
        assert len(pool.idle) == 1
        assert (await late.ask(front.head(target="/ntlm", Authorization="NTLM y"))).status == 200
        assert device.connections == 2
