"""Fixtures of the access server's tests: the server's parts, a real PostgreSQL, callers with real certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import create_engine, text

from access import authority, lockout, schema, sessions, users
from access.app import create_app
from access.db import Store, database_url
from access.kernel import AUTHORITY_FOLDER, KEY_FILE, Kernel, open_kernel
from access.keyring import Keyring
from access.models.tables import metadata
from access.passwords import Hasher
from panelgate import assertion
from panelgate.clock import FakeClock
from panelgate.pki import Identity, Role, make_csr, make_key
from panelgate.settings import AccessSettings

PASSWORD = "correct horse 7"
CLIENT = {"address": "203.0.113.7", "user_agent": "Firefox"}
START_SECONDS = "60"  # initdb and a first start on a loaded machine


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def fast_hasher() -> Hasher:
    """argon2id with the least cost there is."""
    return Hasher(time_cost=1, memory_kib=8)


@pytest.fixture
def kernel(tmp_path: Path, clock: FakeClock, fast_hasher: Hasher) -> Iterator[Kernel]:
    """The server's parts over SQLite, with all tables."""
    made = make_kernel(tmp_path, clock, fast_hasher)
    yield made
    made.store.close()


def make_kernel(folder: Path, clock: FakeClock, hasher: Hasher, **settings: Any) -> Kernel:
    """The server's parts in `folder`; tables come from the migrations, as in real life."""
    data = folder / "access"
    Keyring.create(data / KEY_FILE)
    authority.create(data / AUTHORITY_FOLDER, clock.now())
    made = open_kernel(AccessSettings(_env_file=None, data=data, **settings), clock, hasher)
    schema.migrate(made.store)
    return made


def _as_postgres_user() -> dict[str, Any]:
    # PostgreSQL refuses to run as root; in a container the tests often are.
    return {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}


def _binary(name: str) -> str:
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
    if found is None:
        pytest.fail(f"PostgreSQL's '{name}' is not installed: run `make setup-test`", pytrace=False)
    return found


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A private PostgreSQL on a socket in a folder of its own: the URL of its maintenance database."""
    who = _as_postgres_user()
    # Not pytest's own folder: that one is closed to the other user, and socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if who:
        shutil.chown(folder, who["user"])
    cluster = folder / "data"
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    try:
        subprocess.run(
            [_binary("initdb"), "-D", cluster, "-U", "panelgate", "-A", "trust", "-N", "-E", "UTF8"],
            check=True, capture_output=True, env=env, cwd=folder, **who,
        )  # fmt: skip
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections=100"
        control = [_binary("pg_ctl"), "-D", cluster, "-w", "-t", START_SECONDS]
        subprocess.run(
            [*control, "-l", folder / "log", "-o", options, "start"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, cwd=folder, **who,
        )  # fmt: skip
        try:
            yield f"postgresql://panelgate@/postgres?host={folder}"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], check=True, capture_output=True, env=env, cwd=folder, **who
            )
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    name = f"t{abs(hash(request.node.nodeid))}"
    maintenance = create_engine(database_url(postgres_server), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server.replace("/postgres?", f"/{name}?")
    with maintenance.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    maintenance.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both databases, one after the other."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def published() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def store(store_url: str, clock: FakeClock, published: list[dict[str, Any]]) -> Iterator[Store]:
    """A store with all tables, on SQLite and on PostgreSQL."""
    made = Store(store_url, clock, published.append)
    metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def both_kernel(store_url: str, tmp_path: Path, clock: FakeClock, fast_hasher: Hasher) -> Iterator[Kernel]:
    """The server's parts, on SQLite and on PostgreSQL."""
    made = make_kernel(tmp_path, clock, fast_hasher, database=store_url)
    yield made
    made.store.close()


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


@pytest.fixture
async def api(kernel: Kernel) -> AsyncIterator[Api]:
    """The application, called by a web proxy."""
    transport = httpx.ASGITransport(app=create_app(kernel), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://access.test") as http:
        yield Api(http, kernel, make_identity(kernel, Role.WEBPROXY, "w" * 32))


LOCK_AFTER = lockout.FAILURES
