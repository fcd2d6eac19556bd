"""The agent's configuration: what it may dial, signed, with a version that only grows."""

from typing import Any, Final

from access import levels
from access.db import Unit
from access.models.machines import Device, Service
from panelgate.options import ServiceOptions
from panelgate.tickets import Signer

WEB: Final = frozenset({"http", "https"})


def describe(unit: Unit, device: Device) -> dict[str, Any]:
    """The configuration of a device as the agent's contract words it. It carries no password."""
    services = unit.all(Service, Service.device_id == device.id, order=Service.slug)
    return {
        "device_id": device.id,
        "version": device.config_version,
        "lan": list(device.lan),
        "level": device.level,
        "services": [_service(service) for service in services],
    }


def _service(service: Service) -> dict[str, Any]:
    """What is at its default is left out where that makes the row shorter: it travels over metered lines."""
    options = ServiceOptions.of(service.options)
    tls: dict[str, Any] = {"verify": service.tls_verify, "pin": service.tls_pin}
    row = {
        "id": service.id, "slug": service.slug, "name": service.name, "host": service.host, "port": service.port,
        "protocol": service.protocol, "tls": tls,
    }  # fmt: skip
    if service.protocol == "https":
        tls["profile"] = options.tls_profile
        if service.tls_verify == "ca" and options.tls_ca:
            tls["ca"] = options.tls_ca
    if service.kind != levels.LISTED:
        row["kind"] = service.kind
    if service.protocol in WEB:
        row["compress"] = options.compress
    return row


def signed(unit: Unit, device: Device, signer: Signer) -> str:
    """The configuration as the agent gets it: a JWS."""
    return signer.config(describe(unit, device))


def changed(unit: Unit, device: Device) -> int:
    """Note that what the agent may dial has changed, and tell relays and web proxies after the commit; the new version.

    Call it once in the unit that made the change. Ad-hoc services that the change leaves without permission go.
    """
    levels.prune(unit, device)
    device.config_version += 1
    unit.publish({"type": "config.changed", "device_id": device.id, "version": device.config_version})
    unit.publish({"type": "access.changed", "account_id": device.account_id})
    return device.config_version
