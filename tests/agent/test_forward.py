"""Decisions and limits of the forwarder, with streams and targets that only write down what happens to them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from agent.dial import DialFailed
from agent.forward import Forwarder
from agent.policy import Address, OwnerPolicy, parse_address
from agent.targets import Service, Targets
from panelgate.frames import StreamError
from panelgate.joining import Held
from panelgate.stream import Stream
from panelgate.tickets import Signer, Verifier, new_signing_key
from tests.fakes.tunnel import eventually

KEY = new_signing_key()


class FakeStream(asyncio.Transport):
    """Remembers its reset, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.over: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def reset(self, code: int, text: str = "") -> None:
        if not self.over.done():
            self.over.set_result((code, text))

    def is_closing(self) -> bool:
        return self.over.done()


class Table:
    def __init__(
        self,
        dial: Callable[[Service], Awaitable[asyncio.Transport]] | None = None,
        own: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self.targets = Targets("d1")
        self.dialled: asyncio.Queue[Service] = asyncio.Queue()
        self.answer: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        addresses: frozenset[Address] = frozenset(a for text in own if (a := parse_address(text)) is not None)
        owner = options.pop("owner", OwnerPolicy())
        self.forwarder = Forwarder(self.targets, owner, lambda: addresses, dial=dial or self.dial, **options)

    async def dial(self, service: Service) -> asyncio.Transport:
        self.dialled.put_nowait(service)
        return await asyncio.shield(self.answer)

    def configure(self, version: int = 1, level: str = "enforced", compress: str = "static", **hosts: str) -> None:
        """Services by id; those that begin with "link" are such as an address in a link made."""
        rows = [
            {
                "id": ident, "slug": ident, "name": ident, "host": host, "port": 80, "protocol": "http", "tls": {},
                "kind": "adhoc" if ident.startswith("link") else "lan", "compress": compress,
            }
            for ident, host in hosts.items()
        ]  # fmt: skip
        claims = {"device_id": "d1", "version": version, "lan": ["192.168.0.0/24"], "services": rows, "level": level}
        self.targets.accept(Signer(KEY).config(claims), Verifier.of(KEY))

    def open(self, service_id: str, granted: tuple[str, ...] = ("hmi", "other")) -> FakeStream:
        stream = FakeStream()
        self.forwarder.on_stream(cast("Stream", stream), service_id, granted, "c1")
        return stream

    async def ended(self, stream: FakeStream) -> tuple[int, str]:
        return await asyncio.wait_for(stream.over, 5)


async def test_what_the_ticket_does_not_name_is_refused_first() -> None:
    table = Table()
    assert await table.ended(table.open("hmi", ("other",))) == (StreamError.REFUSED, "not_in_ticket")
    assert table.forwarder.refused == 1


async def test_unknown_service() -> None:
    table = Table()
    assert (await table.ended(table.open("hmi")))[0] == StreamError.UNKNOWN_SERVICE


async def test_policy_is_asked_with_this_machines_addresses() -> None:
    table = Table(own=("192.168.0.1",))
    table.configure(hmi="192.168.0.1", other="10.0.0.1")
    assert await table.ended(table.open("hmi")) == (StreamError.REFUSED, "own_address")
    assert await table.ended(table.open("other")) == (StreamError.REFUSED, "outside_lan")
    assert table.dialled.empty()


async def test_limits_per_service_and_per_device() -> None:
    table = Table(per_service=1, per_device=2, patience=0.05)
    table.configure(hmi="192.168.0.2", other="192.168.0.3", third="192.168.0.4")
    table.open("hmi")
    assert await table.ended(table.open("hmi")) == (StreamError.LIMIT, "1 connections to this service are open")
    table.open("other")
    code, text = await table.ended(table.open("third", ("third",)))
    assert (code, text) == (StreamError.LIMIT, "2 connections through this agent are open")


async def test_a_full_service_is_waited_for() -> None:
    first: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
    dialled: list[Service] = []

    async def dial(service: Service) -> asyncio.Transport:
        dialled.append(service)
        return await first

    table = Table(dial, per_service=1)
    table.configure(hmi="192.168.0.2")
    one, two = table.open("hmi"), table.open("hmi")
    # Nobody may queue without end either.
    assert (await table.ended(table.open("hmi")))[0] == StreamError.LIMIT
    await asyncio.sleep(0)
    assert len(dialled) == 1
    two.reset(StreamError.CLOSED)
    two = table.open("hmi")  # who gave up leaves the queue
    first.set_exception(DialFailed(StreamError.UNREACHABLE, "gone"))
    assert (await table.ended(one))[0] == StreamError.UNREACHABLE
    assert (await table.ended(two))[0] == StreamError.UNREACHABLE
    assert len(dialled) == 2
    assert table.forwarder.connections == 0


async def test_a_failed_dial_gives_its_place_back_and_tells_why() -> None:
    async def fail(service: Service) -> asyncio.Transport:
        raise DialFailed(StreamError.TLS, "certificate sha256 AB")

    table = Table(fail, per_service=1)
    table.configure(hmi="192.168.0.2")
    for _ in range(2):
        assert await table.ended(table.open("hmi")) == (StreamError.TLS, "certificate sha256 AB")
    assert table.forwarder.connections == 0


async def test_a_service_that_came_meanwhile_is_dialled() -> None:
    async def refresh() -> None:
        table.configure(hmi="192.168.0.2")

    table = Table(refresh=refresh)
    table.open("hmi")
    assert (await asyncio.wait_for(table.dialled.get(), 5)).host == "192.168.0.2"


async def test_a_refresh_that_brings_nothing_refuses() -> None:
    async def refresh() -> None:
        return None

    table = Table(refresh=refresh)
    assert (await table.ended(table.open("hmi")))[0] == StreamError.UNKNOWN_SERVICE


async def test_who_left_during_the_dial_gets_no_connection() -> None:
    class Target(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.aborted = asyncio.Event()

        def abort(self) -> None:
            self.aborted.set()

    table = Table()
    table.configure(hmi="192.168.0.2")
    stream = table.open("hmi")
    await asyncio.wait_for(table.dialled.get(), 5)
    stream.reset(StreamError.CLOSED)
    target = Target()
    table.answer.set_result(target)
    await asyncio.wait_for(target.aborted.wait(), 5)


@pytest.mark.parametrize(
    ("level", "owner", "host", "reason"),
    [
        ("enforced", "standard", "192.168.0.2", "level"),
        ("ultra", "standard", "192.168.0.2", "level"),
        ("high", "standard", "192.168.0.3", "host_not_listed"),
        ("standard", "enforced", "192.168.0.2", "level"),
        ("standard", "high", "192.168.0.3", "host_not_listed"),
        ("standard", "standard", "192.168.1.3", "outside_lan"),
        ("standard", "standard", "127.0.0.1", "loopback"),
        ("standard", "standard", "169.254.169.254", "link_local"),
        ("standard", "standard", "::ffff:127.0.0.1", "ipv4_in_ipv6"),
        ("standard", "standard", "192.168.0.255", "broadcast"),
        ("standard", "standard", "192.168.0.0", "this_network"),
        ("standard", "standard", "192.168.0.1", "own_address"),
        ("standard", "standard", "0x7f.1", "not_an_ip_address"),
        ("standard", "standard", "2130706433", "not_an_ip_address"),
        ("standard", "standard", "0177.0.0.1", "not_an_ip_address"),
        ("standard", "standard", "fe80::1%eth0", "not_an_ip_address"),
    ],
)
async def test_what_a_link_made_is_decided_here_again(level: str, owner: str, host: str, reason: str) -> None:
    table = Table(own=("192.168.0.1",), owner=OwnerPolicy(level=owner))
    table.configure(level=level, hmi="192.168.0.2", link=host)
    assert await table.ended(table.open("link", ("link",))) == (StreamError.REFUSED, reason)
    assert table.dialled.empty()


async def test_what_a_link_made_opens_where_level_and_owner_allow_it() -> None:
    table = Table(owner=OwnerPolicy(level="high"))
    table.configure(level="standard", hmi="192.168.0.2", link="192.168.0.2")
    table.open("link", ("link",))
    assert (await asyncio.wait_for(table.dialled.get(), 5)).host == "192.168.0.2"


async def test_an_answer_that_was_under_way_when_the_service_was_made_is_not_the_last_word() -> None:
    looked = 0

    async def refresh() -> None:
        nonlocal looked
        looked += 1
        if looked == 2:
            table.configure(hmi="192.168.0.2")

    table = Table(refresh=refresh)
    table.open("hmi")
    assert (await asyncio.wait_for(table.dialled.get(), 5)).host == "192.168.0.2"


@pytest.mark.parametrize(("compress", "coded"), [("off", False), ("static", True), ("all", True)])
async def test_the_services_setting_decides_about_compression(compress: str, coded: bool) -> None:
    loop = asyncio.get_running_loop()
    near, stream_end = socket.socketpair()
    device, device_end = socket.socketpair()
    stream, _ = await loop.create_connection(Held, sock=stream_end)
    table = Table()
    table.configure(compress=compress, hmi="192.168.0.2")
    table.answer.set_result((await loop.create_connection(Held, sock=device_end))[0])
    table.forwarder.on_stream(cast("Stream", stream), "hmi", ("hmi",), "c1")
    async with asyncio.timeout(5):
        near_reader, near_writer = await asyncio.open_connection(sock=near)
        device_reader, device_writer = await asyncio.open_connection(sock=device)
        near_writer.write(b"GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n")
        await device_reader.readuntil(b"\r\n\r\n")
        device_writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n\r\n" + b"x" * 2000)
        device_writer.close()
        answer = await near_reader.read()
        near_writer.close()
    await eventually(lambda: not table.forwarder.connections)
    assert (b"Content-Encoding: gzip" in answer) is coded


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ({"level": "enforced", "hmi": "192.168.0.2", "link": "192.168.0.3"}, "level"),
        ({"level": "high", "hmi": "192.168.0.2", "link": "192.168.0.3"}, "host_not_listed"),
        ({"level": "standard", "hmi": "192.168.0.2"}, "unknown_service"),
        ({"level": "standard", "hmi": "192.168.0.2", "link": "192.168.0.9"}, "service_changed"),
    ],
)
async def test_what_a_new_configuration_does_not_allow_ends_at_once(then: dict[str, str], reason: str) -> None:
    loop = asyncio.get_running_loop()
    near, stream_end = socket.socketpair()
    device, device_end = socket.socketpair()
    device.setblocking(False)
    stream, _ = await loop.create_connection(Held, sock=stream_end)
    table = Table()
    table.configure(level="standard", hmi="192.168.0.2", link="192.168.0.3")
    table.answer.set_result((await loop.create_connection(Held, sock=device_end))[0])
    table.forwarder.on_stream(cast("Stream", stream), "link", ("link",), "c1")
    near.sendall(b"asked")
    async with asyncio.timeout(5):
        assert await loop.sock_recv(device, 10) == b"asked"
        table.configure(2, level="standard", compress="all", hmi="192.168.0.2", link="192.168.0.3")
        table.forwarder.reconsider()
        near.sendall(b"again")
        assert await loop.sock_recv(device, 10) == b"again"  # what didn't change goes on
        table.configure(3, **then)  # type: ignore[arg-type]
        table.forwarder.reconsider()
        assert await loop.sock_recv(device, 10) == b""
        assert table.forwarder.refused == 1
        await eventually(lambda: not table.forwarder.connections)
    near.close()
    device.close()


async def test_what_is_being_dialled_ends_as_well() -> None:
    table = Table(per_service=1)
    table.configure(hmi="192.168.0.2")
    dialled, waiting = table.open("hmi"), table.open("hmi")
    await asyncio.wait_for(table.dialled.get(), 5)
    table.configure(2, other="192.168.0.3")
    table.forwarder.reconsider()
    assert await table.ended(dialled) == (StreamError.REFUSED, "unknown_service")
    assert await table.ended(waiting) == (StreamError.REFUSED, "unknown_service")
    table.answer.set_exception(DialFailed(StreamError.UNREACHABLE, ""))
    await eventually(lambda: not table.forwarder.connections)
    assert table.dialled.empty()
