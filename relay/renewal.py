"""Renewing the relay's certificate at two thirds of its life.

The key stays: the certificate is the only file that changes, so that a power cut can't part the two.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from panelgate.access_client import AccessClient
from panelgate.clock import Clock
from panelgate.errors import Broken, PanelgateError, Refused
from panelgate.log import get_logger
from panelgate.pki import Identity, from_pem, make_csr, verify_issued
from relay.server import Relay

log = get_logger(__name__)

RENEW_AT: Final = 2 / 3  # of the certificate's life: a month of it is left for an access server that is down
LOOK_SECONDS: Final = 3600.0


def due(identity: Identity) -> float:
    """When to renew: unix time in seconds."""
    start = identity.certificate.not_valid_before_utc.timestamp()
    return start + (identity.certificate.not_valid_after_utc.timestamp() - start) * RENEW_AT


async def renew(identity: Identity, client: AccessClient, names: Sequence[str], clock: Clock) -> Identity:
    """A renewed identity, stored where the present one is. PanelgateError when it can't be had."""
    if identity.directory is None:
        raise Broken("identity_not_saved", "an identity that is nowhere stored can't be renewed")
    body = {"csr": make_csr(identity.key), "dns_names": list(names)}
    answer = await client.call("POST", "/v1/renew", json=body)
    certificate = from_pem(str(answer.get("certificate")))
    peer = verify_issued(certificate, identity.ca, clock.now())
    mine = certificate.public_key() == identity.key.public_key()
    if (peer.role, peer.id) != (identity.role, identity.id) or not mine:
        raise Refused("wrong_certificate", "the renewed certificate is for somebody else")
    return Identity(identity.role, identity.id, identity.key, certificate, identity.ca).save(identity.directory)


async def keep_renewed(
    relay: Relay,
    identity: Identity,
    access_url: str,
    names: Sequence[str],
    clients: AsyncExitStack,
    clock: Clock | None = None,
) -> None:
    """Look every hour, renew when it is time, until cancelled.

    The clients made with renewed certificates are closed by `clients`: the relay's farewell still needs the last.
    """
    clock = clock or Clock()
    client = await clients.enter_async_context(AccessClient(access_url, identity, clock=clock))
    while True:
        if clock.now() >= due(identity):
            try:
                identity = await renew(identity, client, names, clock)
            except PanelgateError as error:
                log.warning("certificate not renewed", code=error.code, reason=error.message)
            else:
                client = await clients.enter_async_context(AccessClient(access_url, identity, clock=clock))
                relay.replace_identity(identity, client)
                log.info("certificate renewed", until=identity.certificate.not_valid_after_utc.isoformat())
        await asyncio.sleep(LOOK_SECONDS)
