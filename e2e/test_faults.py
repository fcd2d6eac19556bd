"""Everything that goes wrong at a machine or on the server, each with a page of its own; and what must stay flat."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from e2e.harness.administrator import CLIENT, Administrator
from e2e.harness.client import NAVIGATION, Client, Shown
from e2e.harness.client import words as text_of
from e2e.harness.installation import PANELGATE, Agent, Installation
from e2e.harness.lan import (
    PIECE,
    FullListener,
    Listener,
    Machine,
    fingerprint,
    hangs_up,
    resets,
    self_signed,
    silent,
    speaks_ssh,
)
from e2e.harness.memory import Memory
from e2e.harness.processes import free_port, wait_until
from panelgate.errors import PanelgateError

ADDRESS = "127.0.84.10"
NOWHERE = "10.202.84.9"  # no host has it, and the kernel is told so
DISK_MB = 12  # of the access server's data folder: little enough to be filled in a moment
PIECES = 1600  # 100 MB
FLAT_MB = 32  # how much a process may grow while 100 MB pass it


class Site:
    """An installation whose access server is on a small disk of its own, and a machine with troublesome panels."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.installation = Installation(directory / "installation", demo=False)
        self.disk = self.installation.data / "access"
        self.disk.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", self.disk], check=True, timeout=10)
        subprocess.run(["ip", "route", "replace", "unreachable", f"{NOWHERE}/32"], check=True, timeout=10)
        self.parts: list[Any] = []
        self.clients: dict[str, Client] = {}

    def start(self) -> None:
        self.installation.start()
        self.api = Administrator.set_up(self.installation)
        lan = ["127.0.84.0/24", "10.202.84.0/24"]
        body = {"slug": "press", "name": "Press", "site": "", "description": "", "lan": lan}
        self.device = self.api.call("POST", "/admin/v1/devices", body)["device"]["id"]
        good = self_signed(self.directory, "good", host=f"IP:{ADDRESS}")
        self.pin = fingerprint(good[0])
        self.machine, self.secure = self.keep(Machine(ADDRESS)), self.keep(Machine(ADDRESS, good))
        ports = {
            "closed": free_port(ADDRESS),
            "silent": self.keep(Listener(ADDRESS, silent)).port,
            "resets": self.keep(Listener(ADDRESS, resets)).port,
            "hangs-up": self.keep(Listener(ADDRESS, hangs_up)).port,
            "ssh": self.keep(Listener(ADDRESS, speaks_ssh)).port,
            "dropped": self.keep(FullListener(ADDRESS)).port,
            "machine": self.machine.port,
        }
        for slug, port in ports.items():
            self.api.service(self.device, slug, ADDRESS, port)
        self.api.service(self.device, "nowhere", NOWHERE, 80)
        https = [
            ("tls-any", self.secure.port, {"tls_verify": "none"}),
            ("tls-pinned", self.secure.port, {"tls_verify": "pin", "tls_pin": self.pin}),
            ("tls-other", self.secure.port, {"tls_verify": "pin", "tls_pin": "ab" * 32}),
            ("tls-strict", self.secure.port, {"tls_verify": "ca"}),
            ("tls-none", self.machine.port, {"tls_verify": "none"}),
            ("tls-silent", ports["silent"], {"tls_verify": "none"}),
        ]
        for slug, port, how in https:
            self.api.service(self.device, slug, ADDRESS, port, "https", **how)
        self.agent = Agent(self.installation, "press", self.api.key(self.device), allow=[ADDRESS, NOWHERE])
        self.api.wait_online("press")
        self.session = self.api.call("GET", "/webproxy/v1/session")["session_id"]

    def keep(self, part: Any) -> Any:
        self.parts.append(part)
        return part

    def client(self, slug: str) -> Client:
        if slug not in self.clients:
            self.clients[slug] = Client(self.installation, self.api, f"{slug}--press--acme")
        return self.clients[slug]

    @property
    def log(self) -> str:
        assert self.installation.process is not None
        return self.installation.process.text

    def stop(self) -> None:
        for client in self.clients.values():
            client.close()
        if hasattr(self, "agent"):
            self.agent.stop()
        for part in self.parts:
            part.stop()
        self.installation.stop()
        subprocess.run(["umount", "-l", self.disk], check=False, timeout=10)
        subprocess.run(["ip", "route", "del", "unreachable", f"{NOWHERE}/32"], check=False, timeout=10)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("faults"))
    try:
        site.start()
        yield site
    finally:
        site.stop()


