"""The commands `panelgate relay join` and `panelgate relay serve`."""

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from panelgate import introduction
from panelgate.access_client import AccessClient
from panelgate.clock import Clock
from panelgate.errors import BadInput
from panelgate.log import configure, get_logger
from panelgate.loop import run
from panelgate.pki import Identity, Role, from_pem, make_csr, make_key
from panelgate.settings import RelaySettings
from relay.renewal import keep_renewed
from relay.server import Relay

log = get_logger(__name__)


def identity_directory(data: Path) -> Path:
    """Where a relay's key and certificate are."""
    return data / "identity"


def names_of(settings: RelaySettings) -> list[str]:
    """Names and addresses for the relay's certificate."""
    return [name.strip() for name in settings.names.split(",") if name.strip()]


@click.group("relay")
def group() -> None:
    """The relay: joins web proxies and agents."""


@group.command()
@click.option("--token", required=True, help="Join token, made by: panelgate access join-token --role relay")
@click.option("--access", "access_url", default=None, help="Address of the access server, https://...")
def join(token: str, access_url: str | None) -> None:
    """Make a key here and let the installation sign it."""
    settings = RelaySettings()
    identity = asyncio.run(join_installation(settings, token, access_url or settings.access))
    click.echo(f"Joined as relay {identity.id}. Start it with: panelgate relay serve")


@group.command()
def serve() -> None:
    """Serve until stopped (Ctrl-C or SIGTERM)."""
    settings = RelaySettings()
    configure("relay", json=settings.log == "json", level=settings.log_level)
    run(serve_until_stopped(settings))


async def join_installation(settings: RelaySettings, token: str, access_url: str) -> Identity:
    """Check the authority against the token, have our key signed, store the identity.

    Raises what `introduction.fetch_authority` and the access server's answer say; BadInput("bad_key").
    """
    secret = introduction.tidy(token, introduction.JOIN)
    authority = await introduction.fetch_authority(access_url, secret, Clock())
    key = make_key()
    async with AccessClient(access_url, ca=authority) as client:
        body = {"token": secret, "role": str(Role.RELAY), "csr": make_csr(key), "dns_names": names_of(settings)}
        answer = await client.call("POST", "/v1/join", json=body)
    identity = Identity(Role.RELAY, str(answer["id"]), key, from_pem(str(answer["certificate"])), authority)
    return identity.save(identity_directory(settings.data))


async def serve_until_stopped(settings: RelaySettings, *, stop: asyncio.Event | None = None) -> None:
    """Serve until `stop` is set; by default SIGINT and SIGTERM set it."""
    directory = identity_directory(settings.data)
    if not (directory / "certificate.pem").exists():
        raise BadInput(
            "not_joined",
            f"There is no relay identity in {directory}. On the access server run 'panelgate access join-token --role "
            "relay', then here: panelgate relay join --token TOKEN --access ADDRESS",
        )
    identity = Identity.load(directory)
    stopping = stop or asyncio.Event()
    if stop is None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as clients:
        client = await clients.enter_async_context(AccessClient(settings.access, identity))
        relay = Relay(identity, client, settings.url)
        await relay.listen(settings.host, settings.port)
        async with asyncio.TaskGroup() as tasks:
            renewing = keep_renewed(relay, identity, settings.access, names_of(settings), clients)
            running = [
                tasks.create_task(relay.run(), name="relay"),
                tasks.create_task(renewing, name="relay renewal"),
            ]
            await stopping.wait()
            for task in running:
                task.cancel()
        await relay.stop()
