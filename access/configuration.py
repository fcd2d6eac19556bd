"""The agent's configuration: what it may dial, signed, with a version that only grows."""

from typing import Any

from access.db import Unit
from access.models.machines import Device, Service
from panelgate.tickets import Signer


def describe(unit: Unit, device: Device) -> dict[str, Any]:
    """The configuration of a device as the agent's contract words it. It carries no password."""
    services = unit.all(Service, Service.device_id == device.id, order=Service.slug)
    return {
        "device_id": device.id,
        "version": device.config_version,
        "lan": list(device.lan),
        "level": device.level,
        "services": [
            {
                "id": service.id,
                "slug": service.slug,
                "name": service.name,
                "host": service.host,
                "port": service.port,
                "protocol": service.protocol,
                "tls": {"verify": service.tls_verify, "pin": service.tls_pin},
            }
            for service in services
        ],
    }


def signed(unit: Unit, device: Device, signer: Signer) -> str:
    """The configuration as the agent gets it: a JWS."""
    return signer.config(describe(unit, device))


def changed(unit: Unit, device: Device) -> int:
    """Note that what the agent may dial has changed, and tell relays and web proxies after the commit; the new version.

    Call it once in the unit that made the change.
    """
    device.config_version += 1
    unit.publish({"type": "config.changed", "device_id": device.id, "version": device.config_version})
    unit.publish({"type": "access.changed", "account_id": device.account_id})
    return device.config_version