# slug -> status, words of the page that name the trouble
TROUBLES: dict[str, tuple[int, str]] = {
    "closed": (502, "port is closed"),
    "nowhere": (502, "can't be reached"),
    "dropped": (504, "does not answer"),
    "resets": (502, "hung up"),
    "hangs-up": (502, "hung up"),
    "ssh": (502, "not as a web server does"),
    "tls-other": (502, "not the certificate that was trusted"),
    "tls-strict": (502, "panel's certificate is not"),
    "tls-none": (502, "No encrypted connection"),
    "tls-silent": (504, "does not answer"),
}


@pytest.fixture(scope="module")
def answers(site: Site) -> Iterator[dict[str, Future[Shown]]]:
    """All asked at once: two of them take ten seconds each."""
    clients = {slug: site.client(slug) for slug in TROUBLES}
    with ThreadPoolExecutor(len(TROUBLES)) as threads:
        yield {slug: threads.submit(clients[slug].page, "/start?x=1") for slug in TROUBLES}


@pytest.mark.parametrize("slug", TROUBLES)
def test_each_trouble_has_a_page_of_its_own(site: Site, answers: dict[str, Future[Shown]], slug: str) -> None:
    status, words = TROUBLES[slug]
    shown = answers[slug].result(30)
    assert (shown.status, words in shown.words) == (status, True), shown.words
    assert (NOWHERE if slug == "nowhere" else ADDRESS) in shown.words, "the target is named"
    assert shown.retries
    # One line of the log has the same reference, and whose session it was.
    assert shown.reference
    wait_until("the log has it", lambda: shown.reference in site.log)
    line = next(line for line in site.log.splitlines() if shown.reference in line)
    assert site.session in line
    if slug in ("tls-other", "tls-strict"):
        pairs = ":".join(site.pin[at : at + 2] for at in range(0, 64, 2)).upper()
        assert pairs in shown.words, "the page shows the fingerprint to compare with the panel's"
    if slug == "tls-other":
        assert ":".join(["AB"] * 32) in shown.words, "and the one that is trusted"


