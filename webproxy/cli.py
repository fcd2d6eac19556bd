"""The commands `panelgate webproxy join` and `panelgate webproxy serve`."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import click
import uvicorn

from panelgate import introduction
from panelgate.access_client import AccessClient
from panelgate.clock import Clock
from panelgate.errors import BadInput
from panelgate.log import configure, get_logger
from panelgate.names import Sites
from panelgate.pki import Identity, Role, from_pem, make_csr, make_key
from panelgate.settings import WebproxySettings
from panelgate.tasks import spawn
from webproxy import listening, tls
from webproxy.app import create_app
from webproxy.forward.clients import Clients
from webproxy.forward.protocol import FrontProtocol
from webproxy.web import Web

STOP_SECONDS = 5  # for answers under way when the process ends
KEEP_ALIVE_SECONDS = 75  # as webproxy.forward.protocol.IDLE_SECONDS, for the portal's side of the listener
BACKLOG = 2048  # connections the kernel holds while we are busy

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
SHARED = (
    "All panels share one address: a hostile panel's page can act on the others. Use names or ports instead: "
    "set PANELGATE_ORIGINS."
)

log = get_logger(__name__)


def identity_directory(data: Path) -> Path:
    """Where a web proxy's key and certificate are."""
    return data / "identity"


@click.group("webproxy")
def group() -> None:
    """The web proxy: what browsers meet."""


@group.command()
@click.option("--token", required=True, help="Join token, made by: panelgate access join-token --role webproxy")
@click.option("--access", "access_url", default=None, help="Address of the access server, https://...")
def join(token: str, access_url: str | None) -> None:
    """Make a key here and let the installation sign it."""
    settings = WebproxySettings()
    identity = asyncio.run(join_installation(settings, token, access_url or settings.access))
    click.echo(f"Joined as web proxy {identity.id}. Start it with: panelgate webproxy serve")


@group.command()
@click.option(
    "--behind-proxy", is_flag=True,
    help="A load balancer in front ends HTTPS. Its addresses come from PANELGATE_WEBPROXY_TRUSTED_PROXIES.",
)  # fmt: skip
def serve(behind_proxy: bool) -> None:
    """Serve until stopped (Ctrl-C or SIGTERM)."""
    settings = WebproxySettings()
    configure("webproxy", json=settings.log == "json", level=settings.log_level)
    make_server(settings, behind_proxy=behind_proxy).run()


async def join_installation(settings: WebproxySettings, token: str, access_url: str) -> Identity:
    """Check the authority against the token, have our key signed, store the identity.

    Raises what `introduction.fetch_authority` and the access server's answer say; BadInput("bad_key").
    """
    secret = introduction.tidy(token, introduction.JOIN)
    authority = await introduction.fetch_authority(access_url, secret, Clock())
    key = make_key()
    async with AccessClient(access_url, ca=authority) as client:
        body = {"token": secret, "role": str(Role.WEBPROXY), "csr": make_csr(key), "dns_names": []}
        answer = await client.call("POST", "/v1/join", json=body)
    identity = Identity(Role.WEBPROXY, str(answer["id"]), key, from_pem(str(answer["certificate"])), authority)
    return identity.save(identity_directory(settings.data))


def check(settings: WebproxySettings, *, behind_proxy: bool) -> None:
    """Whether sign-in cookies would be safe as set up; BadInput says what to change."""
    sites = settings.sites()
    if (settings.certificate is None) != (settings.key is None):
        raise BadInput("half_certificate", "a certificate and its key must both be set, or neither")
    if behind_proxy and settings.certificate is not None:
        raise BadInput("two_https", "either serve HTTPS here or stand --behind-proxy, not both")
    if behind_proxy and not settings.trusted_proxies:
        raise BadInput(
            "no_trusted_proxies",
            "--behind-proxy needs the load balancer's addresses in PANELGATE_WEBPROXY_TRUSTED_PROXIES",
        )
    local = sites.portal_name == "localhost" or sites.portal_name.endswith(".localhost")
    _check_names(sites, settings)
    if sites.scheme == "http" and not local:
        raise BadInput(
            "plain_http",
            "browsers keep sign-in cookies only over HTTPS: set PANELGATE_WEBPROXY_PUBLIC_SCHEME=https, and a "
            "certificate with its key, or --behind-proxy",
        )
    if sites.scheme == "https" and settings.certificate is None and not behind_proxy:
        raise BadInput("no_certificate", "HTTPS needs a certificate and its key, or --behind-proxy")
    if settings.certificate is not None and sites.scheme != "https":
        raise BadInput("wrong_scheme", "with a certificate set PANELGATE_WEBPROXY_PUBLIC_SCHEME=https as well")
    try:
        Clients(settings.trusted_proxies)
    except ValueError as error:
        raise BadInput("bad_trusted_proxies", f"the trusted proxies are not addresses or networks: {error}") from error


