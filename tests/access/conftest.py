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
import pytest
from sqlalchemy import create_engine, text

from access.app import create_app
from access.db import Store, database_url
from access.kernel import Kernel
from access.models.tables import metadata
from access.passwords import Hasher
from panelgate.clock import FakeClock
from panelgate.pki import Role
from tests.fakes.access_world import Api, make_identity, make_kernel

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


@pytest.fixture
async def api(kernel: Kernel) -> AsyncIterator[Api]:
    """The application, called by a web proxy."""
    transport = httpx.ASGITransport(app=create_app(kernel), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://access.test") as http:
        yield Api(http, kernel, make_identity(kernel, Role.WEBPROXY, "w" * 32))

