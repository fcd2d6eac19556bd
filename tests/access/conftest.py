"""Fixtures of the access server's tests: the server's parts, a real PostgreSQL, callers with real certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from access import schema
from access.app import create_app
from access.db import Store, database_url
from access.kernel import DATABASE_FILE, Kernel
from access.passwords import Hasher
from panelgate.clock import FakeClock
from panelgate.pki import Role
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import Api, make_data, make_identity, make_kernel

START_SECONDS = "60"  # initdb and a first start on a loaded machine


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def fast_hasher() -> Hasher:
    """argon2id with the least cost there is."""
    return Hasher(time_cost=1, memory_kib=8)


@pytest.fixture(scope="session")
def fresh_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder made once; tests get copies, which is much faster."""
    folder = tmp_path_factory.mktemp("access") / "data"
    make_data(folder)
    return folder


@pytest.fixture
def data(fresh_data: Path, tmp_path: Path) -> Path:
    """The access server's data folder: keys, authority, database."""
    return Path(shutil.copytree(fresh_data, tmp_path / "access"))


@pytest.fixture
def kernel(data: Path, clock: FakeClock, fast_hasher: Hasher) -> Iterator[Kernel]:
    """The server's parts over SQLite, with all tables."""
    made = make_kernel(data, clock, fast_hasher)
    yield made
    made.store.close()


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


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """A database with all tables, to copy from: its name."""
    maintenance = create_engine(database_url(postgres_server), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text("CREATE DATABASE migrated"))
    store = Store(postgres_server.replace("/postgres?", "/migrated?"), FakeClock())
    schema.migrate(store)
    store.close()
    yield "migrated"
    maintenance.dispose()


@contextmanager
def _database(server: str, template: str) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex}"
    maintenance = create_engine(database_url(server), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        try:
            yield server.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    maintenance.dispose()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    with _database(postgres_server, "template1") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both databases, one after the other, without tables."""
    if request.param == "sqlite":
        return str(tmp_path / "empty.sqlite")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, data: Path) -> Iterator[str]:
    """Both databases, one after the other, with all tables."""
    if request.param == "sqlite":
        yield str(data / DATABASE_FILE)
        return
    template = request.getfixturevalue("postgres_template")
    with _database(request.getfixturevalue("postgres_server"), template) as url:
        yield url


@pytest.fixture
def published() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def store(store_url: str, clock: FakeClock, published: list[dict[str, Any]]) -> Iterator[Store]:
    """A store with all tables, on SQLite and on PostgreSQL."""
    made = Store(store_url, clock, published.append)
    yield made
    made.close()


@pytest.fixture
def both_kernel(store_url: str, data: Path, clock: FakeClock, fast_hasher: Hasher) -> Iterator[Kernel]:
    """The server's parts, on SQLite and on PostgreSQL."""
    made = make_kernel(data, clock, fast_hasher, database=store_url)
    yield made
    made.store.close()


@pytest.fixture
async def api(kernel: Kernel) -> AsyncIterator[Api]:
    """The application, called by a web proxy."""
    transport = httpx.ASGITransport(app=create_app(kernel), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://access.test") as http:
        yield Api(http, kernel, make_identity(kernel, Role.WEBPROXY, "w" * 32))


@pytest.fixture
def plant(kernel: Kernel) -> Plant:
    """An account with a machine and two services; no agent yet."""
    return Plant(kernel)
