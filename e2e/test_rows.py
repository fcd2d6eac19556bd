"""Rows of the product's table that need several real processes: relays, keys, accounts, HTTPS, sign-out, the audit."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import Server, serve

from e2e.harness.administrator import CLIENT, Administrator
from e2e.harness.client import NAVIGATION, Client
from e2e.harness.installation import PANELGATE, Agent, Installation
from e2e.harness.lan import Machine, fingerprint, self_signed
from e2e.harness.person import PASSWORD, Person
from e2e.harness.processes import Process, free_port, listening, wait_until
from e2e.harness.roles import Role
from panelgate.errors import PanelgateError

ADDRESS = "127.0.86.10"
SECONDS = 12  # of the connection that the audit is to show


class Echo:
    """A WebSocket server that says everything back, as a panel with live values."""

    def __init__(self) -> None:
        self.server: Server = serve(self._each, ADDRESS, 0)
        self.port: int = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def _each(connection: Any) -> None:
        for message in connection:
            connection.send(message)

    def stop(self) -> None:
        self.server.shutdown()


class Site:
    """One installation where anybody may sign up; one machine with a web page, a WebSocket and a VNC panel."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.installation = Installation(directory / "installation", demo=False)
        self.parts: list[Any] = []
        self.started: list[Agent | Role] = []

    def start(self) -> None:
        os.environ["PANELGATE_ACCESS_SIGNUP"] = "1"
        try:
            self.installation.start()
        finally:
            del os.environ["PANELGATE_ACCESS_SIGNUP"]
        self.api = Administrator.set_up(self.installation)
        self.device = self.api.device("press", lan="127.0.86.0/24")["id"]
        machine, echo, port = self.keep(Machine(ADDRESS)), self.keep(Echo()), free_port(ADDRESS)
        panel = self.keep(
            Process("panel", [PANELGATE, "demo", "panel", "--own", "--host", ADDRESS, "--port", str(port)],
                    self.directory / "panel.log")
        )  # fmt: skip
        panel.wait_for("the panel listens", lambda: listening(port, ADDRESS))
        self.api.service(self.device, "web", ADDRESS, machine.port)
        self.api.service(self.device, "live", ADDRESS, echo.port)
        self.api.service(self.device, "vnc", ADDRESS, port, "vnc", password="demo1234")
        self.key = self.api.key(self.device)
        self.agent = self.run(Agent(self.installation, "press", self.key, allow=[ADDRESS]))
        self.api.wait_online("press")

    def keep(self, part: Any) -> Any:
        self.parts.append(part)
        return part

    def run(self, started: Any) -> Any:
        self.started.append(started)
        return started

    def audit(self, **query: str) -> list[dict[str, Any]]:
        return list(self.api.call("GET", "/admin/v1/audit", params={"limit": "200", **query})["rows"])

    def log_of(self, agent: Agent) -> list[dict[str, Any]]:
        assert agent.process is not None
        return [json.loads(line) for line in agent.process.text.splitlines() if line.startswith("{")]

    def stop(self) -> None:
        for process in reversed(self.started):
            process.stop()
        for part in self.parts:
            part.stop()
        self.installation.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("rows"))
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def other(site: Site) -> Administrator:
    """The administrator of a second account, made by sign-up."""
    zoe = Administrator(site.installation, Person("zeta", "zoe"))
    body = {
        "account": "zeta", "account_name": "Zeta", "user": "zoe", "display_name": "Zoe", "password": PASSWORD,
        "client": CLIENT,
    }  # fmt: skip
    zoe.token = zoe.call("POST", "/webproxy/v1/sign-up", body, session=False)["session_token"]
    zoe.enrol()
    return zoe


