"""Sign-in by connection, with pyspnego on both sides: what the device believes of a connection stays one person's."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest
import spnego

from tests.fakes.front import Answer, Device, Front, Raw, running, until
from webproxy.forward import pool

PASSWORDS = {"ann": "Pässword1", "bob": "Password2"}
_OFFERED = re.compile(rb"\r\nAuthorization: (NTLM|Negotiate) ([A-Za-z0-9+/=]+)", re.IGNORECASE)


@pytest.fixture(autouse=True)
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "users"
    file.write_text("".join(f"PLANT:{name}:{password}\n" for name, password in PASSWORDS.items()), encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(file))


class Iis(Device):
    """Authenticates the connection, as IIS does. A request without it in the middle of the handshake undoes that.

    `log` has the user (or nobody) and the number of the connection of each request that was answered with 200.
    """

    def __init__(self, scheme: bytes = b"NTLM") -> None:
        super().__init__(handler=self.serve)
        self.scheme = scheme
        self.log: list[tuple[str, int]] = []
        self.writers: dict[int, asyncio.StreamWriter] = {}
        self.released = asyncio.Event()  # for the answer to /slow

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, user, context = self.connections, "", None
        self.writers[number] = writer
        while True:
            head = await self.head(reader)
            offered = _OFFERED.search(head)
            if offered:
                if context is None or context.complete:
                    context, user = server(), ""
                try:
                    token = context.step(base64.b64decode(offered[2]))
                except spnego.exceptions.SpnegoError:
                    context, token = None, None
                if context is not None and context.complete:
                    user = str(context.client_principal).lower()
                elif token:
                    self.refuse(writer, b" " + base64.b64encode(token))
                    continue
            elif not user:
                context = None
            if not user:
                self.refuse(writer, b"")
                continue
            self.log.append((user, number))
            if b"/slow" in head:
                await self.released.wait()
            if b"/ws" in head:
                writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                await reader.read()
                return
            body = user.encode()
            tag = len(self.log)
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "%d"\r\nContent-Length: %d\r\n\r\n%b' % (tag, len(body), body))

    def refuse(self, writer: asyncio.StreamWriter, token: bytes) -> None:
        writer.write(b"HTTP/1.1 401 No\r\nWWW-Authenticate: %b%b\r\nContent-Length: 0\r\n\r\n" % (self.scheme, token))


def server() -> Any:
    return spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)


class Person:
    """A browser's side of the handshake on one of its connections."""

    def __init__(self, front: Front, raw: Raw, user: str, token: str = "tok", scheme: str = "NTLM") -> None:
        self.front, self.raw, self.token, self.scheme = front, raw, token, scheme
        self.client: Any = spnego.client(
            f"PLANT\\{user}", PASSWORDS[user], protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm
        )

    async def get(self, authorization: bytes | None = None, target: str = "/") -> Answer:
        more = {} if authorization is None else {"Authorization": f"{self.scheme} {authorization.decode()}"}
        return await self.raw.ask(self.front.head(target=target, token=self.token, **more))

    async def first(self) -> bytes:
        """The first two legs; what the third must say."""
        answer = await self.get()
        assert (answer.status, answer.value("www-authenticate")) == (401, self.scheme)
        answer = await self.get(base64.b64encode(self.client.step()))
        assert answer.status == 401
        challenge = base64.b64decode((answer.value("www-authenticate") or "").split(" ")[1])
        return base64.b64encode(self.client.step(challenge))

    async def sign_in(self) -> Answer:
        return await self.get(await self.first())


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
async def test_two_people_never_share_a_connection(scheme: str) -> None:
    device = Iis(scheme.encode())
    async with running(device) as front:
        front.access.add_session("two", session_id="s2", user="u2")
        ann = Person(front, await front.connect(), "ann", scheme=scheme)
        bob = Person(front, await front.connect(), "bob", "two", scheme)
        # Their handshakes overlap, and so does their work.
        last = [await ann.first(), await bob.first()]
        assert [(await ann.get(last[0])).body, (await bob.get(last[1])).body] == [b"plant\\ann", b"plant\\bob"]
        for _ in range(3):
            assert (await ann.get()).body == b"plant\\ann"
            assert (await bob.get()).body == b"plant\\bob"
        of = {user: {number for name, number in device.log if name == user} for user, _ in device.log}
        assert {user: len(numbers) for user, numbers in of.items()} == {"plant\\ann": 1, "plant\\bob": 1}
        assert not of["plant\\ann"] & of["plant\\bob"]
        # What a connection's user got is nobody's to keep.
        assert front.web.caches.size == 0


async def test_all_of_a_browsers_connections_use_the_one_and_none_gets_between_two_legs() -> None:
    device = Iis()
    async with running(device) as front:
        ann, other = Person(front, await front.connect(), "ann"), await front.connect()
        last = await ann.first()
        other.send(front.head(target="/picture"))
        (visit,) = front.web.visits
        await until(lambda: visit.pool.waiting)
        assert (await ann.get(last)).body == b"plant\\ann"
        assert (await other.read()).body == b"plant\\ann"
        assert len({number for _, number in device.log}) == 1
        # Two at once: the second waits for the first, since another connection would not be signed in.
        ann.raw.send(front.head(target="/slow"))
        await until(lambda: len(device.log) == 3)
        other.send(front.head(target="/picture"))
        await until(lambda: visit.pool.waiting)
        device.released.set()
        assert [(await ann.raw.read()).body, (await other.read()).body] == [b"plant\\ann"] * 2
        assert len({number for _, number in device.log}) == 1


async def test_a_browser_that_gives_up_halfway_holds_nobody_up() -> None:
    async with running(Iis()) as front:
        ann, other = Person(front, await front.connect(), "ann"), await front.connect()
        await ann.first()
        other.send(front.head())
        (visit,) = front.web.visits
        await until(lambda: visit.pool.waiting)
        visit.pool.sweep(asyncio.get_running_loop().time() + pool.HOLD_SECONDS + 1)
        assert (await other.read()).status == 401


async def test_when_the_connection_dies_the_handshake_begins_anew() -> None:
    device = Iis()
    async with running(device) as front:
        ann = Person(front, await front.connect(), "ann")
        await ann.first()
        heads = len(device.heads)
        device.writers[device.connections].transport.abort()
        # The third leg would count as a wrong password on another connection, so the browser is made to begin again.
        assert await ann.raw.end() == b""
        assert len(device.heads) == heads
        ann = Person(front, await front.connect(), "ann")
        assert (await ann.sign_in()).body == b"plant\\ann"
        device.writers[device.connections].transport.abort()
        (visit,) = front.web.visits
        await until(lambda: not visit.pool.idle)
        again = Person(front, ann.raw, "ann")
        assert (await again.sign_in()).body == b"plant\\ann"


async def test_a_websocket_takes_the_sign_in_along() -> None:
    device = Iis()
    async with running(device) as front:
        raw = await front.connect()
        assert (await Person(front, raw, "ann").sign_in()).status == 200
        socket = await front.connect()
        upgrade = front.head(
            target="/ws", Origin=front.origin, Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        assert (await socket.ask(upgrade)).status == 101
        # The next request has a connection of its own again, and signs it in.
        assert (await Person(front, raw, "ann").sign_in()).body == b"plant\\ann"
        assert device.log[-1][1] != device.log[-2][1]


async def test_with_a_stored_sign_in_ntlm_is_not_attempted() -> None:
    async with running(Iis(), session={"options": {"auth": "basic"}}) as front:
        front.access.credentials = {"svc1": {"user": "ann", "password": "x"}}
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 502
        assert b"asks for ntlm" in answer.body
