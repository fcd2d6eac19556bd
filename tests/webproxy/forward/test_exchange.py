from __future__ import annotations

import asyncio
import gzip
import os
import socket
import zlib

import pytest

from panelgate.frames import StreamError
from tests.fakes.circuit import FakeReset
from tests.fakes.front import OK, Device, running, until


async def test_chunks_go_through_as_chunks() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0.01)
        writer.write(b"0\r\nX-Trailer: 1\r\n\r\n")
        await reader.read()

    async with running(Device(handler=handler)) as front:
        answer = await front.ask(front.head())
        assert answer.body == b"onetwothree"
        assert answer.value("transfer-encoding") == "chunked"


async def test_an_event_stream_is_not_held_back() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await reader.readexactly(1)

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        raw.send(front.head())
        async with asyncio.timeout(5):
            assert b"event-stream" in await raw.reader.readuntil(b"\r\n\r\n")


async def test_head_204_and_304_have_no_body() -> None:
    for answer_bytes, method, status in (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HEAD", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", 204),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", "GET", 304),
    ):
        async with running(Device(answer_bytes)) as front:
            raw = await front.connect()
            for _ in range(2):
                answer = await raw.ask(front.head(method))
                assert answer.status == status
                assert answer.value("content-length") == ("99" if method == "HEAD" else None)
            assert front.device.connections == 1


