"""Ad-hoc services: made of an address in a link, where the device's firewall level allows it.

M2Web's bookmarks name addresses (`/{account}/{device}/proxy/{ip}:{port}/…`), not services. Under the levels standard
and high (`access.levels`) such an address becomes a service of kind "adhoc": its own origin and the same checks as a
listed one, but made by whoever may operate the whole device, and gone again when nobody uses it.

Who sees it: it opens for everybody who may operate the whole device, since each of them could make it by the same link;
it is listed for those who manage the device, and for nobody else. Nobody is granted one: a manager keeps it first.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from access import configuration, devices, levels, permissions, services, targets
from access.db import Store, Unit, not_found
from access.keyring import Keyring
from access.models.machines import Connection, Device, Service, ServiceSession
from access.permissions import Rights
from access.sessions import Who
from access.users import Actor
from panelgate.errors import BadInput, Refused
from panelgate.names import SLUG_LIMIT

LIMIT: Final = 32  # of one device, beside its listed services; a machine's own web pages are far fewer
# Not replaced within this time: else one who follows many links takes the panel from under another's hands.
FRESH_SECONDS: Final = 15 * 60.0
UNUSED_SECONDS: Final = 7 * 86400.0  # a week's work at a machine; the next click makes it again

HTTPS_PORTS: Final = frozenset({443, 8443})
VNC_PORTS: Final = range(5900, 5910)

# Where no web page is, but something that a page's requests could disturb or command: the Fetch standard's "bad ports"
# below 1024 and the widest known above, then what controls and drives listen on. Who means it lists a service there.
NOT_WEB: Final = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 103, 104, 109, 110, 111,
    113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 5060, 5061, 6000, 6379, 6566,
    6665, 6666, 6667, 6668, 6669, 6697, 10080,
    102, 502, 789, 1911, 1962, 2222, 2404, 4840, 5007, 9100, 9600, 11740, 18245, 20000, 20547, 34962, 34963, 34964,
    44818, 47808, 48898,  # S7, Modbus, Red Lion, Fox, PCWorx, EtherNet/IP, IEC 104, OPC UA, MELSEC, FINS, CODESYS, ADS
    3389,  # Windows desktops have a protocol of their own here
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """What an address would become."""

    host: str
    port: int
    protocol: str

    def as_json(self) -> dict[str, Any]:
        """For the page that lets the person confirm it."""
        return {"ip": self.host, "port": self.port, "protocol": self.protocol}


def protocol_of(port: int) -> str:
    """What is spoken at a port, as far as a bookmark's port says."""
    if port in HTTPS_PORTS:
        return "https"
    return "vnc" if port in VNC_PORTS else "http"


def may_open(rights: Rights, device: Device) -> bool:
    """Whether a user may use addresses of the device that nobody listed: who operates all of it, not one service."""
    return rights.may("service.operate", device.id)


def why_not(device: Device, offered: Iterable[Service], host: str, port: int) -> str | None:
    """Why an address of a link is no service and can't become one; None when it can. See `levels.why_not_at`."""
    reason = levels.why_not_at(device, offered, host, port)
    return "port_not_web" if reason is None and port in NOT_WEB else reason


def slug_of(host: str, port: int) -> str:
    """The readable name of an address on its origin: ip-192-168-0-10-8080."""
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return f"ip-{host.replace('.', '-')}-{port}"
    words = "-".join(word.lstrip("0") or "0" for word in address.exploded.split(":"))
    slug = f"ip6-{words}-{port}"
    # Too long for a name: the address's digest stands for it.
    return slug if len(slug) <= SLUG_LIMIT else f"ip6-{hashlib.sha256(host.encode()).hexdigest()[:12]}-{port}"


