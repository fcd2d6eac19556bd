"""The commands of the access server."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import click
import uvicorn

from access import authority, demo, devices, joining, relays, schema, setup
from access.db import Store
from access.events import Hub
from access.kernel import AUTHORITY_FOLDER, IDENTITY_FOLDER, KEY_FILE, Kernel, database_address, open_kernel
from access.keyring import Keyring
from access.models.machines import Relay
from access.models.people import Account
from panelgate import log
from panelgate.clock import Clock
from panelgate.errors import BadInput, Broken
from panelgate.pki import Identity, Role
from panelgate.settings import AccessSettings
from panelgate.tasks import spawn

KEEP_ALIVE_SECONDS = 75  # longer than the web proxy keeps an idle connection, so that it is never us who closes first
SHUTDOWN_SECONDS = 5  # for answers under way; event streams are ended first
GOODBYE_SECONDS = 0.5  # for the other side's TLS goodbye: clients don't read connections they keep for later
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
    return authority.server_identity(kernel.data / IDENTITY_FOLDER, kernel.authority, names, kernel.clock.now())


@group.command()
def init() -> None:
    """Make the data folder: master key, certificate authority, database. Does nothing where they are."""
    settings = _settings()
    prepare(settings, Clock())
    click.echo(f"The access server's data is in {settings.data}. Make a backup of it, keys included.")


@group.command()
@click.option("--copy", is_flag=True, help="Copy an SQLite database beside itself first, where it will be changed.")
def migrate(*, copy: bool) -> None:
    """Bring the database up to date. Stop all access servers and make a backup first."""
    settings = _settings()
    store = Store(database_address(settings), Clock())
    try:
        if copy and (saved := schema.save_copy(store)) is not None:
            click.echo(f"A copy of the database as it was: {saved}")
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


@group.command("join-token")
@click.option("--role", type=click.Choice([str(role) for role in joining.ROLES]), required=True, help="Who joins.")
def join_token(role: str) -> None:
    """Print a one-time token with which a relay or web proxy joins; it is good for a day."""
    kernel = opened(_settings())
    try:
        with kernel.store.operator(write=True) as unit:
            token, _ = joining.new_token(unit, kernel.authority.certificate, Role(role))
    finally:
        kernel.store.close()
    click.echo(token)


@group.command("add-demo")
def add_demo() -> None:
    """Add the demonstration machine; print its account, slug and activation key as JSON (null when it is enrolled)."""
    kernel = opened(_settings())
    try:
        made = demo.add(kernel.store, kernel.keyring, kernel.authority)
    finally:
        kernel.store.close()
    click.echo(json.dumps(made))


@group.command()
@click.argument("machine", metavar="ACCOUNT/DEVICE")
@click.option("--relay", "address", required=True, help="Address of the relay it is to use, as wss://…")
def move(machine: str, address: str) -> None:
    """Send a machine to another relay; its agent connects there within seconds."""
    kernel = opened(_settings())
    account, _, slug = machine.partition("/")
    try:
        with kernel.store.operator(write=True) as unit:
            owner, relay = unit.find(Account, Account.slug == account), unit.find(Relay, Relay.url == address)
            if owner is None or relay is None:
                raise BadInput(
                    "not_found", "There is no such account or relay.", {"account": account, "relay": address}
                )
            bound = unit.bind(owner.id)
            relays.move(bound, devices.by_slug(bound, slug), relay.id)
    finally:
        kernel.store.close()
    click.echo(f"{machine} moves to {address}.")


@group.command()
def serve() -> None:
    """Run the access server until it is stopped."""
    settings = _settings()
    log.configure("access", json=settings.log == "json", level=settings.log_level)
    kernel = opened(settings)
    server_of(kernel, identity_of(kernel)).run()


class _Server(uvicorn.Server):
    """Ends the event streams first: open ones would hold up the end, and then be broken off with a traceback."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.close()
        cutting = spawn("cut closed connections", self._cut_closed())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_closed(self) -> None:
        while True:
            await asyncio.sleep(GOODBYE_SECONDS)
            for connection in list(self.server_state.connections):
                transport = connection.transport
                if transport is not None and transport.is_closing():
                    transport.abort()


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
    return _Server(config, kernel.hub)