async def test_a_request_body_in_chunks() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await front.device.head(reader)
        body = await front.device.body(reader, head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with running(Device(handler=handler)) as front:
        head = front.head("POST", Origin=front.origin, Transfer_Encoding="chunked")
        assert (await front.ask(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).body == b"abcde"


async def test_expect_continue_is_answered_here() -> None:
    async with running() as front:
        raw = await front.connect()
        raw.send(front.head("POST", Origin=front.origin, Content_Length="3", Expect="100-continue"))
        assert (await raw.read()).status == 100
        raw.send(b"abc")
        assert (await raw.read()).status == 200
        assert b"Expect" not in front.device.heads[0]


async def test_a_kept_connection_that_died_is_tried_again_once_for_get() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(OK)
        await front.device.head(reader)  # and closes without an answer

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        assert (await raw.ask(front.head(target="/1"))).status == 200
        assert (await raw.ask(front.head(target="/2"))).status == 200
        assert front.device.connections == 2


async def test_a_command_is_never_sent_twice() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(OK)
        await front.device.head(reader)

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        assert (await raw.ask(front.head(target="/1"))).status == 200
        post = front.head("POST", "/start", Origin=front.origin, Content_Length="0", Accept="text/html")
        answer = await raw.ask(post)
        assert answer.status == 502
        assert b"not sent a second time" in answer.body
        assert sum(b"/start" in head for head in front.device.heads) == 1


async def test_a_visit_that_waits_for_its_first_circuit_is_in_use() -> None:
    async with running() as front:
        open_now, slow = front.web.circuits._opener, asyncio.Event()

        async def opener(**arguments: object) -> object:
            await slow.wait()
            return await open_now(**arguments)

        front.web.circuits._opener = opener  # type: ignore[assignment]
        raw = await front.connect()
        raw.send(front.head())
        await until(lambda: front.access.circuits)
        front.web.sweep()
        slow.set()
        assert (await raw.read()).status == 200


async def test_a_lost_circuit_is_opened_again_for_a_get() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await front.device.head(reader)
            if len(front.device.heads) == 2:
                front.circuits[0].close()
                return
            writer.write(OK)

    async with running(Device(handler=handler)) as front:
        assert (await front.ask(front.head())).status == 200
        assert (await front.ask(front.head())).status == 200
        assert front.access.circuits == 2


@pytest.mark.parametrize(("code", "text", "status", "words"), [
    (StreamError.CONNECTION_REFUSED, "", 502, b"port is closed"), (StreamError.UNREACHABLE, "", 502, b"be reached"),
    (StreamError.TIMEOUT, "", 504, b"does not answer"), (StreamError.TLS, "certificate sha256 AB:CD", 502, b"AB:CD"),
    (StreamError.REFUSED, "", 403, b"agent refuses"),
])  # fmt: skip
async def test_ends_of_streams_are_said_in_words(code: int, text: str, status: int, words: bytes) -> None:
    async with running() as front:
        front.targets["svc1"] = FakeReset(code, text)
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == status
        assert words in answer.body


async def test_offline_says_since_when() -> None:
    async with running() as front:
        front.access.offline = {"since": "2026-01-31T12:00:00Z", "last_address": "198.51.100.7"}
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 503
        assert b"2026-01-31T12:00:00Z" in answer.body


async def test_garbage_and_half_answers() -> None:
    async with running(Device(b"RFB 003.008\n and more of it")) as front:
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 502
        assert b"not as a web server" in answer.body

    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    async with running(Device(handler=short)) as front:
        raw = await front.connect()
        raw.send(front.head())
        end = await raw.end()
        assert b"200 OK" in end or end == b""
        assert not end.endswith(b"abcdefghij")


async def test_an_answer_that_runs_over_never_reaches_the_next_request() -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with running(Device(evil)) as front:
        raw = await front.connect()
        for _ in range(3):
            assert (await raw.ask(front.head())).body == b"ok"
        assert front.device.connections == 3


async def test_redirects_to_unknown_addresses_stop_here() -> None:
    async with running(
        Device(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.99/x\r\nContent-Length: 0\r\n\r\n")
    ) as front:
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 502
        assert b"10.0.0.99" in answer.body
        assert answer.value("location") is None
    async with running(
        Device(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.5/x\r\nContent-Length: 0\r\n\r\n")
    ) as front:
        answer = await front.ask(front.head())
        assert answer.value("location") == front.origin + "/x"


async def test_bytes_are_counted_for_the_audit() -> None:
    async with running() as front:
        await front.ask(front.head())
        await front.web.connections.flush()
        row = front.access.reports["con1"]
        assert row["bytes_up"] == len(front.device.heads[0])
        assert row["bytes_down"] == len(OK)


async def test_an_early_answer_ends_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with running(Device(handler=handler)) as front:
        raw = await front.connect()
        raw.send(front.head("POST", Origin=front.origin, Content_Length="100"))
        answer = await raw.read()
        assert answer.status == 413
        assert answer.value("connection") == "close"
        assert await raw.end() == b""


async def test_a_service_that_is_newer_than_the_circuit_gets_a_new_one() -> None:
    for code in (StreamError.UNKNOWN_SERVICE, StreamError.REFUSED):
        for method in ("GET", "DELETE"):
            async with running() as front:
                assert (await front.ask(front.head())).status == 200
                before = front.circuits[0]
                before.targets = {"svc1": FakeReset(code)}
                front.clock.advance(10)
                front.web.visits._all[("tok", front.label)].pool.close()
                answer = await front.ask(front.head(method, Origin=front.origin))
                assert (answer.status, answer.body) == (200, b"ok")
                assert len(front.circuits) == 2
                assert before.is_open  # what runs on it may go on


async def test_an_agent_that_refuses_for_good_costs_one_circuit() -> None:
    async with running() as front:
        front.targets["svc1"] = FakeReset(StreamError.REFUSED)
        for _ in range(5):
            assert (await front.ask(front.head())).status == 403
        assert len(front.circuits) == 2


async def test_a_command_with_a_body_is_not_sent_half_to_a_new_circuit() -> None:
    async with running() as front:
        front.targets["svc1"] = FakeReset(StreamError.UNKNOWN_SERVICE)
        ask = front.head("POST", Origin=front.origin, Content_Length="2") + b"on"
        assert (await front.ask(ask)).status == 502
        assert len(front.circuits) == 1


REWRITE = {"options": {"rewrite": True}}
PAGE = b"<a href='http://10.0.0.5/x'>x</a>"


def answer_with(body: bytes, *lines: str, framing: str = "length") -> bytes:
    head = ["HTTP/1.1 200 OK", "Content-Type: text/html", 'ETag: "a"', *lines]
    if framing == "length":
        head.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        head.append("Transfer-Encoding: chunked")
        body = b"".join(b"1\r\n%b\r\n" % body[at : at + 1] for at in range(len(body))) + b"0\r\n\r\n"
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_addresses_in_pages_are_replaced_however_they_come(framing: str, coding: str, version: str) -> None:
    packed = {"identity": PAGE, "gzip": gzip.compress(PAGE), "deflate": zlib.compress(PAGE)}[coding]
    lines = [] if coding == "identity" else [f"Content-Encoding: {coding}"]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await front.device.head(reader)
            whole = answer_with(packed, *lines, framing=framing)
            for at in range(0, len(whole), 50):
                writer.write(whole[at : at + 50])
                await asyncio.sleep(0)
            if framing == "close":
                return

    async with running(Device(handler=handler), session=REWRITE) as front:
        raw = await front.connect()
        for _ in range(2 if version == "1.1" else 1):
            head = front.head(Accept_Encoding="gzip, br").replace(b"HTTP/1.1", b"HTTP/" + version.encode())
            answer = await raw.ask(head)
            assert answer.body == PAGE.replace(b"http://10.0.0.5", front.origin.encode())
            assert answer.value("content-encoding") is None
            assert str(answer.value("etag")).startswith('W/"pg-')
        assert b"Accept-Encoding: gzip\r\n" in front.device.heads[0]


async def test_pictures_and_what_can_not_be_read_pass_as_they_are() -> None:
    async with running(Device(answer_with(PAGE, "Content-Encoding: br")), session=REWRITE) as front:
        for _ in range(2):
            answer = await front.ask(front.head())
            assert (answer.body, answer.value("etag"), answer.value("content-encoding")) == (PAGE, '"a"', "br")


async def test_heads_of_pages_tell_no_wrong_length() -> None:
    async with running(Device(answer_with(b"").replace(b"Length: 0", b"Length: 33")), session=REWRITE) as front:
        raw = await front.connect()
        answer = await raw.ask(front.head("HEAD"))
        assert (answer.status, answer.value("content-length")) == (200, None)


async def test_a_rewritten_page_is_asked_about_with_the_devices_own_tag() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await front.device.head(reader)
            fresh = b'If-None-Match: "a"' in head
            writer.write(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n' if fresh else answer_with(PAGE))

    async with running(Device(handler=handler), session=REWRITE) as front:
        raw = await front.connect()
        tag = (await raw.ask(front.head())).value("etag")
        assert tag is not None
        assert (await raw.ask(front.head(If_None_Match=tag))).status == 304
        assert (await raw.ask(front.head(If_None_Match='W/"pg-00000000s-a"'))).status == 200


async def test_a_page_that_is_not_compressed_as_it_says_is_an_error_with_a_reason() -> None:
    async with running(Device(answer_with(PAGE, "Content-Encoding: gzip")), session=REWRITE) as front:
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 502
        assert b"not compressed" in answer.body
    whole = gzip.compress(os.urandom(200_000))
    async with running(Device(answer_with(whole[:-9], "Content-Encoding: gzip")), session=REWRITE) as front:
        raw = await front.connect()
        raw.send(front.head())
        assert not (await raw.end()).endswith(b"0\r\n\r\n")


async def test_a_bomb_waits_for_the_browser() -> None:
    bomb = gzip.compress(b" " * 60_000_000)
    async with running(Device(answer_with(bomb, "Content-Encoding: gzip")), session=REWRITE) as front:
        raw = await front.connect()
        raw.send(front.head())
        await until(lambda: [one for one in front.fronts if one.write_paused])
        transport = next(iter(front.fronts)).transport
        assert transport.get_write_buffer_size() < 1_000_000
        async with asyncio.timeout(60):
            await raw.reader.readuntil(b"\r\n\r\n")
            total = 0
            while size := int(await raw.reader.readline(), 16):
                await raw.reader.readexactly(size + 2)
                total += size
        assert total == 60_000_000


async def test_events_are_not_held_back_by_rewriting() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: http://10.0.0.5/1\n\n")
        await reader.readexactly(1)

    async with running(Device(handler=handler), session=REWRITE) as front:
        raw = await front.connect()
        raw.send(front.head())
        async with asyncio.timeout(5):
            assert front.origin.encode() in await raw.reader.readuntil(b"/1\n\n")


async def test_what_is_kept_is_rewritten_each_time() -> None:
    body = gzip.compress(PAGE * 5000)
    raw = answer_with(body, "Cache-Control: max-age=60", "Content-Encoding: gzip")
    async with running(Device(raw), session=REWRITE) as front:
        for _ in range(3):
            answer = await front.ask(front.head(Accept_Encoding="gzip"))
            assert answer.body == (PAGE * 5000).replace(b"http://10.0.0.5", front.origin.encode())
        tag = answer.value("etag")
        assert tag is not None
        assert (await front.ask(front.head(Accept_Encoding="gzip", If_None_Match=tag))).status == 304
        assert len(front.device.heads) == 1


class _FastBrowser:
    """A browser as fast as can be, on a processor of its own; `got` bytes so far."""

    def __init__(self) -> None:
        self.got = 0

    def take(self, port: int, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
            connection.sendall(request)
            while piece := connection.recv(1 << 20):
                self.got += len(piece)


async def test_what_unpacks_to_much_leaves_everybody_else_their_turn() -> None:
    size = 64 * 1024 * 1024
    bomb = gzip.compress(b" " * size)
    async with running(Device(answer_with(bomb, "Content-Encoding: gzip")), session=REWRITE) as front:
        browser = _FastBrowser()
        before = most = 0

        def turn() -> None:
            nonlocal before, most
            before, most = browser.got, max(most, browser.got - before)
            asyncio.get_running_loop().call_soon(turn)

        turn()
        head = front.head(Connection="close", Accept_Encoding="gzip")
        await asyncio.to_thread(browser.take, front.port, head)
        assert browser.got > size
        assert most < size // 4, "bytes that arrived in one turn of the loop"


async def test_what_is_left_in_the_filter_ends_with_the_session() -> None:
    """Kept or whole already: no stream of the device's is there that would be cut."""
    bomb = gzip.compress(b" " * 30_000_000)
    device = Device(answer_with(bomb, "Content-Encoding: gzip", "Cache-Control: max-age=60"))
    async with running(device, session=REWRITE) as front:
        assert len((await front.ask(front.head(Accept_Encoding="gzip"))).body) == 30_000_000
        raw = await front.connect()
        raw.send(front.head(Accept_Encoding="gzip"))
        await until(lambda: [one for one in front.fronts if one.write_paused])
        visit = next(iter(front.web.visits))
        assert not visit.pool.busy
        front.access.push({"type": "session.ended", "session_id": "s1"})
        await until(lambda: not visit.alive)
        assert len(await raw.end()) < 20_000_000
        assert len(device.heads) == 1


async def test_a_device_that_was_held_for_the_others_turn_goes_on() -> None:
    packed = gzip.compress(b" " * 1_200_000)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await front.device.head(reader)
        half = len(packed) - 20
        writer.write(answer_with(packed, "Content-Encoding: gzip")[:-20])
        await gone_out.wait()
        writer.write(packed[half:])
        await reader.read()

    gone_out = asyncio.Event()
    async with running(Device(handler=handler), session=REWRITE) as front:
        raw = await front.connect()
        raw.send(front.head(Accept_Encoding="gzip"))
        await raw.reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(20):
            total = 0
            while size := int(await raw.reader.readline(), 16):
                total += len(await raw.reader.readexactly(size + 2)) - 2
                if total > 1_000_000:
                    gone_out.set()
        assert total == 1_200_000
