"""Firewall levels: how much of a device's declared LAN may be reached beside its listed services.

| level | what opens |
|---|---|
| standard | any address inside the declared LAN |
| high | other ports of hosts that have a listed service |
| enforced | listed services, and nothing else; every new device |
| ultra | as enforced, and the agent's own pages only for those who manage the device |

What opens without being listed is a service of kind "adhoc", made of an address in a link (`access.adhoc`). The agent
holds the same rule against its own signed configuration (`agent.policy`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from access import audit, public_ports, service_options, targets
from access.db import Unit
from access.models.machines import Device, Service
from panelgate.errors import BadInput

STANDARD: Final = "standard"
HIGH: Final = "high"
ENFORCED: Final = "enforced"
ULTRA: Final = "ultra"
LEVELS: Final = (STANDARD, HIGH, ENFORCED, ULTRA)
OPEN: Final = frozenset({STANDARD, HIGH})  # those with services that nobody listed

LISTED: Final = "lan"  # kinds of a service
OWN: Final = "agent"
ADHOC: Final = "adhoc"


def check(text: str) -> str:
    """Return `text` when it is a level, or raise BadInput(bad_firewall_level)."""
    if text not in LEVELS:
        raise BadInput("bad_firewall_level", "Choose standard, high, enforced or ultra.", {"level": text[:16]})
    return text


def why_not(device: Device, listed_hosts: Iterable[str], host: str) -> str | None:
    """Why this address may not be opened unlisted: None when it may.

    host_not_ip, host_forbidden and host_outside_lan as `access.targets` says them, `level`, and `host_not_listed`.
    """
    try:
        canonical = targets.check_host(host, device.lan)
    except BadInput as error:
        return error.code
    if device.level not in OPEN:
        return "level"
    if device.level == HIGH and canonical not in listed_hosts:
        return "host_not_listed"
    return None


def why_not_at(device: Device, offered: Iterable[Service], host: str, port: int) -> str | None:
    """Why this address and port may not be opened unlisted; `listed` when the device has a service there.

    Who listed it decided who sees it and which certificate counts there, and no link goes around that.
    """
    offered = list(offered)
    reason = why_not(device, listed_hosts(offered), host)
    if reason is None and any(row.kind != ADHOC and (row.host, row.port) == (host, port) for row in offered):
        return "listed"
    return reason


def listed_hosts(services: Iterable[Service]) -> frozenset[str]:
    """The hosts of a device's listed services."""
    return frozenset(service.host for service in services if service.kind == LISTED)


def prune(unit: Unit, device: Device) -> int:
    """Remove the ad-hoc services that the device's level and LAN don't allow (any more); how many.

    INVARIANT: an ad-hoc service in the table is one that could be made now. Whatever changes level, LAN or listed
    services comes by here, since all of it changes the agent's configuration.
    """
    offered = unit.all(Service, Service.device_id == device.id)
    gone = 0
    for service in offered:
        if service.kind != ADHOC:
            continue
        reason = why_not_at(device, offered, service.host, service.port)
        if reason is not None:
            remove(unit, device, service, reason)
            gone += 1
    return gone


def remove(unit: Unit, device: Device, service: Service, reason: str) -> None:
    """Remove an ad-hoc service that nobody asked to remove, and note why."""
    facts: dict[str, Any] = {"reason": reason, "host": service.host, "port": service.port}
    lost = service_options.forget_companion(unit, service)
    if lost:
        facts["no_companion_of"] = lost
    audit.append(
        unit, "service.adhoc_end", device_id=device.id, device=device.slug, service=service.slug, facts=facts
    )  # fmt: skip
    public_ports.release(unit, service)
    unit.delete(service)
