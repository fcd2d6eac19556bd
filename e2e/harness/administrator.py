"""An administrator without a browser: calls the access server's API as the web proxy would for his session.

For tests and benchmarks whose subject is something else than the pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyotp

from e2e.harness.installation import Installation
from e2e.harness.person import PASSWORD, Person
from e2e.harness.processes import wait_until
from panelgate.access_client import AccessClient
from panelgate.pki import Identity

CLIENT = {"address": "127.0.0.1", "user_agent": "e2e"}


class Administrator:
    """A signed-in session on the API."""

    def __init__(self, installation: Installation, person: Person) -> None:
        self.person = person
        self._installation = installation
        self._identity = Identity.load(installation.data / "webproxy" / "identity")
        self.token = ""

    def call(
        self, method: str, path: str, json: object = None, *, session: bool = True, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """One call with this session."""

        async def run() -> dict[str, Any]:
            async with AccessClient(f"https://127.0.0.1:{self._installation.access_port}", self._identity) as access:
                token = self.token if session else None
                return await access.call(method, path, json=json, params=params, session=token)

        # In a thread of its own: Playwright's synchronous API keeps an event loop running in the test's.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    @classmethod
    def set_up(cls, installation: Installation, account: str = "acme", user: str = "ada") -> Administrator:
        """The first visit, without its pages."""
        self = cls(installation, Person(account, user))
        body = {
            "code": installation.setup_code, "account": account, "account_name": account.title(), "user": user,
            "display_name": user.title(), "password": PASSWORD, "client": CLIENT,
        }  # fmt: skip
        self.token = self.call("POST", "/webproxy/v1/setup", body, session=False)["session_token"]
        self.enrol()
        return self

    @classmethod
    def of_session(cls, installation: Installation, person: Person, token: str) -> Administrator:
        """The API with a session that the person's browser has."""
        self = cls(installation, person)
        self.token = token
        return self

    def enrol(self) -> None:
        """Enrol an authenticator for a session that has none yet."""
        self.person.secret = self.call("POST", "/webproxy/v1/factor/begin", {})["secret"]
        self.person.last_step = int(time.time()) // 30
        code = pyotp.TOTP(self.person.secret).now()
        self.token = self.call("POST", "/webproxy/v1/factor/confirm", {"code": code})["session_token"]

    def sign_in(self) -> None:
        """A new session for the same person."""
        body = {
            "account": self.person.account,
            "user": self.person.user,
            "password": self.person.password,
            "client": CLIENT,
        }
        self.token = self.call("POST", "/webproxy/v1/sign-in", body, session=False)["session_token"]
        self.token = self.call("POST", "/webproxy/v1/sign-in/totp", {"code": self.person.code()})["session_token"]

    def device(self, slug: str, *, lan: str) -> dict[str, Any]:
        """Create a device."""
        body = {"slug": slug, "name": slug.replace("-", " ").title(), "site": "Hall B", "description": "", "lan": [lan]}
        return dict(self.call("POST", "/admin/v1/devices", body)["device"])

    def key(self, device_id: str) -> str:
        """A new activation key of a device."""
        return str(self.call("POST", f"/admin/v1/devices/{device_id}/activation-key", {})["key"])

    def service(
        self, device_id: str, slug: str, host: str, port: int, protocol: str = "http", **more: object
    ) -> dict[str, Any]:
        """Create a service of a device."""
        body = {
            "slug": slug, "name": slug.title(), "host": host, "port": port, "protocol": protocol, "path": "/",
            "visible": True, **more,
        }  # fmt: skip
        return dict(self.call("POST", f"/admin/v1/devices/{device_id}/services", body)["service"])

    def status(self, slug: str) -> str:
        """A device's status: online, offline or never; absent when there is none of that name."""
        devices = self.call("GET", "/webproxy/v1/devices")["devices"]
        return next((str(device["status"]) for device in devices if device["slug"] == slug), "absent")

    def wait_online(self, slug: str, seconds: float = 20.0) -> None:
        """Wait until a device's agent is connected."""
        wait_until(f"{slug} is online", lambda: self.status(slug) == "online", seconds)

    def service_cookie(self, label: str) -> str:
        """A service session on the origin of `label`: the value of its cookie, got by the hand-off."""
        nonce = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
        code = self.call("POST", "/webproxy/v1/handoff", {"host_label": label, "nonce_hash": nonce})["code"]
        answer = self.call(
            "POST",
            "/webproxy/v1/handoff/redeem",
            {"code": code, "host_label": label, "nonce_hash": nonce},
            session=False,
        )
        return str(answer["service_token"])
