"""An access server in memory, with realistic data, for the portal's pages; and the portal alone on a port to look at.

python tests/fakes/portal_access.py --port 8090 --state three     (none, three, many, setup, down)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette

from panelgate.errors import BadInput, Refused, Unavailable
from panelgate.names import Sites, host_label
from webproxy.forward.certificate import Shown
from webproxy.forward.clients import Clients
from webproxy.look import Seen

JSON = dict[str, Any]
GOOD_CODE = "123456"
PASSWORD = "correct horse"
ACCOUNT = {"id": "a1", "slug": "alpine", "name": "Alpine Forming GmbH"}
NOW = datetime.now(UTC)


def iso(**ago: float) -> str:
    return (NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def service(
    device: str, slug: str, name: str, port: int, protocol: str, host: str = "192.168.0.12", **more: Any
) -> JSON:
    return {
        "id": f"{device}-{slug}",
        "slug": slug,
        "name": name,
        "host": host,
        "port": port,
        "protocol": protocol,
        "path": "/",
        "visible": True,
        "kind": "lan",
        "host_label": host_label(slug, device, "alpine"),
        "has_password": protocol == "vnc",
    } | more


def device(slug: str, name: str, site: str, status: str, services: list[JSON], **more: Any) -> JSON:
    return {
        "id": f"d-{slug}",
        "slug": slug,
        "name": name,
        "site": site,
        "serial": "",
        "status": status,
        "since": None if status == "never" else iso(hours=7, minutes=12),
        "services": services,
        "open": [],
        "may": ["see", "watch", "operate", "manage"],
    } | more


def three() -> list[JSON]:
    press = [
        service("press-4", "hmi", "HMI", 80, "http"),
        service("press-4", "panel", "Panel at the door", 5900, "vnc", "192.168.0.13"),
        service("press-4", "pc", "Line PC", 3389, "rdp", "192.168.0.20"),
        service("press-4", "drives", "Drive settings", 443, "https", "192.168.0.31", path="/index.html"),
        service("press-4", "status", "Agent status", 8899, "http", "127.0.0.1", kind="agent"),
    ]
    opened = [
        {"connection_id": "c1", "user": "Jana Hofer", "service": "HMI", "since": iso(minutes=14)},
        {
            "connection_id": "c2",
            "user": {"name": "milo", "display_name": "Milo Brandt"},
            "service": "Panel at the door",
            "since": iso(hours=1),
        },
    ]
    return [
        device("furnace-2", "Furnace 2", "Hall 1, Graz", "offline", [service("furnace-2", "hmi", "HMI", 80, "http")]),
        device("packer", "Packer", "Hall 3, Graz", "never", []),
        device("press-4", "Press 4", "Hall 2, Graz", "online", press, open=opened, serial="PG-2291-0044"),
    ]


def many(count: int = 10_000) -> list[JSON]:
    words = ("Press", "Furnace", "Packer", "Filler", "Palletizer", "Saw", "Mixer", "Boiler")
    rows = []
    for number in range(count):
        slug = f"{words[number % 8].lower()}-{number}"
        status = "offline" if number % 11 == 3 else "never" if number % 97 == 5 else "online"
        rows.append(
            device(
                slug,
                f"{words[number % 8]} {number}",
                f"Plant {number % 40 + 1}",
                status,
                [service(slug, "hmi", "HMI", 80, "http"), service(slug, "panel", "Panel", 5900, "vnc")],
            )
        )
    rows[4]["open"] = [{"connection_id": "x", "user": "Jana Hofer", "service": "HMI", "since": iso(minutes=3)}]
    return rows


def audit() -> list[JSON]:
    def row(number: int, action: str, result: str = "ok", **more: Any) -> JSON:
        empty = {
            "user": "jana",
            "device": None,
            "service": None,
            "address": "10.20.0.7",
            "facts": {},
            "duration": None,
            "bytes_up": None,
            "bytes_down": None,
        }
        return {"id": f"r{number}", "time": iso(minutes=number * 13), "action": action, "result": result} | empty | more

    return [
        row(
            1,
            "connection",
            device="press-4",
            service="hmi",
            duration=840,
            bytes_up=18_300,
            bytes_down=4_120_000,
            facts={"reason": "idle"},
        ),
        row(2, "signin.totp"),
        row(3, "signin.password"),
        row(4, "signin.password", "failed", user="milo", address="203.0.113.9"),
        row(5, "connection", "failed", device="furnace-2", service="hmi", facts={"reason": "device_offline"}),
        row(6, "device.offline", user=None, device="furnace-2", address="198.51.100.4"),
        row(7, "service.create", device="press-4", service="drives"),
        row(8, "grants.change", facts={"name": "Milo Brandt"}),
        row(9, "refused", "refused", user="milo", device="packer"),
        row(10, "something.new", user=None),
    ]


class FakeEvents:
    """The event hub."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Mapping[str, Any]], None]] = []

    def subscribe(self, callback: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def emit(self, **event: Any) -> None:
        for callback in list(self.callbacks):
            callback(event)


class FakeAccess:
    """Answers as the contract says. `fail` is raised by every call while set; `calls` is what was asked."""

    def __init__(
        self, devices: list[JSON] | None = None, *, setup_needed: bool = False, role: str = "administrator"
    ) -> None:
        self.devices = three() if devices is None else devices
        self.setup_needed = setup_needed
        self.role = role
        self.signup = False
        self.full = False  # no room for another address of a link
        self.ports: dict[int, str] = {}
        self.fail: Exception | None = None
        self.calls: list[tuple[str, str, Any]] = []
        self.stages = {"full-token": "full", "factor-token": "factor", "enrol-token": "enrol"}
        self.locked_until: str | None = None
        self.rows = audit()
        self.users: list[JSON] = [
            {
                "id": "u1",
                "name": "jana",
                "display_name": "Jana Hofer",
                "role": role,
                "disabled": False,
                "totp_since": iso(days=40),
                "last_seen": iso(minutes=2),
            },
            {
                "id": "u2",
                "name": "milo",
                "display_name": "Milo Brandt",
                "role": "member",
                "disabled": False,
                "totp_since": iso(days=40),
                "locked_until": iso(minutes=-9),
                "last_seen": iso(days=2),
            },
            {
                "id": "u3",
                "name": "sam",
                "display_name": "Sam Öztürk",
                "role": "member",
                "disabled": False,
                "totp_since": None,
                "last_seen": None,
            },
            {
                "id": "u4",
                "name": "old",
                "display_name": "Olga Ried",
                "role": "member",
                "disabled": True,
                "totp_since": iso(days=40),
                "last_seen": iso(days=90),
            },
        ]
        self.grants: JSON = {"all": "see", "devices": {"d-press-4": "operate"}}

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, str] | None = None,
        session: str | None = None,
        background: bool = False,
    ) -> JSON:
        self.calls.append((method, path, json))
        if self.fail is not None:
            raise self.fail
        _, area, _, *rest = path.split("/")
        handler = getattr(self, f"{area}_{method.lower()}")
        answer: JSON = handler("/".join(rest), json or {}, params or {}, session)
        return answer

    # ----- the web proxy's interface

    def webproxy_get(self, path: str, _: JSON, params: dict[str, str], session: str | None) -> JSON:
        if path == "setup":
            return {"needed": self.setup_needed, "signup": self.signup}
        stage = self._stage(session)
        if path == "session":
            return {
                "session_id": "s1",
                "stage": stage,
                "account": ACCOUNT,
                "created": iso(hours=1),
                "expires": iso(hours=-11),
                "idle_seconds": 1800,
                "user": {"id": "u1", "name": "jana", "display_name": "Jana Hofer", "role": self.role},
            }
        if stage != "full":
            raise Refused("no_session", status=401)
        if path == "me":
            chrome = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36"
            phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 Safari/604.1"
            return {
                "user": {"id": "u1"},
                "recovery_codes_left": 3,
                "totp_since": iso(days=40),
                "sessions": [
                    {
                        "id": "s1",
                        "created": iso(hours=1),
                        "last_seen": iso(),
                        "address": "10.20.0.7",
                        "user_agent": chrome,
                        "current": True,
                    },
                    {
                        "id": "s2",
                        "created": iso(days=1),
                        "last_seen": iso(hours=5),
                        "address": "198.51.100.23",
                        "user_agent": phone,
                        "current": False,
                    },
                ],
            }
        if path == "devices":
            return self._devices(params)
        return self._device(path.removeprefix("devices/"))

    def _stage(self, session: str | None) -> str:
        if session not in self.stages:
            raise Refused("no_session", status=401)
        return self.stages[session]

    def _devices(self, params: dict[str, str]) -> JSON:
        q, status = params.get("q", "").lower(), params.get("status", "")
        found = [d for d in self.devices if q in f"{d['name']} {d['site']} {d['slug']}".lower()]
        counts = {word: sum(1 for d in found if d["status"] == word) for word in ("online", "offline", "never")} | {
            "all": len(found)
        }
        found = [d for d in found if status in {"", d["status"]} and (params.get("open") != "true" or d["open"])]
        offset, limit = int(params.get("offset", 0)), int(params.get("limit", 50))
        return {"devices": found[offset : offset + limit], "total": len(found), "counts": counts}

    def _device(self, slug: str) -> JSON:
        for found in self.devices:
            if found["slug"] == slug:
                recent = [
                    {
                        "id": "k1",
                        "user": "Jana Hofer",
                        "service": "HMI",
                        "started": iso(hours=3),
                        "ended": iso(hours=2),
                        "duration": 3600,
                        "bytes_down": 9_400_000,
                    },
                    {
                        "id": "k2",
                        "user": "Milo Brandt",
                        "service": "Panel at the door",
                        "started": iso(days=1),
                        "ended": iso(days=1),
                        "duration": 320,
                        "bytes_down": 800_000,
                    },
                ]
                agent = {"version": "0.1.0", "address": "198.51.100.4", "enrolled": iso(days=33)}
                never = found["status"] == "never"
                return found | {
                    "description": "Hydraulic press, control cabinet K7.\nPanel replaced in March.",
                    "lan": ["192.168.0.0/24"],
                    "level": found.get("level", "enforced"),
                    "adhoc_used": {one["id"]: iso(hours=2) for one in found["services"] if one["kind"] == "adhoc"},
                    "agent": None if never else agent,
                    "recent": [] if never else recent,
                }
        raise Refused("not_found", status=404)

    def webproxy_post(self, path: str, body: JSON, _: dict[str, str], session: str | None) -> JSON:
        if path in {"setup", "sign-up"}:
            if path == "setup" and body["code"] != "good-code":
                raise Refused("wrong_setup_code", status=403)
            return {"session_token": "enrol-token", "stage": "enrol"}
        if path == "sign-in":
            return self._sign_in(body)
        if path == "sign-out":
            return {}
        self._stage(session)
        if path in {"sign-in/totp", "sign-in/recovery"}:
            if body["code"] not in {GOOD_CODE, "abcd-efgh-ijkl"}:
                raise Refused("wrong_code", status=401)
            return {"session_token": "full-token", "stage": "full", "left": 7}
        if path == "factor/begin":
            return {
                "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
                "uri": "otpauth://totp/Panelgate:alpine%20jana?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Panelgate",
            }
        if path == "factor/confirm":
            if body["code"] != GOOD_CODE:
                raise Refused("wrong_code", status=401)
            return {
                "session_token": "full-token",
                "stage": "full",
                "recovery_codes": [f"k{n}fw-9pxm-t{n}qa" for n in range(10)],
            }
        return self._own(path, body)

    def _sign_in(self, body: JSON) -> JSON:
        if self.locked_until:
            raise Refused("locked", facts={"until": self.locked_until}, status=429)
        if (body["account"], body["password"]) != ("alpine", PASSWORD):
            raise Refused("wrong_credentials", status=401)
        return {"session_token": "factor-token", "stage": "factor"}

    def _own(self, path: str, body: JSON) -> JSON:
        if path == "me/password" and body["current"] != PASSWORD:
            raise Refused("wrong_credentials", status=401)
        if path == "me/recovery-codes":
            if body["password"] != PASSWORD:
                raise Refused("wrong_credentials", status=401)
            return {"recovery_codes": [f"n{n}fw-9pxm-t{n}qa" for n in range(10)]}
        if path.endswith("/look"):
            return {"circuit_id": f"look-{path.split('/')[1]}"}
        if path == "handoff" and body.get("public_port"):
            return {"code": "the-code", "host_label": self.ports[body["public_port"]]}
        if path == "handoff":
            if "press-4" not in body["host_label"]:
                raise Refused("not_found", status=404)
            return {"code": "the-code"}
        if path == "resolve":
            return self._resolve(body)
        return {}

    def _resolve(self, body: JSON) -> JSON:
        if body["account"] != ACCOUNT["slug"]:
            raise Refused("not_found", status=404)
        found = next((d for d in self.devices if d["name"] in (body["device"], *body.get("names", ()))), None)
        found = found or self._device(body["device"])
        if "service" in body or "ip" in body:
            for one in found["services"]:
                port = body.get("port") or 80
                if one["slug"] == body.get("service") or (one["host"], one["port"]) == (body.get("ip"), port):
                    return {"host_label": one["host_label"], "device": found, "service": one}
            if "ip" in body:
                return self._unlisted(found, body)
            raise Refused("not_found", status=404)
        return {"host_label": None, "device": found, "service": None}

    def _unlisted(self, found: JSON, body: JSON) -> JSON:
        """An address that no service has; 192.168.0.* is the LAN."""
        ip, port = body["ip"], body.get("port") or 80
        nothing = {"host_label": None, "device": found, "service": None}
        level = found.get("level", "enforced")
        if level != "standard" or not ip.startswith("192.168.0."):
            if self.role != "administrator" or ip == "169.254.169.254":
                raise Refused("not_found", status=404)
            reason = "level" if ip.startswith("192.168.0.") else "host_outside_lan"
            return nothing | {"missing": {"ip": ip, "port": port, "reason": reason, "level": level}}
        if not body.get("open"):
            return nothing | {"offer": {"ip": ip, "port": port, "protocol": "https" if port == 443 else "http"}}
        if self.full:
            raise Refused("too_many_addresses", status=429)
        slug = f"ip-{ip.replace('.', '-')}-{port}"
        made = service(found["slug"], slug, f"{ip}:{port}", port, "http", ip, visible=False, kind="adhoc")
        found["services"].append(made)
        return {"host_label": made["host_label"], "device": found, "service": made}

    # ----- administration

    def admin_get(self, path: str, _: JSON, params: dict[str, str], __: str | None) -> JSON:
        if path == "users":
            return {"users": self.users}
        if path.endswith("/grants"):
            return self.grants
        if path == "audit/verify":
            return {"ok": True, "rows": 4711, "first_bad": None}
        if path == "audit":
            action, q = params.get("action", ""), params.get("q", "").lower()
            rows = [r for r in self.rows if r["action"].startswith(action) and q in str(r).lower()]
            return {"rows": rows, "next": 17 if rows and not params.get("before") else None}
        return {"account": ACCOUNT}

    def admin_post(self, path: str, body: JSON, _: dict[str, str], __: str | None) -> JSON:
        if path == "users":
            if body["user"] == "jana":
                raise BadInput("user_taken", "there is a user of this name already", status=409)
            return {"id": "u2"}
        if path == "devices":
            if any(one["slug"] == body["slug"] for one in self.devices):
                raise BadInput("slug_taken", "there is a machine of this name already", status=409)
            self.devices.append(device(body["slug"], body["name"], body["site"], "never", []))
            return {"id": f"d-{body['slug']}"}
        if path.endswith("/activation-key"):
            key = "pgk-k3v9qmz1xw8ypn5rtbc2hd7fga-" + "q7" * 16
            return {
                "key": key,
                "expires": iso(days=-7),
                "command": f"panelgate agent enrol --key {key} --access https://access.example.com",
            }
        return {}

    def admin_patch(self, *_: Any) -> JSON:
        return {}

    def admin_delete(self, *_: Any) -> JSON:
        return {}

    def admin_put(self, path: str, body: JSON, *_: Any) -> JSON:
        self.grants = body
        return {}