def test_scripts_get_the_same_as_json(site: Site) -> None:
    answer = site.client("closed").http.get("/api", headers={"Accept": "application/json", "Sec-Fetch-Mode": "cors"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "connection_refused")


@pytest.mark.parametrize("slug", ["tls-any", "tls-pinned"])
def test_a_panel_with_a_certificate_of_its_own_is_reached(site: Site, slug: str) -> None:
    assert "Press 4" in site.client(slug).page().html


@pytest.fixture
def memory(site: Site) -> Memory:
    assert site.agent.process is not None
    # Once with a little: what a process needs for its first transfer is not what this is about.
    client = site.client("machine")
    client.http.get("/bulk?n=100")
    client.post("/upload", PIECE * 100, len(PIECE) * 100)
    return Memory(site.installation, psutil.Process(site.agent.process.child.pid))


def test_a_hundred_megabytes_come_whole_and_nobody_holds_them(site: Site, memory: Memory) -> None:
    digest, size = hashlib.sha256(), 0
    with memory, site.client("machine").http.stream("GET", f"/bulk?n={PIECES}") as answer:
        pieces = answer.iter_raw(65536)
        digest.update(first := next(pieces))
        size += len(first)
        # The browser stops reading for a while: what is under way must wait at the machine, not in our processes.
        threading.Event().wait(1.5)
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
    assert size == PIECES * len(PIECE) >= 100_000_000
    assert digest.digest() == hashlib.sha256(PIECE * PIECES).digest()
    print("grown by MB:", memory.grown())
    assert max(memory.grown().values()) < FLAT_MB, memory.grown()


def test_a_hundred_megabytes_go_whole_and_nobody_holds_them(site: Site, memory: Memory) -> None:
    site.machine.first_bytes.clear()
    early: list[bool] = []

    def body() -> Iterator[bytes]:
        yield PIECE
        # The device reads the beginning before the browser has sent the rest.
        early.append(site.machine.first_bytes.wait(10))
        for _ in range(PIECES - 1):
            yield PIECE

    with memory:
        answer = site.client("machine").post("/upload", body(), PIECES * len(PIECE))
    assert early == [True]
    assert answer.text == hashlib.sha256(PIECE * PIECES).hexdigest()
    print("grown by MB:", memory.grown())
    assert max(memory.grown().values()) < FLAT_MB, memory.grown()


def test_events_arrive_while_the_answer_goes_on(site: Site) -> None:
    site.machine.gate.clear()
    with site.client("machine").http.stream("GET", "/events") as answer:
        events = answer.iter_text()
        assert "first" in next(events)
        site.machine.gate.set()
        assert "second" in "".join(events)


def test_a_long_poll_waits_and_answers(site: Site) -> None:
    site.machine.gate.clear()
    client = site.client("machine")
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(client.http.get, "/poll")
        threading.Event().wait(1.0)
        assert not answer.done()
        site.machine.gate.set()
        assert answer.result(5).text == "news\n"


# The server's own troubles.


@pytest.fixture
def portal(site: Site) -> Iterator[httpx.Client]:
    """A signed-in browser at the portal."""
    host = f"portal.localhost:{site.installation.port}"
    with httpx.Client(
        base_url=f"http://127.0.0.1:{site.installation.port}", timeout=30, trust_env=False,
        headers={"Host": host, "Cookie": f"__Host-pgs={site.api.token}", "Origin": f"http://{host}", **NAVIGATION},
    ) as client:  # fmt: skip
        yield client


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    filler = site.disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(PIECE):
            continue
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def locked_database(site: Site) -> Iterator[None]:
    connection = sqlite3.connect(site.disk / "panelgate.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


NEW = {"name": "Second press", "site": "Hall 1", "description": "x" * 900, "lan": "192.168.9.0/24"}


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [(full_disk, "disk_full", "disk is full"), (locked_database, "database_busy", "locked by another process")],
)
def test_a_full_disk_and_a_locked_database_are_said_and_nothing_is_half_written(
    site: Site, portal: httpx.Client, trouble: Callable[[Site], Any], code: str, words: str
) -> None:
    before = site.api.call("GET", "/admin/v1/audit/verify")
    new = NEW | {"slug": code.replace("_", "-")}
    machine = site.client("machine")
    assert "Press 4" in machine.page().html
    with trouble(site):
        answer = portal.post("/add-machine", data=new)
        shown = text_of(answer.text)
        assert answer.status_code in (422, 503, 507), shown
        assert words in shown
        # Reading goes on, and so does what is open.
        assert portal.get("/machines").status_code == 200
        assert "Press 4" in machine.page().html
        body = {"account": "acme", "user": "ada", "password": "wrong", "client": CLIENT}
        fresh = site.client("tls-any").page()
        assert (fresh.status, words in fresh.words) in {(200, False), (503, True)}, fresh.words
        sign_in = _error(lambda: site.api.call("POST", "/webproxy/v1/sign-in", body, session=False))
        assert sign_in == code, "not answered as if the password had been looked at and not counted"
    assert any(code in line for line in site.log.splitlines())
    assert new["slug"] not in [row["slug"] for row in site.api.call("GET", "/webproxy/v1/devices")["devices"]]
    after = site.api.call("GET", "/admin/v1/audit/verify")
    assert after["ok"]
    assert after["rows"] >= before["rows"]
    # And it works again by itself.
    answer = portal.post("/add-machine", data=new)
    assert answer.status_code in (200, 303), answer.text
    made = next(row for row in site.api.call("GET", "/webproxy/v1/devices")["devices"] if row["slug"] == new["slug"])
    site.api.call("DELETE", f"/admin/v1/devices/{made['id']}")


def _error(call: Callable[[], object]) -> str:
    try:
        call()
    except PanelgateError as error:
        return error.code
    return ""


def test_a_second_run_on_the_same_ports_says_what_is_taken(site: Site, tmp_path: Path) -> None:
    ran = subprocess.run(
        [PANELGATE, "run"], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "PORT": str(site.installation.port), "DATA": str(tmp_path), "DEMO": "0",
             "ACCESS_PORT": str(site.installation.access_port), "RELAY_PORT": str(site.installation.relay_port)},
    )  # fmt: skip
    said = ran.stdout + ran.stderr
    assert ran.returncode != 0
    assert str(site.installation.port) in said
    assert "PORT=" in said
    assert "Traceback" not in said


def test_the_agents_status_before_during_and_after(site: Site, tmp_path: Path) -> None:
    def status(state: Path) -> tuple[int, str, dict[str, Any]]:
        command = [str(PANELGATE), "agent", "status", "--state", str(state)]
        plain = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        told = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30, check=False)
        assert plain.returncode == told.returncode
        return plain.returncode, plain.stdout, json.loads(told.stdout)

    code, words, facts = status(tmp_path / "none")
    assert (code, facts["running"]) == (3, False)
    assert "no enrolled agent" in words
    made = site.api.device("status", lan="127.0.85.0/24")
    agent = Agent(site.installation, "status", site.api.key(made["id"]))
    try:
        site.api.wait_online("status")
        wait_until("the file says so", lambda: status(agent.state)[0] == 0, 10)
        _, words, facts = status(agent.state)
        assert facts["state"] == "online"
        assert f"wss://127.0.0.1:{site.installation.relay_port}" in words
        assert "acme/status" in words
    finally:
        agent.stop()
    code, words, facts = status(agent.state)
    assert (code, facts["running"]) == (3, False)
    assert "not running" in words
