"""A small world for tests of the access server: accounts, users, sessions, and callers with real certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pyotp

from access import authority, schema, sessions, users
from access.db import Store
from access.kernel import AUTHORITY_FOLDER, DATABASE_FILE, KEY_FILE, Kernel, open_kernel
from access.keyring import Keyring
from access.passwords import Hasher
from panelgate import assertion
from panelgate.clock import FakeClock
from panelgate.pki import Identity, Role, make_csr, make_key
from panelgate.settings import AccessSettings

PASSWORD = "correct horse 7"
CLIENT = {"address": "203.0.113.7", "user_agent": "Firefox"}


def make_data(data: Path) -> None:
    """A data folder as `panelgate access init` makes it; tables come from the migrations, as in real life."""
    Keyring.create(data / KEY_FILE)
    authority.create(data / AUTHORITY_FOLDER, FakeClock().now())
    store = Store(str(data / DATABASE_FILE), FakeClock())
    schema.migrate(store)
    store.close()


def make_kernel(data: Path, clock: FakeClock, hasher: Hasher, **settings: Any) -> Kernel:
    """The server's parts over a data folder."""
    return open_kernel(AccessSettings(_env_file=None, data=data, **settings), clock, hasher)


ACTOR = users.Actor(None, "operator", "127.0.0.1")


def make_account(kernel: Kernel, slug: str, administrator: str = "anna") -> tuple[str, str]:
    """An account with an administrator whose password is PASSWORD: their ids."""
    hashed = kernel.hasher.hash(PASSWORD)
    with kernel.store.operator(write=True) as unit:
        account = users.create_account(unit, slug, slug.title())
        user = users.create_user(
            unit.bind(account.id), ACTOR, name=administrator, display_name=administrator.title(), role="administrator",
            password_hash=hashed,
        )  # fmt: skip
        return account.id, user.id


def make_user(kernel: Kernel, account_id: str, name: str, role: str = "member") -> str:
    """A user whose password is PASSWORD: his id."""
    hashed = kernel.hasher.hash(PASSWORD)
    with kernel.store.account(account_id, write=True) as unit:
        made = users.create_user(unit, ACTOR, name=name, display_name=name.title(), role=role, password_hash=hashed)
        return made.id


def full_session(kernel: Kernel, account_id: str, user_id: str) -> str:
    """The token of a session that is signed in completely."""
    with kernel.store.account(account_id, write=True) as unit:
        user = unit.need(users.User, user_id)
        row, _ = sessions.begin(unit, user, "factor", sessions.Client("203.0.113.7", "Firefox"))
        return sessions.promote(unit, row.id, user)


def make_identity(kernel: Kernel, role: Role, ident: str) -> Identity:
    """A role's identity, issued and written down as enrolment does it."""
    key = make_key()
    with kernel.store.operator(write=True) as unit:
        certificate = authority.issue(unit, kernel.authority, make_csr(key), role, ident)
    return Identity(role, ident, key, certificate, kernel.authority.certificate)


class Api:
    """Calls the application over ASGI, with an assertion of its identity and, when given, a user's session."""

    def __init__(self, http: httpx.AsyncClient, kernel: Kernel, identity: Identity | None) -> None:
        self.http = http
        self.kernel = kernel
        self.identity = identity

    def as_role(self, identity: Identity | None) -> Api:
        """The same application, called by another role (None: by nobody)."""
        return Api(self.http, self.kernel, identity)

    async def call(
        self, method: str, path: str, json: Any = None, *, session: str = "", **extra: Any
    ) -> httpx.Response:
        """One call; the path may have a query."""
        headers = dict(extra.pop("headers", {}))
        if self.identity is not None:
            bare = path.partition("?")[0]
            headers[assertion.HEADER] = assertion.sign(self.identity, method, bare, self.kernel.clock.now())
        if session:
            headers["Panelgate-Session"] = session
        return await self.http.request(method, path, json=json, headers=headers, **extra)

    async def get(self, path: str, *, session: str = "") -> Any:
        """The JSON of a GET that must succeed."""
        answer = await self.call("GET", path, session=session)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, json: Any = None, *, session: str = "") -> Any:
        """The JSON of a POST that must succeed."""
        answer = await self.call("POST", path, json, session=session)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, json: Any = None, *, session: str = "") -> tuple[int, str]:
        """Status and code of a call that must fail."""
        answer = await self.call(method, path, json, session=session)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]["code"]

    async def sign_in(self, account: str, user: str, totp: pyotp.TOTP) -> str:
        """Sign in with password and code: the token of the full session."""
        body = {"account": account, "user": user, "password": PASSWORD, "client": CLIENT}
        first = await self.post("/webproxy/v1/sign-in", body)
        code = totp.at(int(self.kernel.clock.now()))
        answer = await self.post("/webproxy/v1/sign-in/totp", {"code": code}, session=first["session_token"])
        token: str = answer["session_token"]
        return token
