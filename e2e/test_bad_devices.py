"""Devices that answer no HTTP, half of it, or without end, behind real processes: one page each, and no trace after."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from e2e.harness.administrator import Administrator
from e2e.harness.badserver import GIGABYTE, GOOD, Bad, BadServer, endless
from e2e.harness.client import NAVIGATION, Client, Shown
from e2e.harness.installation import Agent, Installation
from e2e.harness.lan import Listener
from e2e.harness.memory import Memory
from e2e.harness.processes import wait_until

ADDRESS, OTHER = "127.0.84.40", "127.0.84.41"
SCRIPT = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
H = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"
TAKEN = 16_000_000  # bytes that a device may get rid of before it is cut off: the kernel's buffers are most of it
GROWN_MB = 24  # of each process in all the endless cases together


@dataclass(frozen=True)
class Case:
    """`reason` is what the page and the log say. Where the browser had a beginning, it is broken off instead."""

    bad: Bad
    reason: str


def once(data: bytes, *, closes: bool = False, begin: bytes = b"") -> Bad:
    return Bad(lambda: [data], closes, begin)


BEGUN = CHUNKED + b"4\r\nhalf\r\n"
BROKEN = {
    "garbage": Case(once(bytes(range(1, 256)) * 20), "it is not HTTP"),
    "another-protocol": Case(once(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "it is not HTTP"),
    "nul": Case(once(H + b"X: \0\r\n\r\n"), "there is a NUL in the head"),
    "half-a-head": Case(once(H + b"X-Half: ", closes=True), "closed in the middle of the head"),
    "half-a-line": Case(once(b"HTTP/1.", closes=True), "closed in the middle of the head"),
    "too-short": Case(
        once(b"half", closes=True, begin=H + b"Content-Length: 100\r\n\r\n"), "closed before the end of the body"
    ),
    "too-short-chunks": Case(once(b"8\r\nhalf", closes=True, begin=BEGUN), "closed before the end of the body"),
    "no-chunk": Case(once(CHUNKED + b"4\r\nhalf\r\nhalf\r\n"), "a chunk has no size"),
    "no-more-chunk": Case(once(b"half\r\n", begin=BEGUN), "a chunk has no size"),
    "long-chunk": Case(once(b"4\r\nhalf and more\r\n", begin=BEGUN), "a chunk is longer than its size"),
}
ENDLESS = {
    "head": Case(Bad(endless(H, b"X-Name: value\r\n")), "the head is larger than 128 kB"),
    "line": Case(Bad(endless(H + b"X: ", b"a")), "the head is larger than 128 kB"),
    "lines": Case(once(H + b"X: 1\r\n" * 600 + b"\r\n"), "the head has more than 500 lines"),
    "interim": Case(Bad(endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")), "too many interim answers"),
    "empty-lines": Case(Bad(endless(b"", b"\r\n")), "it is not HTTP"),
    "chunk-line": Case(Bad(endless(b"4;x=", b"a"), begin=BEGUN), "a chunk's size line is too long"),
    "chunk-size": Case(Bad(endless(b"", b"0"), begin=BEGUN), "a chunk's size line is too long"),
    "trailer": Case(Bad(endless(b"0\r\nX: ", b"y"), begin=BEGUN), "the trailers are too long"),
    "trailers": Case(Bad(endless(b"0\r\n", b"X: y\r\n"), begin=BEGUN), "the trailers are too long"),
}
CASES = BROKEN | ENDLESS
SILENT = {"nothing": once(b""), "silent-half": once(H + b"X-Half: ")}
EXTRA = {
    "too-long": Bad(endless(H + b"Content-Length: 4\r\n\r\nfull", b"more")),
    "after-204": once(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    "redirect": once(b"HTTP/1.1 302 Found\r\nLocation: http://%b/admin\r\nContent-Length: 0\r\n\r\n" % OTHER.encode()),
}


class Site:
    """An installation, and a device whose answers pass the agent as they are and, as `packed`, its compression."""

    def __init__(self, directory: Path) -> None:
        self.installation = Installation(directory / "installation", demo=False)
        self.device = BadServer(ADDRESS, {name: case.bad for name, case in CASES.items()} | SILENT | EXTRA)
        self.called = 0
        self.neighbour = Listener(OTHER, self._call, 80)
        self.clients: dict[str, Client] = {}
        self.agent: Agent | None = None

    def _call(self, _: object) -> None:
        self.called += 1

    def start(self) -> None:
        self.installation.start()
        self.api = Administrator.set_up(self.installation)
        made = self.api.device("bad", lan="127.0.84.0/24")
        for slug, compress in (("plain", "off"), ("packed", "all")):
            more: dict[str, Any] = {"options": {"compress": compress}}
            self.api.service(made["id"], slug, ADDRESS, self.device.port, **more)
        self.agent = Agent(self.installation, "bad", self.api.key(made["id"]), allow=[ADDRESS])
        self.api.wait_online("bad")
        self.session = self.api.call("GET", "/webproxy/v1/session")["session_id"]
        self.clients = {slug: Client(self.installation, self.api, f"{slug}--bad--acme") for slug in ("plain", "packed")}

    @property
    def port(self) -> int:
        return self.installation.port

    @property
    def lines(self) -> list[str]:
        assert self.installation.process is not None
        return self.installation.process.text.splitlines()

    def wait_for_line(self, *words: str) -> None:
        """Wait for a line of the log that has all `words` and names the session."""
        wanted = (*words, self.session)
        wait_until(f"the log says {wanted}", lambda: any(all(word in line for word in wanted) for line in self.lines))

    def broken_off(self, client: Client, path: str, headers: dict[str, str]) -> None:
        """The browser gets the beginning of an answer, and then no end that it could take for one."""
        with client.http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200
            self.device.seen[path].begun.set()
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                answer.read()

    def is_clean(self, client: Client, path: str) -> None:
        """The bad connection is closed, and the next request is answered on another."""
        seen = self.device.seen[path]
        assert seen.over.wait(10), "the connection is closed"
        after = client.http.get("/good", headers=SCRIPT)
        assert (after.status_code, after.content) == (200, GOOD)
        assert int(after.headers["x-connection"]) != seen.connection
        assert seen.sent < TAKEN

    def stop(self) -> None:
        for client in self.clients.values():
            client.close()
        if self.agent is not None:
            self.agent.stop()
        self.device.stop()
        self.neighbour.stop()
        self.installation.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("bad"))
    try:
        site.start()
        yield site
    finally:
        site.stop()


@dataclass
class Silence:
    """Pages that wait for half a minute, asked for before all else; and a script that asks for the same."""

    pages: dict[str, Future[Shown]]
    script: socket.socket


@pytest.fixture(scope="module", autouse=True)
def silence(site: Site) -> Iterator[Silence]:
    clients = {name: Client(site.installation, site.api, "plain--bad--acme") for name in SILENT}
    head = [f"GET /nothing?script HTTP/1.1\r\nHost: {clients['nothing'].host}\r\nCookie: {clients['nothing'].cookie}"]
    head += [f"{name}: {value}" for name, value in SCRIPT.items()]
    with ThreadPoolExecutor(len(SILENT)) as threads, closing(socket.create_connection(("127.0.0.1", site.port))) as raw:
        raw.sendall("\r\n".join([*head, "", ""]).encode())
        wait_until("the script has asked", lambda: "/nothing?script" in site.device.seen)
        for client in clients.values():
            client.http.timeout = httpx.Timeout(60)
        yield Silence({name: threads.submit(client.page, f"/{name}?page") for name, client in clients.items()}, raw)
    for client in clients.values():
        client.close()


@pytest.mark.parametrize("slug", ["plain", "packed"])
@pytest.mark.parametrize("name", CASES)
def test_each_bad_answer_ends_with_its_reason(site: Site, name: str, slug: str) -> None:
    case, client = CASES[name], site.clients[slug]
    page, script = f"/{name}?page-{slug}", f"/{name}?script-{slug}"
    if case.bad.begin:
        for path, headers in ((page, NAVIGATION), (script, SCRIPT)):
            site.broken_off(client, path, headers)
            site.is_clean(client, path)
        site.wait_for_line("response broken off", "garbage")
    else:
        shown = client.page(page)
        assert (shown.status, case.reason in shown.words) == (502, True), shown.words
        site.wait_for_line("problem shown", shown.reference)
        site.is_clean(client, page)
        answer = client.http.get(script, headers=SCRIPT)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], case.reason in error["message"]) == (502, "garbage", True)
        site.is_clean(client, script)
    site.wait_for_line("response is garbage", case.reason)


def test_the_endless_are_cut_off_before_they_cost_anything(site: Site) -> None:
    assert site.agent is not None
    assert site.agent.process is not None
    for client in site.clients.values():  # what a process needs for its first answers is not what this is about
        client.page("/lines?first")
    with Memory(site.installation, psutil.Process(site.agent.process.child.pid)) as memory:
        for slug, client in site.clients.items():
            for name in (*ENDLESS, "too-long"):
                path = f"/{name}?memory-{slug}"
                if name in CASES and CASES[name].bad.begin:
                    site.broken_off(client, path, SCRIPT)
                else:
                    client.http.get(path, headers=SCRIPT)
                site.is_clean(client, path)
    sent = {path: seen.sent for path, seen in site.device.seen.items() if "memory" in path}
    print(f"grown by MB: {memory.grown()}; of a gigabyte the device could send at most {max(sent.values())} bytes")
    assert max(memory.grown().values()) < GROWN_MB, memory.grown()
    assert max(sent.values()) < TAKEN < GIGABYTE / 50


@pytest.mark.parametrize("slug", ["plain", "packed"])
@pytest.mark.parametrize(("name", "expected"), [("too-long", (200, b"full")), ("after-204", (204, b""))])
def test_what_follows_an_answer_reaches_nobody(site: Site, slug: str, name: str, expected: tuple[int, bytes]) -> None:
    client, path = site.clients[slug], f"/{name}?{slug}"
    answer = client.http.get(path, headers=SCRIPT)
    assert (answer.status_code, answer.content) == expected
    site.is_clean(client, path)


@pytest.mark.parametrize("slug", ["plain", "packed"])
def test_a_redirect_to_another_host_on_the_lan_is_not_followed(site: Site, slug: str) -> None:
    client = site.clients[slug]
    shown = client.page("/redirect")
    assert shown.status == 502
    assert OTHER in shown.words
    site.wait_for_line("problem shown", "redirected", OTHER, shown.reference)
    error = client.http.get("/redirect", headers=SCRIPT).json()["error"]
    assert error["code"] == "redirected"
    assert (client.page("/good").status, site.called) == (200, 0)


def test_who_waits_for_a_page_of_a_silent_device_is_told(site: Site, silence: Silence) -> None:
    for name, future in silence.pages.items():
        shown = future.result(60)
        assert (shown.status, "30 seconds" in shown.words) == (504, True), shown.words
        site.wait_for_line("problem shown", "timeout", shown.reference)
        site.is_clean(site.clients["plain"], f"/{name}?page")
    # The script asked before, and waits on.
    seen = site.device.seen["/nothing?script"]
    silence.script.setblocking(False)
    with pytest.raises(BlockingIOError):
        silence.script.recv(1)
    assert not seen.over.is_set()
    silence.script.close()  # the browser leaves: the device's connection ends as well
    assert seen.over.wait(10)