class FakeCircuits:
    """The agent as it answers looks at certificates: `seen` is what it says, or raises."""

    def __init__(self) -> None:
        self.seen: Seen | Exception = Seen(Shown("ab" * 32, "self-signed certificate"))

    async def look(self, answer: Mapping[str, Any], service_id: str) -> Seen:
        assert answer["circuit_id"] == f"look-{service_id}"
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen


class FakeWeb:
    """The web proxy's shared parts, as far as pages use them."""

    def __init__(self, access: FakeAccess | None = None, sites: Sites | None = None) -> None:
        self.access = access or FakeAccess()
        self.sites = sites or Sites()
        self.events = FakeEvents()
        self.clients = Clients()
        self.circuits = FakeCircuits()


def portal(web: FakeWeb) -> Starlette:
    """Return the portal's pages over the fake."""
    from webproxy.pages.routes import routes

    app = Starlette(routes=routes)
    app.state.web = web
    return app


def main() -> None:
    import uvicorn

    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    state, port = options.get("--state", "three"), int(options.get("--port", "8090"))
    access = FakeAccess({"none": [], "many": many()}.get(state), setup_needed=state == "setup")
    if state == "down":
        access.fail = Unavailable("access_down")
    uvicorn.run(portal(FakeWeb(access, Sites(port=port))), port=port, log_level="warning")


if __name__ == "__main__":
    main()