def open_address(store: Store, keyring: Keyring, who: Who, device_id: str, host: str, port: int) -> Service:
    """The service at an address of a device's LAN, made if there is none.

    Everything is checked again here: what was offered may have changed since. Refused: not_found (also for what the
    level doesn't allow), too_many_addresses.
    """
    with store.account(who.account_id, write=True) as unit:
        unit.lock()
        device = devices.need(unit, device_id)
        rights = permissions.rights_of(unit, who.user_id, who.role)
        offered = unit.all(Service, Service.device_id == device.id)
        if not may_open(rights, device) or why_not(device, offered, host, port) is not None:
            raise not_found()
        host = targets.check_host(host, device.lan)
        there = next((row for row in offered if (row.host, row.port) == (host, port)), None)
        if there is not None and services.permission(rights, device, there):
            return there  # somebody was quicker
        _make_room(unit, device, [row for row in offered if row.kind == levels.ADHOC])
        fields = services.Fields(
            slug=_free_slug(offered, slug_of(host, port)), name=f"{host}:{port}", host=host,
            protocol=protocol_of(port), port=port, visible=False, tls_verify="none",
        )  # fmt: skip
        actor = Actor(who.user_id, who.user, who.address)
        return services.create(unit, keyring, actor, device, fields, kind=levels.ADHOC)


def _free_slug(offered: Sequence[Service], slug: str) -> str:
    taken = {row.slug for row in offered}
    # A listed service may have the name already, for another target; the rest of the alphabet is never needed.
    return next(
        word for word in (slug, *(f"{slug[: SLUG_LIMIT - 2]}-{letter}" for letter in "bcdefgh")) if word not in taken
    )


def _make_room(unit: Unit, device: Device, rows: Sequence[Service]) -> None:
    """Replace the one unused for longest when the device has as many as it may; Refused when all are in use."""
    if len(rows) < LIMIT:
        return
    used = last_used(unit, rows)
    oldest = min(rows, key=lambda row: used[row.id])
    if used[oldest.id] > unit.now - FRESH_SECONDS:
        raise too_many()
    levels.remove(unit, device, oldest, "replaced")


def too_many() -> Refused:
    """More addresses than one device, or one person, opens in the course of work."""
    return Refused(
        "too_many_addresses",
        f"Too many addresses of this machine were opened by links at once ({LIMIT} at most).",
        {"limit": LIMIT}, status=429,
    )  # fmt: skip


def last_used(unit: Unit, rows: Iterable[Service]) -> dict[str, float]:
    """When each service was used last, by id, in unix seconds: now for an open one, its making at the least."""
    used = {row.id: row.created for row in rows}
    seen = select(ServiceSession.service_id, func.max(ServiceSession.last_seen)).group_by(ServiceSession.service_id)
    for ident, moment in unit.select(seen.where(ServiceSession.service_id.in_(used))):
        used[ident] = max(used[ident], moment)
    open_now = select(Connection.service_id, func.max(Connection.last_activity), Connection.ended.is_(None))
    grouped = open_now.where(Connection.service_id.in_(used)).group_by(
        Connection.service_id, Connection.ended.is_(None)
    )
    for ident, moment, is_open in unit.select(grouped):
        used[ident] = unit.now if is_open else max(used[ident], moment)
    return used


def keep(unit: Unit, actor: Actor, device: Device, service: Service) -> Service:
    """Turn an ad-hoc service into a listed one at the same address. BadInput: not_adhoc, too_many_services."""
    if service.kind != levels.ADHOC:
        raise BadInput("not_adhoc", "This panel is listed already.", {"service": service.slug}, status=409)
    unit.lock()
    services.check_room(unit, device)
    service.kind = levels.LISTED
    devices.record(unit, actor, "service.keep", device, services.describe(service), service.slug)
    configuration.changed(unit, device)
    return service


def sweep(store: Store) -> int:
    """Remove ad-hoc services that nobody has used for a week; how many."""
    with store.operator() as unit:
        before = unit.now - UNUSED_SECONDS
        old = unit.all(Service, Service.kind == levels.ADHOC, Service.created < before)
    gone = 0
    for device_id, account_id in dict.fromkeys((row.device_id, row.account_id) for row in old):
        with store.account(account_id, write=True) as unit:
            rows = unit.all(Service, Service.device_id == device_id, Service.kind == levels.ADHOC)
            used = last_used(unit, rows)
            unused = [row for row in rows if used[row.id] < before]
            device = unit.get(Device, device_id)
            if device is None or not unused:
                continue
            for row in unused:
                levels.remove(unit, device, row, "unused")
            configuration.changed(unit, device)
            gone += len(unused)
    return gone
