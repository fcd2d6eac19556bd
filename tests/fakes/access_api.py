"""A small access server for tests: real HTTPS on loopback, a real authority, real tickets, memory for a database.

It speaks the part of the API that relays and agents use. A test changes its answers by setting attributes, sees what
was asked in `calls`, waits for something to happen with `until`, and takes it down and up again.
"""

import asyncio
import base64
import hashlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from panelgate import assertion
from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.pki import Authority, Identity, Peer, Role, fingerprint, to_pem
from panelgate.tickets import CircuitTicket, ControlTicket, Signer, new_signing_key, public_part

NAMES = ("localhost", "127.0.0.1")
WAIT_SECONDS = 15.0


@dataclass
class FakeDevice:
    """A device as the fake knows it; `key` is its activation key until that is used."""

    id: str
    slug: str
    key: str = ""
    counter: int = 0
    fingerprints: list[str] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    lan: list[str] = field(default_factory=list)
    version: int = 1
    level: str = "enforced"
    relay_id: str | None = None
    revoked: bool = False


class FakeAccess:
    """See the module. `url` is its address while it is up."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority.create()
        self.signing_key = new_signing_key()
        self.signer = Signer(self.signing_key)
        self.clock = Clock()
        self.identity = self.authority.new_identity(Role.ACCESS, "access", names=NAMES)
        self.identity.save(directory / "access")
        self._context = Identity.load(directory / "access").server_context()
        self.devices: dict[str, FakeDevice] = {}
        self.relays: dict[str, str] = {}  # id -> url
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.presence: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.accept_presence = True
        self.join_token = ""
        self.certificate_days = 90.0
        self.report_seconds = 5.0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._streams: dict[str, asyncio.StreamWriter] = {}
        self._seen = assertion.SeenOnce()
        self._changed = asyncio.Event()

    # For tests

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen; on the same port again after `down`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Stop listening, and break every connection."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        while self._writers:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), WAIT_SECONDS)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds; it is looked at after every call that came in."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies of the calls of `path` so far."""
        return [body for _, called, body in self.calls if called == path]

    def listening(self, relay_id: str) -> bool:
        """Whether the relay follows the event stream."""
        return relay_id in self._streams

    def send(self, relay_id: str, event: dict[str, Any]) -> None:
        """Send an event to a relay that follows the stream."""
        self._streams[relay_id].write(json.dumps(event).encode() + b"\n")

    def relay_identity(self, directory: Path, relay_id: str = "relay-1") -> Identity:
        """A relay of this installation, as after `panelgate relay join`."""
        self.authority.new_identity(Role.RELAY, relay_id, names=NAMES).save(directory)
        return Identity.load(directory)

    def webproxy_identity(self, directory: Path, webproxy_id: str = "webproxy-1") -> Identity:
        """A web proxy of this installation."""
        self.authority.new_identity(Role.WEBPROXY, webproxy_id, names=NAMES).save(directory)
        return Identity.load(directory)

    def add_device(self, slug: str = "press", **fields: Any) -> FakeDevice:
        """A device, to be enrolled with its activation key."""
        device = FakeDevice(uuid.uuid4().hex, slug, **fields)
        device.key = "pgk-abcdefghijklmnopqrstuvwxyz-" + ca_part(self.authority)
        self.devices[device.id] = device
        return device

    def circuit_ticket(self, device: FakeDevice, webproxy: Identity, **changes: Any) -> CircuitTicket:
        """What a web proxy would be given for this device."""
        values: dict[str, Any] = {
            "circuit_id": uuid.uuid4().hex, "account_id": "a1", "user_id": "u1", "session_id": "s1",
            "device_id": device.id, "services": tuple(row["id"] for row in device.services), "read_only": False,
            "webproxy_id": webproxy.id, "webproxy_fingerprint": webproxy.fingerprint, "relay_id": "relay-1",
            "expires": self.clock.now() + 120,
        }  # fmt: skip
        return CircuitTicket(**{**values, **changes})

    def sign(self, ticket: CircuitTicket) -> str:
        return self.signer.circuit(ticket, min(self.clock.now(), ticket.expires - 120))

    def config(self, device: FakeDevice) -> str:
        return self.signer.config(
            {"device_id": device.id, "version": device.version, "lan": device.lan, "level": device.level,
             "services": device.services}
        )  # fmt: skip

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if not await self._answer(method, path, headers, body, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            self._changed.set()

    async def _answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False when the connection is used up."""
        data = json.loads(body) if body else {}
        try:
            if path == "/relay/v1/events":
                peer = self._caller(method, path, headers)
                await self._stream(peer.id, writer)
                return False
            status, answer = 200, self._call(method, path, headers, data)
        except PanelgateError as error:
            status, answer = error.status, error.as_json()
        finally:
            self.calls.append((method, path, data))
            self._changed.set()
        payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(payload)}\r\n".encode())
        writer.write(f"Date: {self._date()}\r\n\r\n".encode() + payload)
        await writer.drain()
        return True

    def _date(self) -> str:
        return formatdate(self.clock.now(), usegmt=True)

    async def _stream(self, relay_id: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n")
        writer.write(b'{"type":"ping"}\n')
        self._streams[relay_id] = writer
        self._changed.set()
        try:
            await writer.wait_closed()
        finally:
            if self._streams.get(relay_id) is writer:
                del self._streams[relay_id]

    def _caller(self, method: str, path: str, headers: dict[str, str]) -> Peer:
        token = headers.get(assertion.HEADER.lower(), "")
        return assertion.verify(token, self.authority.certificate, method, path, self.clock.now(), self._seen)

    def _call(self, method: str, path: str, headers: dict[str, str], data: dict[str, Any]) -> dict[str, Any] | str:
        match method, path:
            case "GET", "/v1/ca":
                return to_pem(self.authority.certificate)
            case "POST", "/agent/v1/enrol":
                return self._enrol(data)
            case "POST", "/v1/join":
                return self._join(data)
        peer = self._caller(method, path, headers)
        if path == "/v1/ticket-keys":
            return self._keys()
        if path == "/v1/renew":
            days = self.certificate_days
            issued = self.authority.issue(data["csr"], peer.role, peer.id, names=data["dns_names"], days=days)
            return {"certificate": to_pem(issued)}
        if path.startswith("/relay/v1/") and peer.role is Role.RELAY:
            return self._relay(path.removeprefix("/relay/v1/"), peer.id, data)
        if path.startswith("/agent/v1/") and peer.role is Role.AGENT:
            return self._agent(path.removeprefix("/agent/v1/"), peer, data)
        raise Refused("not_found", status=404)

    def _keys(self) -> dict[str, Any]:
        return {"keys": [public_part(self.signing_key)]}

    def _join(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["token"] != self.join_token:
            raise Refused("bad_token", "the join token is wrong or has been used")
        role, ident = Role(data["role"]), "relay-joined"
        issued = self.authority.issue(data["csr"], role, ident, names=data["dns_names"])
        return {"id": ident, "certificate": to_pem(issued), "ca": to_pem(self.authority.certificate)}

    def _relay(self, what: str, relay_id: str, data: dict[str, Any]) -> dict[str, Any]:
        if what == "register":
            self.relays[relay_id] = data["url"]
            return {"relay_id": relay_id, "report_seconds": self.report_seconds}
        if what == "report":
            self.reports.append(data)
            return {}
        if what == "presence":
            self.presence.append(data)
            return {"accepted": self.accept_presence}
        raise Refused("not_found", status=404)

    def _enrol(self, data: dict[str, Any]) -> dict[str, Any]:
        device = next((d for d in self.devices.values() if d.key and d.key == data["key"]), None)
        if device is None:
            raise Refused("wrong_key", "this activation key does not exist")
        device.key = ""
        issued = self._issue(device, data["csr"])
        device.lan = device.lan or data["lan"]
        return {
            "device_id": device.id, "account": "acme", "device": device.slug, "name": device.slug.title(),
            "certificate": issued, "ca": to_pem(self.authority.certificate), "ticket_keys": self._keys(),
            "config": self.config(device),
        }  # fmt: skip

    def _issue(self, device: FakeDevice, csr: str) -> str:
        certificate = self.authority.issue(csr, Role.AGENT, device.id, days=self.certificate_days)
        device.fingerprints.append(fingerprint(certificate))
        return to_pem(certificate)

    def _agent(self, what: str, peer: Peer, data: dict[str, Any]) -> dict[str, Any]:
        device = self.devices.get(peer.id)
        if device is None or device.revoked or peer.fingerprint not in device.fingerprints:
            raise Refused("device_revoked", "this device's certificate was withdrawn")
        if what == "config":
            return {"config": self.config(device)}
        if what == "renew":
            return {"certificate": self._issue(device, data["csr"])}
        if what != "connect":
            raise Refused("not_found", status=404)
        relay_id = device.relay_id or next(iter(self.relays), None)
        if relay_id is None:
            raise Unavailable("no_relay", "no relay is there")
        device.counter += 1
        ticket = ControlTicket(device.id, peer.fingerprint, relay_id, device.counter, self.clock.now() + 120)
        return {
            "relay": {"id": relay_id, "url": self.relays[relay_id]}, "counter": device.counter,
            "ticket": self.signer.control(ticket, self.clock.now()), "config_version": device.version,
            "ticket_keys": self._keys(),
        }  # fmt: skip


def ca_part(authority: Authority) -> str:
    """The part of an activation key that names the authority: see agent.enrol."""
    digest = hashlib.sha256(authority.certificate.public_bytes(Encoding.DER)).digest()
    return base64.b32encode(digest[:20]).decode().lower()


@asynccontextmanager
async def fake_access(directory: Path) -> AsyncIterator[FakeAccess]:
    """A fake that is up, and taken down at the end."""
    access = FakeAccess(directory)
    await access.up()
    try:
        yield access
    finally:
        assert access._server is not None
        if access._server.is_serving():
            await access.down()