def enrol(site: Site, key: str, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`panelgate agent enrol` as typed on another machine."""
    return subprocess.run(
        [PANELGATE, "agent", "enrol", "--key", "-", "--access", site.installation.access_url,
         "--state", str(site.directory / name), *words],
        input=key, text=True, capture_output=True, timeout=30, check=False,
    )  # fmt: skip


# D: keys, identities, replacement


def test_the_key_and_the_identity_are_made_once_and_stay_on_the_machine(site: Site) -> None:
    """D1, D6: a second start calls for no enrolment; nobody but the owner reads the key."""
    state = site.agent.state
    files = {path: path.read_bytes() for path in state.rglob("*.pem")}
    assert files
    key = next(path for path in files if "key" in path.name)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    enrolled = len(site.audit(action="device.enrol"))
    site.agent.stop()
    wait_until("it is offline", lambda: site.api.status("press") == "offline")
    site.agent.start()
    site.api.wait_online("press")
    assert len(site.audit(action="device.enrol")) == enrolled
    assert {path: path.read_bytes() for path in state.rglob("*.pem")} == files


def test_a_key_works_once_and_the_second_use_is_in_the_audit(site: Site) -> None:
    """D2."""
    again = enrol(site, site.key, "thief", "--serial", "SN-THIEF")
    assert again.returncode != 0
    assert "has been used" in again.stderr
    assert "Traceback" not in again.stderr
    row = site.audit(action="device.enrol")[0]
    assert (row["result"], row["facts"]["why"], row["facts"]["serial"]) == ("refused", "key_used", "SN-THIEF")


def test_the_same_serial_again_cuts_the_old_agent_within_seconds(site: Site, other: Administrator) -> None:
    """D8, D10, D11."""
    made = site.api.device("saw", lan="127.0.87.0/24")["id"]
    assert enrol(site, site.api.key(made), "agent-old", "--serial", "SN-4711").returncode == 0
    old = site.run(_running(site, "old"))
    site.api.wait_online("saw")
    # D11: found by its serial, on the page and by the API.
    found = site.api.call("GET", "/webproxy/v1/devices", params={"q": "SN-4711"})["devices"]
    assert [row["slug"] for row in found] == ["saw"]

    # D10: not into a second account.
    theirs = other.device("mine-now", lan="127.0.87.0/24")["id"]
    refused = enrol(site, other.key(theirs), "agent-second", "--serial", "SN-4711")
    assert refused.returncode != 0
    assert "released" in refused.stderr
    assert "acme" not in refused.stderr, "it does not say whose it is"

    # D8: the same serial with a new key is the replacement; the first one's connection is cut.
    assert enrol(site, site.api.key(made), "agent-new", "--serial", "SN-4711").returncode == 0
    began = time.monotonic()
    wait_until("the old agent is sent away", lambda: _state(site, "old") == "revoked", 5)
    assert time.monotonic() - began < 5
    site.run(_running(site, "new"))
    site.api.wait_online("saw")
    rows = site.audit(action="device.enrol")
    assert rows[0]["result"] == "ok"
    assert rows[0]["facts"]["replaced"]
    old.stop()

    # Released, the second account may have it.
    site.api.call("POST", f"/admin/v1/devices/{made}/release", {})
    assert enrol(site, other.key(theirs), "agent-second", "--serial", "SN-4711").returncode == 0
    assert site.audit(action="device.release")


def _running(site: Site, name: str) -> Process:
    state = site.directory / f"agent-{name}"
    return Process(f"agent {name}", [PANELGATE, "agent", "run", "--state", state], site.directory / f"{name}.log")


def _state(site: Site, name: str) -> str:
    told = subprocess.run(
        [PANELGATE, "agent", "status", "--json", "--state", str(site.directory / f"agent-{name}")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return str(json.loads(told.stdout).get("state"))


# B: two relays


def _carried(relay: Role) -> float:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urlopen(f"https://127.0.0.1:{relay.port}/metrics", timeout=5, context=context) as answer:
        text = answer.read().decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("panelgate_relay_bytes_total"))


def test_a_machine_moves_to_another_relay_and_an_open_page_goes_on(site: Site) -> None:
    """A3, B2, B4, B5: nothing on the machine changes, and both sides meet at the relay that access names."""
    second = site.run(Role(site.installation, "relay", "relay-two"))
    client = Client(site.installation, site.api, "web--press--acme")
    assert "Press 4" in client.page().html
    assert _carried(second) == 0
    began = time.monotonic()
    moved = subprocess.run(
        [PANELGATE, "access", "move", "acme/press", "--relay", second.url], capture_output=True, text=True, timeout=30,
        check=False, env={**os.environ, "PANELGATE_ACCESS_DATA": str(site.installation.data / "access")},
    )  # fmt: skip
    assert moved.returncode == 0, moved.stderr

    def at_second() -> bool:
        return any(row["event"] == "online" and row["url"] == second.url for row in site.log_of(site.agent))

    wait_until("the agent is at the second relay", at_second, 10)
    print(f"moved in {time.monotonic() - began:.1f} s")
    wait_until("the page loads over it", lambda: "Press 4" in client.page().html, 15)
    assert _carried(second) > 0
    client.close()


# I, J: HTTPS, sign-out, the audit


def _socket(site: Site, api: Administrator, label: str, path: str) -> Any:
    cookie = f"__Host-pg={api.service_cookie(label)}"
    host = f"{label}.apps.localhost:{site.installation.port}"
    return connect(
        f"ws://{host}{path}", sock=socket.create_connection(("127.0.0.1", site.installation.port)),
        origin=f"http://{host}", additional_headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}, proxy=None,
        compression=None, open_timeout=15,
    )  # fmt: skip


def _read_to_the_end(open_socket: Any) -> None:
    """Until it is closed; TimeoutError when it is not."""
    with suppress(ConnectionClosed):
        while True:
            open_socket.recv(2)


def test_signing_out_ends_open_sockets_and_the_audit_has_the_connection(site: Site) -> None:
    """I10, J1: a WebSocket and a viewer are cut within two seconds; twelve seconds of use are one row."""
    own = Administrator(site.installation, site.api.person)
    own.sign_in()
    with (
        _socket(site, own, "live--press--acme", "/ws") as live,
        _socket(site, own, "vnc--press--acme", "/.pg/vnc") as viewer,
    ):
        live.send(b"x" * 1000)
        assert live.recv(10) == b"x" * 1000
        assert viewer.recv(10).startswith(b"RFB 003.008")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            live.recv(SECONDS - 1)
        wait_until("twelve seconds are over", lambda: time.monotonic() - began >= SECONDS)
        signed_out = time.monotonic()
        own.call("POST", "/webproxy/v1/sign-out", {})
        for open_socket in (live, viewer):
            _read_to_the_end(open_socket)
        assert time.monotonic() - signed_out < 2

    def rows() -> list[dict[str, Any]]:
        return [row for row in site.audit(action="connection") if row["service"] in ("live", "vnc")]

    wait_until("the audit has both", lambda: len(rows()) == 2, 10)
    for row in rows():
        assert abs(row["duration"] - SECONDS) <= 1, row
        assert (row["user"], row["device"], row["address"]) == ("ada", "press", "127.0.0.1")
        assert row["facts"]["protocol"] == ("http" if row["service"] == "live" else "vnc")
        assert "session" in row["facts"]["reason"]
        if row["service"] == "live":
            assert row["bytes_up"] >= 1000
            assert row["bytes_down"] >= 1000
    # The session's cookies are worth nothing any more.
    with pytest.raises(PanelgateError) as refused:
        own.call("GET", "/webproxy/v1/session")
    assert refused.value.code == "no_session"


def test_the_audit_has_every_step_of_a_sign_in(site: Site) -> None:
    """J5."""
    before = len(site.audit())
    wrong = {"account": "acme", "user": "ada", "password": "wrong", "client": CLIENT}
    with pytest.raises(PanelgateError):
        site.api.call("POST", "/webproxy/v1/sign-in", wrong, session=False)
    own = Administrator(site.installation, site.api.person)
    right = wrong | {"password": PASSWORD}
    own.token = site.api.call("POST", "/webproxy/v1/sign-in", right, session=False)["session_token"]
    with pytest.raises(PanelgateError):
        own.call("POST", "/webproxy/v1/sign-in/totp", {"code": "000000"})
    code = {"code": site.api.person.code()}
    own.token = own.call("POST", "/webproxy/v1/sign-in/totp", code)["session_token"]
    own.call("POST", "/webproxy/v1/sign-out", {})
    rows = site.audit()
    told = [(row["action"], row["result"]) for row in reversed(rows[: len(rows) - before])]
    assert told == [
        ("signin.password", "failed"), ("signin.password", "ok"), ("signin.totp", "failed"), ("signin.totp", "ok"),
        ("session.end", "ok"),
    ]  # fmt: skip
    assert {row["address"] for row in rows[:5]} == {"127.0.0.1"}


def test_https_of_the_web_proxys_own(site: Site, tmp_path: Path) -> None:
    """I9: HSTS, Secure cookies, nothing in plain text; a new certificate is taken up while it runs."""
    first, key = self_signed(tmp_path, "one", host="DNS:*.apps.example.test,DNS:portal.example.test")
    settings = {
        "DOMAIN": "example.test", "PUBLIC_SCHEME": "https", "PUBLIC_PORT": "443", "CERTIFICATE": str(first),
        "KEY": str(key),
    }  # fmt: skip
    front = site.run(Role(site.installation, "webproxy", "webproxy-https", **settings))
    shown = fingerprint(first)
    assert _certificate(front.port) == shown
    second, second_key = self_signed(tmp_path, "two", host="DNS:portal.example.test")
    second_key.replace(key)
    second.replace(first)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    with httpx.Client(base_url=f"https://127.0.0.1:{front.port}", verify=trust, trust_env=False) as client:
        portal = client.get("/sign-in", headers={"Host": "portal.example.test"} | NAVIGATION)
        assert portal.status_code == 200
        assert portal.headers["strict-transport-security"].startswith("max-age=")
        form = {"account": "acme", "user": "ada", "password": PASSWORD}
        headers = {"Host": "portal.example.test", "Origin": "https://portal.example.test"} | NAVIGATION
        cookie = client.post("/sign-in", data=form, headers=headers).headers["set-cookie"]
        assert cookie.startswith("__Host-pgs=")
        for word in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert word.lower() in cookie.lower()
        service = client.get("/x", headers={"Host": "web--press--acme.apps.example.test"} | NAVIGATION)
        assert service.status_code == 303
        assert service.headers["location"].startswith("https://portal.example.test/launch?")
        assert "Secure" in service.headers["set-cookie"]
        assert "strict-transport-security" in service.headers
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{front.port}/sign-in", headers={"Host": "portal.example.test"}, trust_env=False)
    wait_until("the new certificate is shown", lambda: _certificate(front.port) == fingerprint(first) != shown, 15)


def _certificate(port: int) -> str:
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
