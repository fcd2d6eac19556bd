"""Deep links: account, device and service as written in an address, to what they name for this user.

Unknown, foreign and forbidden answer alike, and after the same queries: a link tells a stranger nothing, not even by
the time it takes.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final

from access import audit, permissions, services, summaries
from access.db import Store, Unit, not_found
from access.models.machines import Device, Service
from access.sessions import Who

DEFAULT_PORT: Final = 80  # of the form /proxy/{ip}/..., as in the addresses people have bookmarked
NOBODY: Final = "0" * 32  # an id that no device has: the queries of an unknown device are made with it


@dataclass(frozen=True, slots=True)
class Link:
    """A deep link: `service` for one of the device's, `ip` (and `port`) for an address on its LAN, or neither."""

    account: str
    device: str
    service: str | None = None
    ip: str | None = None
    port: int | None = None


def resolve(store: Store, who: Who, link: Link) -> dict[str, Any]:
    """{host_label, device, service} of what the link names; `host_label` and `service` are None for the device's page.

    Refused(not_found) for everything that does not exist for this user; the audit has what was asked for.
    """
    with store.account(who.account_id) as unit:
        found = _find(unit, who, link)
    if found is None:
        facts = {
            "what": "link", "account": link.account[:64], "device": link.device[:64],
            "service": (link.service or "")[:64], "ip": (link.ip or "")[:64], "port": link.port,
        }  # fmt: skip
        with store.account(who.account_id, write=True) as unit:
            audit.append(
                unit, "refused", result="refused", user_id=who.user_id, user=who.user, address=who.address,
                facts={key: value for key, value in facts.items() if value not in ("", None)},
            )  # fmt: skip
        raise not_found()
    return found


def _find(unit: Unit, who: Who, link: Link) -> dict[str, Any] | None:
    rights = permissions.rights_of(unit, who.user_id, who.role)
    device = unit.find(Device, Device.slug == link.device, Device.deleted.is_(None))
    offered = unit.all(Service, Service.device_id == (device.id if device else NOBODY))
    wanted = _wanted(link)
    service = next((row for row in offered if wanted in ((row.slug,), (row.host, row.port))), None)
    if device is None or link.account != who.account_slug or not rights.may("device.see", device.id):
        return None
    if wanted is None:
        return {"host_label": None, "device": summaries.device_summary(unit, rights, device), "service": None}
    if service is None or not services.permission(rights, device, service):
        return None
    return {
        "host_label": service.host_label,
        "device": summaries.device_summary(unit, rights, device),
        "service": summaries.service_summary(service),
    }


def _wanted(link: Link) -> tuple[str] | tuple[str, int] | None:
    """(slug,) or (address, port) as a service has it; None for the device itself."""
    if link.service is not None:
        return (link.service,)
    if link.ip is None:
        return None
    try:
        # The one canonical form: 010.0.0.5, 0xa000005 and 167772165 name nothing here.
        address = str(ipaddress.ip_address(link.ip))
    except ValueError:
        address = ""
    return address, DEFAULT_PORT if link.port is None else link.port
