"""An access server in memory: what the web proxy asks of it, and the events it pushes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from panelgate.clock import iso
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.names import host_label


class AccessStub:
    def __init__(self, *, now: float = 1_800_000_000.0) -> None:
        self.down = False
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.sessions: dict[tuple[str, str], dict[str, Any]] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.offline: dict[str, Any] | None = None
        self.password: str | None = None
        self.credentials: dict[str, dict[str, str]] = {}  # of HTTP services that are signed in to, by service id
        self.reports: dict[str, dict[str, Any]] = {}
        self.connections: dict[str, dict[str, Any]] = {}
        self.circuits = 0
        self.ports: dict[int, str] = {}
        self.now = now
        self._events: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()

    def add_session(
        self, token: str, *, session_id: str = "s1", user: str = "u1", service: str = "hmi", service_id: str = "svc1",
        device: str = "press", account: str = "acme", protocol: str = "http", permission: str = "operate",
        host: str = "10.0.0.5", port: int = 80, expires: float = 1e10, options: dict[str, Any] | None = None,
        siblings: list[dict[str, Any]] | None = None, public_port: int | None = None,
    ) -> str:  # fmt: skip
        label = host_label(service, device, account)
        self.sessions[token, label] = {
            "id": f"ss-{token}", "session_id": session_id, "account": {"id": f"id-{account}", "slug": account,
            "name": account},
            "user": {"id": user, "name": user, "display_name": user},
            "device": {"id": f"id-{device}", "slug": device, "name": device},
            "service": {
                "id": service_id, "slug": service, "name": service, "host": host, "port": port, "protocol": protocol,
                "path": "/", "options": options or {}, "public_port": public_port,
            },
            "siblings": siblings or [], "permission": permission,
            "expires": iso(min(expires, 4e9)), "idle_seconds": 1800,
        }  # fmt: skip
        if public_port is not None:
            self.ports[public_port] = label
        return label

    def add_code(self, code: str, label: str, nonce: str, token: str) -> None:
        self.codes[code] = {"label": label, "hash": hashlib.sha256(nonce.encode()).hexdigest(), "token": token}

    def push(self, event: dict[str, Any]) -> None:
        self._events.put_nowait(event)

    def break_events(self) -> None:
        self._events.put_nowait(Unavailable("access_down"))

    async def events(self, path: str) -> AsyncIterator[dict[str, Any]]:
        if self.down:
            raise Unavailable("access_down")
        yield {"type": "ping"}
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def call(self, method: str, path: str, *, json: Any = None, session: Any = None) -> dict[str, Any]:
        self.calls.append((path, dict(json or {})))
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("access_down", "the access server can't be reached")
        if path.startswith("/webproxy/v1/ports/"):
            return {"host_label": self.ports.get(int(path.rpartition("/")[2]), "")}
        name = "_" + path.removeprefix("/webproxy/v1/").replace("/", "_").replace("-", "_")
        answer = getattr(self, name)(json)
        assert isinstance(answer, dict)
        return answer

    def count(self, path: str) -> int:
        return sum(1 for called, _ in self.calls if called.endswith(path))

    def _service_session(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"service_session": self._known(body)}

    def _known(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self.sessions.get((body["service_token"], body["host_label"]))
        if found is None:
            raise Refused("no_session", status=401)
        return found

    def _handoff_redeem(self, body: dict[str, Any]) -> dict[str, Any]:
        code = self.codes.pop(body["code"], None)
        if code is None or code["label"] != body["host_label"] or code["hash"] != body["nonce_hash"]:
            raise Refused("bad_code")
        return {"service_token": code["token"], "service_session": self.sessions[code["token"], code["label"]]}

    def _service_session_end(self, body: dict[str, Any]) -> dict[str, Any]:
        self.sessions.pop((body["service_token"], body["host_label"]), None)
        return {}

    def _circuits(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body)
        if self.offline is not None:
            raise Unavailable("device_offline", "offline", self.offline, status=409)
        self.circuits += 1
        return {
            "circuit_id": f"c{self.circuits}", "ticket": "t", "relay": {"id": "r", "url": "wss://relay"},
            "agent": {"id": "a", "fingerprint": "f"},
            "credentials": self._credentials(body),
        }  # fmt: skip

    def _certificate_refused(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body)
        return {}

    def _credentials(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if body.get("purpose") == "http":
            return {"services": self.credentials} if self.credentials else None
        return {"password": self.password} if self.password is not None else None

    def _connections(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body)
        ident = f"con{len(self.connections) + 1}"
        self.connections[ident] = body
        return {"connection_id": ident}

    def _connections_report(self, body: dict[str, Any]) -> dict[str, Any]:
        for row in body["connections"]:
            self.reports[row["id"]] = row
        return {}

    async def aclose(self) -> None:
        return


__all__ = ["AccessStub", "PanelgateError"]
