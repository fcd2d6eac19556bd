"""The commands of the access server."""

from __future__ import annotations

from pathlib import Path

import click
import uvicorn

from access import authority, schema, setup
from access.db import Store
from access.kernel import AUTHORITY_FOLDER, IDENTITY_FOLDER, KEY_FILE, Kernel, database_address, open_kernel
from access.keyring import Keyring
from panelgate import log
from panelgate.clock import Clock
from panelgate.errors import Broken
from panelgate.pki import Identity
from panelgate.settings import AccessSettings

KEEP_ALIVE_SECONDS = 75  # longer than the web proxy keeps an idle connection, so that it is never us who closes first
SHUTDOWN_SECONDS = 5  # event streams never end by themselves
BACKLOG = 512


@click.group("access")
def group() -> None:
    """The access server: accounts, devices, permissions. Its settings are environment variables PANELGATE_ACCESS_…"""


def _settings() -> AccessSettings:
    return AccessSettings()


def prepare(settings: AccessSettings, clock: Clock) -> None:
    """Make what is missing: data folder, master key, authority, database. What is there is never replaced."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    Keyring.create(settings.data / KEY_FILE)
    authority.create(settings.data / AUTHORITY_FOLDER, clock.now())
    store = Store(database_address(settings), clock)
    try:
        if schema.is_empty(store):
            schema.migrate(store)
    finally:
        store.close()


def opened(settings: AccessSettings) -> Kernel:
    """The server's parts, with a database that this code can work on."""
    if not (settings.data / KEY_FILE).exists():
        raise Broken("not_initialised", f"There is nothing in {settings.data} yet. Run: panelgate access init")
    kernel = open_kernel(settings)
    schema.check(kernel.store)
    return kernel


def identity_of(kernel: Kernel) -> Identity:
    """The server's own certificate, renewed when that is due."""
    names = kernel.settings.names.split(",")
    return authority.server_identity(
        kernel.data / IDENTITY_FOLDER, kernel.authority, names, kernel.clock.now()
    )


@group.command()
def init() -> None:
    """Make the data folder: master key, certificate authority, database. Does nothing where they are."""
    settings = _settings()
    prepare(settings, Clock())
    click.echo(f"The access server's data is in {settings.data}. Make a backup of it, keys included.")


@group.command()
def migrate() -> None:
    """Bring the database up to date. Stop all access servers and make a backup first."""
    settings = _settings()
    store = Store(database_address(settings), Clock())
    try:
        before, now = schema.migrate(store)
    finally:
        store.close()
    click.echo(f"The database is at {now} (before: {before or 'empty'}).")


@group.command("setup-code")
def setup_code() -> None:
    """Print a new one-time code for the set-up page; older ones are void."""
    kernel = opened(_settings())
    try:
        click.echo(setup.new_code(kernel))
    finally:
        kernel.store.close()


@group.command()
def serve() -> None:
    """Run the access server until it is stopped."""
    settings = _settings()
    log.configure("access", json=settings.log == "json")
    kernel = opened(settings)
    server_of(kernel, identity_of(kernel)).run()


def server_of(kernel: Kernel, identity: Identity) -> uvicorn.Server:
    """The HTTPS server over the kernel, not yet running."""
    from access.app import create_app

    folder: Path | None = identity.directory
    if folder is None:
        raise Broken("identity_not_saved", "the server's identity has no folder")
    config = uvicorn.Config(
        create_app(kernel), host=kernel.settings.host, port=kernel.settings.port, log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        backlog=BACKLOG, ssl_certfile=folder / "certificate.pem", ssl_keyfile=str(folder / "key.pem"),
        ssl_context_factory=lambda _config, _default: identity.server_context(), proxy_headers=False, ws="none",
    )  # fmt: skip
    return uvicorn.Server(config)