def _check_names(sites: Sites, settings: WebproxySettings) -> None:
    """Whether portal and services can be told apart."""
    if not NAME.fullmatch(sites.portal_name):
        raise BadInput("bad_host", "PANELGATE_WEBPROXY_PUBLIC_HOST is a name, without scheme and port")
    if sites.apps:
        _check_apps(sites)
        return
    if sites.ports is None:
        if sites.portal_name.endswith(f".{sites.apps_suffix}"):
            raise BadInput("bad_host", f"the portal's name can't be below {sites.apps_suffix}, where services are")
        return
    for port in (settings.port, sites.port):
        if port in sites.ports.range:
            raise BadInput(
                "bad_origin_ports", f"port {port} is the portal's: keep it out of PANELGATE_ORIGIN_PORTS"
            )  # fmt: skip


def _check_apps(sites: Sites) -> None:
    """Whether the panels' shared host is another one than the portal's, so that no panel's page is the portal's."""
    if not NAME.fullmatch(sites.apps):
        raise BadInput("bad_apps_host", "PANELGATE_WEBPROXY_APPS_HOST is a name, without scheme and port")
    if sites.apps == sites.portal_name:
        raise BadInput(
            "bad_apps_host",
            f"with PANELGATE_ORIGINS=paths the panels need a host name of their own: {sites.apps} is the portal's. "
            "Give them another name of this server in PANELGATE_WEBPROXY_APPS_HOST (another port is not enough)",
        )


class _Server(uvicorn.Server):
    """uvicorn, with the certificate kept fresh, and with all listeners where services have ports."""

    def __init__(
        self, config: uvicorn.Config, settings: WebproxySettings, sites: Sites, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._sites = sites
        self._context = context

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serve until told to stop."""
        watcher = None
        settings = self._settings
        if sockets is None and self._sites.ports is not None and not settings.behind_proxy:
            sockets = self._open()
        if self._context is not None and settings.certificate is not None and settings.key is not None:
            watcher = spawn("certificate", tls.keep_fresh(self._context, settings.certificate, settings.key))
        try:
            await super().serve(sockets)  # type: ignore[arg-type]
        finally:
            if watcher is not None:
                watcher.cancel()

    def _open(self) -> list[object]:
        ports = self._sites.ports
        assert ports is not None
        listening.room_for(len(ports.range))
        return [*listening.open_sockets(self._settings.host, [self._settings.port, *ports.range])]


def make_server(settings: WebproxySettings, *, behind_proxy: bool = False) -> uvicorn.Server:
    """The listener, ready to run; BadInput when the settings can't work or the web proxy has not joined."""
    check(settings, behind_proxy=behind_proxy)
    directory = identity_directory(settings.data)
    if not (directory / "certificate.pem").exists():
        raise BadInput(
            "not_joined",
            f"There is no web proxy identity in {directory}. On the access server run 'panelgate access join-token "
            "--role webproxy', then here: panelgate webproxy join --token TOKEN --access ADDRESS",
        )
    identity = Identity.load(directory)
    sites = settings.sites()

    def make_web() -> Web:
        return Web(settings, AccessClient(settings.access, identity), identity, sites=sites)

    context = None
    if settings.certificate is not None and settings.key is not None:
        context = tls.make_context(settings.certificate, settings.key)
    if sites.apps:
        log.warning("panels share one address", warning=SHARED, apps_host=sites.apps_host)
    log.info("web proxy starts", portal=sites.portal_origin, host=settings.host, port=settings.port)
    return _Server(listener(settings, make_web, sites, context), settings, sites, context)


def listener(
    settings: WebproxySettings, make_web: Callable[[], Web], sites: Sites, context: ssl.SSLContext | None
) -> uvicorn.Config:
    """uvicorn's configuration: our protocol class, no access log, no Server header, no WebSockets of its own."""
    return uvicorn.Config(
        create_app(make_web, sites),
        host=settings.host, port=settings.port, http=FrontProtocol, loop="uvloop", ws="none", lifespan="on",
        log_config=None, access_log=False, server_header=False, backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS, proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[part.strip() for part in settings.trusted_proxies.split(",") if part.strip()],
        ssl_context_factory=(lambda *_: context) if context is not None else None,
    )  # fmt: skip
