"""Carriers over real sockets. (test_circuit.py goes through uvloop as well.)"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from panelgate import carrier as carriers
from panelgate import upgrade, wsframes
from panelgate.carrier import Carrier, CarrierClosed, ServerCarrier, connect
from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.wsframes import Opcode
from tests.fakes.tunnel import SECONDS, FakeRelay, make_identities


class Handler:
    """Remembers what a carrier says."""

    def __init__(self) -> None:
        self.data = b""
        self.texts: list[str] = []
        self.closed: list[Exception | None] = []
        self.paused = False
        self.changed = asyncio.Event()
        self.react: Callable[[bytes], None] | None = None

    def carrier_data(self, data: bytes) -> None:
        self.data += data
        self.changed.set()
        if self.react is not None:
            self.react(data)

    def carrier_message(self, text: str) -> None:
        self.texts.append(text)
        self.changed.set()

    def carrier_closed(self, exc: Exception | None) -> None:
        self.closed.append(exc)
        self.changed.set()

    def carrier_pause(self) -> None:
        self.paused = True
        self.changed.set()

    def carrier_resume(self) -> None:
        self.paused = False
        self.changed.set()

    async def until(self, condition: Callable[["Handler"], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


class Site:
    """A listener without TLS; the next upgrade is decided by `admit`."""

    def __init__(self) -> None:
        self.port = 0
        self.carriers: list[Carrier] = []
        self.handler = Handler()
        self.messages = False
        self.refusal: Exception | None = None
        self.greeting = b""
        self.head_seconds = 5.0

    def _admit(self, path: str, headers: dict[str, str], carrier: Carrier) -> None:
        self.headers = headers
        if self.refusal is not None:
            raise self.refusal
        if path == "/nothing":
            return
        self.carriers.append(carrier)
        carrier.use(self.handler, messages=self.messages)
        if self.greeting:
            carrier.write(self.greeting)

    def make(self) -> ServerCarrier:
        return ServerCarrier(self._admit, self._plain, head_seconds=self.head_seconds)

    @staticmethod
    def _plain(path: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        if path == "/broken":
            raise RuntimeError
        return 200, "application/json", b'{"path":"' + path.encode() + b'"}'

    async def dial(self, handler: Handler, path: str = "/x", **options: Any) -> Carrier:
        return await connect(
            f"ws://127.0.0.1:{self.port}{path}", ssl=None, headers={"Panelgate-Ticket": "t"}, protocol=handler,
            timeout=SECONDS, **options,
        )  # fmt: skip

    async def raw(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        async with asyncio.timeout(SECONDS):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.get_running_loop().create_server(site.make, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    for carrier in site.carriers:
        carrier.abort()
    server.close()
    await server.wait_closed()


async def test_bytes_both_ways_and_a_clean_close(site: Site) -> None:
    near = Handler()
    site.greeting = b"hello before the answer"
    carrier = await site.dial(near)
    assert site.headers["panelgate-ticket"] == "t"
    await near.until(lambda h: h.data == site.greeting)
    carrier.write(b"x" * 300_000)
    carrier.write(b"")
    await site.handler.until(lambda h: len(h.data) == 300_000)
    assert (carrier.bytes_out, site.carriers[0].bytes_in) == (300_000, 300_000)
    assert site.carriers[0].peer == "127.0.0.1"
    carrier.close()
    await near.until(lambda h: h.closed)
    await site.handler.until(lambda h: h.closed)
    assert near.closed == site.handler.closed == [None]
    carrier.close()
    carrier.write(b"nothing happens")
    assert not carrier.is_open


async def test_a_close_with_a_reason_tells_the_other_side(site: Site) -> None:
    near = Handler()
    await site.dial(near)
    site.carriers[0].close(1008, "cut_revoked")
    await near.until(lambda h: h.closed)
    assert isinstance(near.closed[0], CarrierClosed)
    assert (near.closed[0].code, near.closed[0].reason) == (1008, "cut_revoked")


async def test_a_connection_that_breaks_off_is_an_error(site: Site) -> None:
    near = Handler()
    await site.dial(near)
    site.carriers[0].abort()
    await near.until(lambda h: h.closed)
    assert isinstance(near.closed[0], CarrierClosed)
    assert near.closed[0].code == 1006
    assert site.handler.closed in ([], [None])


async def test_messages(site: Site) -> None:
    near = Handler()
    site.messages = True
    carrier = await site.dial(near, messages=True)
    carrier.send_message('{"type":"refuse"}')
    site.carriers[0].send_message("ä" * 100)
    await site.handler.until(lambda h: h.texts)
    await near.until(lambda h: h.texts)
    assert (site.handler.texts, near.texts) == (['{"type":"refuse"}'], ["ä" * 100])
    with pytest.raises(BadInput):
        carrier.send_message("x" * 20_000)
    carrier._send(wsframes.frame(Opcode.TEXT, b"\xff", client=True))
    await near.until(lambda h: h.closed)
    assert near.closed[0].code == 1007  # type: ignore[union-attr]


async def test_a_broken_frame_ends_the_carrier(site: Site) -> None:
    near = Handler()
    carrier = await site.dial(near)
    carrier._send(b"\xff\xff\xff\xff")
    await near.until(lambda h: h.closed)
    await site.handler.until(lambda h: h.closed)
    assert near.closed[0].code == 1002  # type: ignore[union-attr]
    assert site.handler.closed[0].code == 1002  # type: ignore[union-attr]


async def test_an_exception_in_a_handler_ends_its_carrier(site: Site) -> None:
    near = Handler()
    carrier = await site.dial(near)

    def fail(data: bytes) -> None:
        raise RuntimeError("a bug")

    site.handler.react = fail
    carrier.write(b"x")
    await near.until(lambda h: h.closed)
    assert near.closed[0].code == 1011  # type: ignore[union-attr]


async def test_a_slow_reader_pauses_the_writer(site: Site) -> None:
    near = Handler()
    carrier = await site.dial(near)
    site.carriers[0].pause_reading()
    sent = 0
    async with asyncio.timeout(SECONDS):
        while not near.paused:
            carrier.write(b"x" * 65536)
            sent += 65536
            await asyncio.sleep(0)
    site.carriers[0].resume_reading()
    await near.until(lambda h: not h.paused)
    await site.handler.until(lambda h: len(h.data) == sent)


async def test_a_writer_that_ignores_the_pause_is_cut(site: Site) -> None:
    near = Handler()
    carrier = await site.dial(near)
    site.carriers[0].pause_reading()
    for _ in range(600):
        carrier.write(b"x" * 65536)
    assert not carrier.is_open
    carrier.abort()
    await near.until(lambda h: h.closed)


async def test_silence_is_noticed_and_pings_prevent_it(site: Site) -> None:
    near = Handler()
    carrier = await site.dial(near)
    carrier.keep_alive(0.05, 0.05)
    carrier.keep_alive(0.05, 5.0)
    await asyncio.sleep(0.2)  # the pings are answered
    assert not near.closed
    site.carriers[0].pause_reading()
    carrier.keep_alive(0.05, 0.1)
    await near.until(lambda h: h.closed)
    assert near.closed[0].reason == "silent"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Refused("ticket_expired", "too old"), Refused, "ticket_expired"),
        (Unavailable("device_not_here", "gone", status=409), Unavailable, "device_not_here"),
        (RuntimeError("a bug"), PanelgateError, "internal"),
    ],
)
async def test_a_refused_upgrade_raises_what_the_server_said(
    site: Site, error: Exception, kind: type[PanelgateError], code: str
) -> None:
    site.refusal = error
    with pytest.raises(kind) as caught:
        await site.dial(Handler())
    assert caught.value.code == code


async def test_an_upgrade_that_nobody_takes(site: Site) -> None:
    with pytest.raises(Refused) as caught:
        await site.dial(Handler(), "/nothing")
    assert (caught.value.code, caught.value.status) == ("not_found", 404)


async def test_plain_requests_are_answered(site: Site) -> None:
    answer = await site.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"path":"/health"}')
    assert (await site.raw(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
    assert (await site.raw(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert (await site.raw(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert (await site.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 17_000)).startswith(b"HTTP/1.1 431 ")
    request = upgrade.make_request("/x", "x", "short", {})
    assert (await site.raw(request)).startswith(b"HTTP/1.1 400 ")


async def test_a_slow_loris_is_cut(site: Site) -> None:
    site.head_seconds = 0.05
    with contextlib.suppress(ConnectionResetError):
        assert await site.raw(b"GET / HTTP/1.1\r\nX: ") == b""


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "bad_answer"),
        (upgrade.make_accept("another key"), "bad_answer"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nhtml", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "bad_answer"),
        (b"", "relay_down"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 40\r\n\r\n{", "relay_down"),
    ],
)  # fmt: skip
async def test_strange_servers(answer: bytes, code: str) -> None:
    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(strange, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    handler = Handler()
    with pytest.raises(Unavailable) as caught:
        await connect(f"ws://127.0.0.1:{port}/", ssl=None, headers={}, protocol=handler, timeout=SECONDS)
    assert caught.value.code == code
    assert not handler.closed
    server.close()
    await server.wait_closed()


async def test_dialling_nobody_and_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Unavailable) as caught:
            await connect(url, ssl=None, headers={}, protocol=Handler(), timeout=0.05)
        assert caught.value.code == "relay_timeout"
    with pytest.raises(Unavailable) as caught:
        await connect(url, ssl=None, headers={}, protocol=Handler(), timeout=SECONDS)
    assert caught.value.code == "relay_down"
    for bad in ("http://x/", "wss://x/", "ws:///"):
        with pytest.raises(BadInput):
            await connect(bad, ssl=None, headers={}, protocol=Handler(), timeout=SECONDS)


async def test_the_relays_certificate_is_checked(tmp_path: Path) -> None:
    who, other = make_identities(tmp_path / "ours"), make_identities(tmp_path / "theirs")
    async with FakeRelay().running(who.relay) as relay:
        with pytest.raises(Unavailable) as caught:
            await connect(relay.url, ssl=other.agent.client_context(), headers={}, protocol=Handler(), timeout=SECONDS)
        assert caught.value.code == "relay_untrusted"
        carrier = await connect(
            relay.url, ssl=who.agent.client_context(), headers={}, protocol=Handler(), timeout=SECONDS
        )
        assert isinstance(carrier._transport.get_extra_info("ssl_object"), ssl.SSLObject | ssl.SSLSocket)
        carrier.abort()


async def test_carrier_sockets_are_tuned(site: Site) -> None:
    carrier = await site.dial(Handler())
    sock = carrier._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert carriers.TCP_NOTSENT_LOWAT is not None
    assert sock.getsockopt(socket.IPPROTO_TCP, carriers.TCP_NOTSENT_LOWAT) == carriers.NOTSENT_LOWAT
    carrier.abort()
