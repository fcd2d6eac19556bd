"""What pages see of devices and services: only what the user may see, never a password."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from access import adhoc, connections, levels, presence, services
from access.db import Unit
from access.models.audit import AuditRow
from access.models.machines import Connection, Device, Presence, Service
from access.models.people import User
from access.permissions import Rights
from panelgate.clock import iso
from panelgate.errors import BadInput

STATUSES: Final = ("online", "offline", "never")
RECENT: Final = 20  # connections on a device's page
QUERY_LENGTH: Final = 100
LARGEST_PAGE: Final = 500  # devices in one answer
BY_COMMAND: Final = "The installation's operator"  # who has a shell on the server and no user here


def service_summary(service: Service, *, manages: bool = False) -> dict[str, Any]:
    """The API's ServiceSummary. Whether a password is stored shows, the password does not.

    `manages`: he may change the service, and so sees its options; user names and headers are nobody else's business.
    """
    return {
        "id": service.id, "slug": service.slug, "name": service.name, "host": service.host, "port": service.port,
        "protocol": service.protocol, "path": service.path, "visible": service.visible, "kind": service.kind,
        "host_label": service.host_label, "has_password": service.sealed_password is not None,
        "tls_verify": service.tls_verify, "tls_pin": service.tls_pin, "public_port": service.public_port,
    } | ({"options": dict(service.options)} if manages else {})  # fmt: skip


def device_list(
    unit: Unit, rights: Rights, *, q: str = "", status: str = "", limit: int = LARGEST_PAGE, offset: int = 0
) -> dict[str, Any]:
    """A page of the devices a user may see, by name: {devices, total, counts}.

    `q` is looked for in names, sites and serials; `status` is one of STATUSES. `total` counts what matches both,
    `counts` what matches `q`, by status.
    """
    if status and status not in STATUSES:
        raise BadInput("bad_status", "The status is online, offline or never.", {"known": list(STATUSES)})
    rows = unit.all(Device, Device.deleted.is_(None), order=(Device.name, Device.slug))
    words = q[:QUERY_LENGTH].casefold().split()
    seen = [device for device in rows if rights.may("device.see", device.id) and _matches(device, words)]
    present = {row.device_id: row for row in unit.all(Presence)}
    state = {device.id: presence.status(present.get(device.id))[0] for device in seen}
    counts = {word: sum(1 for value in state.values() if value == word) for word in STATUSES}
    chosen = [device for device in seen if not status or state[device.id] == status]
    return {
        "devices": _summaries(unit, rights, chosen[offset : offset + limit]),
        "total": len(chosen),
        "counts": counts | {"all": len(seen)},
    }


def _matches(device: Device, words: Sequence[str]) -> bool:
    text = " ".join((device.name, device.slug, device.site, device.description, device.serial or "")).casefold()
    return all(word in text for word in words)


def device_summary(unit: Unit, rights: Rights, device: Device) -> dict[str, Any]:
    """The API's DeviceSummary of one device."""
    return _summaries(unit, rights, [device])[0]


def _summaries(unit: Unit, rights: Rights, rows: Sequence[Device]) -> list[dict[str, Any]]:
    offered: dict[str, list[Service]] = defaultdict(list)
    wanted = [device.id for device in rows]
    for service in unit.all(Service, Service.device_id.in_(wanted), order=(Service.name, Service.slug)):
        offered[service.device_id].append(service)
    present = {row.device_id: row for row in unit.all(Presence, Presence.device_id.in_(wanted))}
    opened: dict[str, list[Connection]] = defaultdict(list)
    for connection in unit.all(Connection, Connection.ended.is_(None), order=Connection.started):
        opened[connection.device_id].append(connection)
    people = {user.id: user.display_name for user in unit.all(User)} if opened else {}
    found = []
    for device in rows:
        word, since = presence.status(present.get(device.id))
        listed = [service for service in offered[device.id] if services.listed(rights, device, service)]
        found.append(
            {
                "id": device.id, "slug": device.slug, "name": device.name, "site": device.site,
                "serial": device.serial, "status": word, "since": since,
                "services": [
                    service_summary(service, manages=rights.may("service.change", device.id, service.id))
                    for service in listed
                ],
                "open": [
                    {
                        "connection_id": row.id, "user": people.get(row.user_id, row.user), "service": row.service,
                        "since": iso(row.started),
                    }
                    for row in opened[device.id]
                    if _shown(rights, row)
                ],
                "may": rights.words(device.id),
            }
        )  # fmt: skip
    return found


def _shown(rights: Rights, row: Connection) -> bool:
    """Whether a user may know of a connection: who was granted single services hears nothing of the others."""
    only = rights.only_services(row.device_id)
    return only is None or row.service_id in only


def device_detail(unit: Unit, rights: Rights, device: Device) -> dict[str, Any]:
    """A device's page: its summary, what was declared, its agent, its last connections.

    `adhoc_used`: when each ad-hoc service was used last, by id, for those who manage the device.
    """
    here = unit.find(Presence, Presence.device_id == device.id)
    people = {user.id: user.display_name for user in unit.all(User)}
    only = rights.only_services(device.id)
    where = [Connection.device_id == device.id] + ([Connection.service_id.in_(only)] if only is not None else [])
    recent = unit.all(Connection, *where, order=Connection.started.desc(), limit=RECENT)
    used: dict[str, float] = {}
    if rights.may("service.change", device.id):
        by_links = unit.all(Service, Service.device_id == device.id, Service.kind == levels.ADHOC)
        used = adhoc.last_used(unit, by_links)
    return device_summary(unit, rights, device) | {
        "description": device.description,
        "level": device.level,
        "adhoc_used": {ident: iso(moment) for ident, moment in used.items()},
        "lan": list(device.lan),
        "agent": {
            "version": device.agent_version or None,
            "address": (here.address or None) if here else None,
            "enrolled": iso(device.enrolled) if device.enrolled is not None else None,
            "hostname": device.hostname or None,
            "lan": list(device.agent_lan),
        },
        "recent": [connections.as_json(row) | {"user": people.get(row.user_id, row.user)} for row in recent],
    }


def audit_names(unit: Unit, rows: Sequence[AuditRow]) -> list[dict[str, str]]:
    """What user, device and service of each row are called now; the record itself keeps the names of its time."""
    devices = {row.device_id for row in rows} - {None}
    users = {row.user_id for row in rows} - {None}
    people = {user.id: user.display_name for user in unit.all(User, User.id.in_(users))}
    machines = {device.id: device.name for device in unit.all(Device, Device.id.in_(devices))}
    offered = unit.all(Service, Service.device_id.in_(devices))
    panels = {(service.device_id, service.slug): service.name for service in offered}
    named = []
    for row in rows:
        found = {
            "user": people.get(row.user_id or "") or (BY_COMMAND if _by_command(row) else None),
            "device": machines.get(row.device_id or ""),
            "service": panels.get((row.device_id or "", row.service or "")),
        }
        named.append({key: name for key, name in found.items() if name})
    return named


def _by_command(row: AuditRow) -> bool:
    """Whether the operator did it with a command on the server, where there is no user."""
    return row.user_id is None and row.user == "operator" and not row.action.startswith("signin.")
