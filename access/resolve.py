"""Deep links: account, device and service as written in an address, to what they name for this user.

Unknown, foreign and forbidden answer alike, and after the same queries: a link tells a stranger nothing, not even by
the time it takes. A device is named by its slug, or by its name as M2Web's bookmarks have it, when just one of those
that the user may see is called so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import or_, select

from access import adhoc, audit, permissions, services, summaries
from access.adhoc import Offer
from access.db import Store, Unit, not_found
from access.keyring import Keyring
from access.models.machines import Device, Service
from access.permissions import Rights
from access.sessions import Who
from access.throttle import Throttle
from panelgate.log import get_logger

log = get_logger("access.resolve")
DEFAULT_PORT: Final = 80  # of the form /proxy/{ip}/..., as in the addresses people have bookmarked
NOBODY: Final = "0" * 32  # an id that no device has: the queries of an unknown device are made with it
_PLAIN: Final = re.compile(r"[^ -~]+")  # what is not ASCII


@dataclass(frozen=True, slots=True)
class Link:
    """A deep link: `service` for one of the device's, `ip` (and `port`) for an address on its LAN, or neither.

    `names` are further readings of the device's part: M2Web writes a space as "+" or as "%20".
    """

    account: str
    device: str
    service: str | None = None
    ip: str | None = None
    port: int | None = None
    names: tuple[str, ...] = ()


def resolve(store: Store, who: Who, link: Link, refusals: Throttle) -> dict[str, Any]:
    """{host_label, device, service} of what the link names; `host_label` and `service` are None for the device's page.

    With an address that no service has, both are None as well, and there is one key more: `offer` ({ip, port,
    protocol}) when `take` would make a service of it, or, for those who manage the device, `missing` ({ip, port,
    reason, level}) with what stands against it. Refused(not_found) for everything that does not exist for this user;
    the audit has what was asked for, so long as `refusals` allows.
    """
    with store.account(who.account_id) as unit:
        found = _find(unit, who, link)
    if found is None or "missing" in found:
        if refusals.allows("refused", who.user_id):
            _note(store, who, link)
        else:
            log.warning("refusal_not_recorded", code="too_many", user_id=who.user_id)
    if found is None:
        raise not_found()
    return found


def take(store: Store, keyring: Keyring, who: Who, found: dict[str, Any]) -> dict[str, Any]:
    """Make the service that `resolve` offered: its answer, with `host_label` and `service`.

    Refused: not_found, too_many_addresses.
    """
    offer = found["offer"]
    service = adhoc.open_address(store, keyring, who, found["device"]["id"], offer["ip"], offer["port"])
    return {
        "host_label": service.host_label,
        "device": found["device"],
        "service": summaries.service_summary(service),
    }


def _note(store: Store, who: Who, link: Link) -> None:
    facts = {
        "what": "link", "account": link.account[:64], "device": link.device[:64],
        "service": (link.service or "")[:64], "ip": (link.ip or "")[:64], "port": link.port,
    }  # fmt: skip
    with store.account(who.account_id, write=True) as unit:
        audit.append(
            unit, "refused", result="refused", user_id=who.user_id, user=who.user, address=who.address,
            facts={key: value for key, value in facts.items() if value not in ("", None)},
        )  # fmt: skip


def _find(unit: Unit, who: Who, link: Link) -> dict[str, Any] | None:
    rights = permissions.rights_of(unit, who.user_id, who.role)
    device = _device(unit, rights, link)
    offered = unit.all(Service, Service.device_id == (device.id if device else NOBODY))
    if device is None or not _own_account(who, link.account):
        return None
    if link.service is None and link.ip is None:
        return {"host_label": None, "device": summaries.device_summary(unit, rights, device), "service": None}
    service = _service(rights, device, offered, link)
    if service is not None:
        return {
            "host_label": service.host_label,
            "device": summaries.device_summary(unit, rights, device),
            "service": summaries.service_summary(service),
        }
    more = _unlisted(rights, device, offered, link)
    if more is None:
        return None
    return {"host_label": None, "device": summaries.device_summary(unit, rights, device), "service": None} | more


def _own_account(who: Who, written: str) -> bool:
    return written.lower() == who.account_slug or _same(written, who.account_name)


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _device(unit: Unit, rights: Rights, link: Link) -> Device | None:
    """The device that a link names and the user may see. The same three queries, whatever there is."""
    by_slug = unit.find(Device, Device.slug == link.device.lower(), Device.deleted.is_(None))
    names = (link.device, *link.names)
    like = or_(*(Device.name.ilike(_pattern(name), escape="\\") for name in names))
    called = unit.select(select(Device.id, Device.name).where(like, Device.deleted.is_(None)))
    seen = {
        ident
        for ident, name in called
        if any(_same(name, given) for given in names) and rights.may("device.see", ident)
    }
    # Not among all devices: that another one is called the same is not for those who may not see it.
    by_name = unit.find(Device, Device.id == (seen.pop() if len(seen) == 1 else NOBODY), Device.deleted.is_(None))
    if by_slug is not None and rights.may("device.see", by_slug.id):
        return by_slug
    return by_name


def _pattern(name: str) -> str:
    """A LIKE pattern that finds the name in any case: databases fold ASCII alike, the rest Python compares."""
    tidy = " ".join(name.split())
    escaped = re.sub(r"([\\%_])", r"\\\1", tidy)
    return _PLAIN.sub("%", escaped)


def _service(rights: Rights, device: Device, offered: Sequence[Service], link: Link) -> Service | None:
    """The service that a link names and the user may use; listed ones before those that links made."""
    wanted = _wanted(link)
    found = [row for row in offered if wanted in ((row.slug,), (row.host, row.port))]
    allowed = [row for row in found if services.permission(rights, device, row)]
    return min(allowed, key=lambda row: (row.kind != "lan", row.created), default=None)


def _unlisted(rights: Rights, device: Device, offered: Sequence[Service], link: Link) -> dict[str, Any] | None:
    """What can be said of an address that no service has: an offer, for a manager what is missing, else nothing."""
    wanted = _wanted(link)
    if len(wanted) != 2 or not wanted[0]:
        return None
    host, port = wanted
    reason = adhoc.why_not(device, offered, host, port)
    if reason is None and adhoc.may_open(rights, device):
        return {"offer": Offer(host, port, adhoc.protocol_of(port)).as_json()}
    # What can be listed nowhere, or is, is missing nowhere.
    if reason not in (None, "host_forbidden", "host_not_ip", "listed") and rights.may("service.create", device.id):
        return {"missing": {"ip": host, "port": port, "reason": reason, "level": device.level}}
    return None


def _wanted(link: Link) -> tuple[str] | tuple[str, int]:
    """(slug,) or (address, port) as a service has it; an empty address for what is none."""
    if link.service is not None:
        return (link.service,)
    try:
        # The one canonical form: 010.0.0.5, 0xa000005, 167772165 and addresses with a zone name nothing here.
        address = str(ipaddress.ip_address(link.ip or "")) if "%" not in (link.ip or "") else ""
    except ValueError:
        address = ""
    return address, DEFAULT_PORT if link.port is None else link.port
