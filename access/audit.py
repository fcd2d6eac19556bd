"""The audit trail: one table of what is recorded, appending to a chain, reading it, and checking that it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select

from access.db import Unit
from access.models.audit import AuditHead, AuditRow
from access.models.base import new_id
from panelgate.clock import iso
from panelgate.errors import BadInput, Broken

INSTALLATION = "installation"  # the chain of what belongs to no account
PAGE = 100  # rows a page when nothing is asked for
LARGEST_PAGE = 500
VERIFY_BATCH = 1000  # rows read at once while checking: memory stays small on a long trail

# Every event there is. An action that isn't here can't be written.
ACTIONS: dict[str, str] = {
    # people
    "setup": "The installation was set up",
    "account.create": "Account created",
    "account.change": "Account changed",
    "signin.password": "Password given",
    "signin.totp": "Authenticator code given",
    "signin.recovery": "Recovery code given",
    "signin.locked": "Sign-in locked after too many failures",
    "session.end": "Signed out or session ended",
    "service.sign_out": "Signed out of one service",
    "factor.enrol": "Authenticator registered",
    "factor.reset": "Authenticator removed by an administrator",
    "factor.recovery_codes": "New recovery codes made",
    "password.change": "Password changed",
    "user.create": "User created",
    "user.change": "User changed",
    "user.delete": "User deleted",
    "user.unlock": "User unlocked",
    "grants.change": "Permissions changed",
    "refused": "Not allowed",
    # machines
    "device.create": "Device created",
    "device.change": "Device changed",
    "device.delete": "Device deleted",
    "device.activation_key": "Activation key made",
    "device.enrol": "Agent enrolled",
    "device.release": "Agent's certificate revoked, device free again",
    "device.renew": "Agent's certificate renewed",
    "device.claim": "A certificate request tried to name somebody",
    "device.move": "Device sent to another relay",
    "device.online": "Device online",
    "device.offline": "Device offline",
    "service.create": "Service created",
    "service.change": "Service changed",
    "service.delete": "Service deleted",
    "service.certificate_refused": "A panel's certificate was refused",
    "service.adhoc": "Service made of an address in a link",
    "service.adhoc_end": "Service of a link's address removed",
    "service.keep": "Service of a link's address kept as a listed one",
    "role.join_token": "Join token made",
    "role.join": "Relay or web proxy joined",
    "connection": "Connection",
}
RESULTS = frozenset({"ok", "failed", "refused"})


def append(
    unit: Unit,
    action: str,
    *,
    result: str = "ok",
    user_id: str | None = None,
    user: str | None = None,
    device_id: str | None = None,
    device: str | None = None,
    service: str | None = None,
    address: str | None = None,
    facts: Mapping[str, Any] | None = None,
    duration: float | None = None,
    bytes_up: int | None = None,
    bytes_down: int | None = None,
) -> AuditRow:
    """Write one event at the end of the unit's chain (its account's, or the installation's for the operator).

    `duration` is in seconds. Names are what people read: a user's name, a device's slug. No secrets in `facts`.
    """
    if action not in ACTIONS or result not in RESULTS:
        raise Broken("unknown_event", "an event that is not in the table", {"action": action, "result": result})
    head = _head(unit)
    row = AuditRow(
        id=new_id(), account_id=unit.account_id, chain=head.chain, number=head.number + 1, time=unit.now,
        action=action, result=result, user_id=user_id, user=user, device_id=device_id, device=device, service=service,
        address=address, facts=json.dumps(dict(facts or {}), sort_keys=True, ensure_ascii=False), duration=duration,
        bytes_up=bytes_up, bytes_down=bytes_down, previous=head.hash,
    )  # fmt: skip
    row.hash = row_hash(row)
    head.number, head.hash = row.number, row.hash
    return unit.add(row)


def _head(unit: Unit) -> AuditHead:
    """The end of the unit's chain, held so that nobody else appends until the unit ends."""
    chain = unit.account_id or INSTALLATION
    head = unit.session.scalars(
        select(AuditHead).where(AuditHead.chain == chain).with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    return head or unit.add(AuditHead(chain=chain, number=0, hash=""))


def row_hash(row: AuditRow) -> str:
    """SHA-256 over every column but the hash itself, as canonical JSON."""
    columns = [c.key for c in AuditRow.__mapper__.column_attrs if c.key != "hash"]
    values = {name: getattr(row, name) for name in columns}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def page(
    unit: Unit, *, limit: int = PAGE, before: int | None = None, action: str = "", q: str = ""
) -> tuple[list[AuditRow], int | None]:
    """Rows of the unit's chain, newest first, below number `before`; and where the next page starts, None at the end.

    `action` is one of ACTIONS or the part before its dot; `q` is looked for in names and addresses.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise BadInput("bad_limit", f"A page has 1 to {LARGEST_PAGE} rows.")
    where = [AuditRow.chain == (unit.account_id or INSTALLATION)]
    if before is not None:
        where.append(AuditRow.number < before)
    if action:
        where.append(AuditRow.action.in_([a for a in ACTIONS if a == action or a.startswith(action + ".")]))
    if q:
        columns = (AuditRow.user, AuditRow.device, AuditRow.service, AuditRow.address)
        where.append(or_(*(column.icontains(q, autoescape=True) for column in columns)))
    rows = list(unit.all(AuditRow, *where, order=AuditRow.number.desc(), limit=limit + 1))
    more = len(rows) > limit
    return rows[:limit], rows[limit - 1].number if more else None


def as_json(row: AuditRow) -> dict[str, Any]:
    """A row as the API shows it."""
    names = ("id", "action", "user", "device", "service", "address", "result", "duration", "bytes_up", "bytes_down")
    return {"time": iso(row.time), "facts": json.loads(row.facts)} | {name: getattr(row, name) for name in names}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of a chain found; `first_bad` is the number of the first row that is missing or altered."""

    ok: bool
    rows: int
    first_bad: int | None


def verify(unit: Unit) -> Verdict:
    """Walk the unit's chain from its first row to its head and check every link.

    It finds rows that were altered, removed (also the newest ones) or put in. Who can rewrite the whole chain and its
    head in the database can hide that: export the head's hash regularly where that matters.
    """
    chain = unit.account_id or INSTALLATION
    number, previous = 0, ""
    while True:
        where = (AuditRow.chain == chain, AuditRow.number > number)
        batch = unit.all(AuditRow, *where, order=AuditRow.number, limit=VERIFY_BATCH)
        for row in batch:
            if row.number != number + 1 or row.previous != previous or row.hash != row_hash(row):
                return Verdict(False, number, number + 1)
            number, previous = row.number, row.hash
        unit.session.expunge_all()
        if len(batch) < VERIFY_BATCH:
            break
    head = unit.find(AuditHead, AuditHead.chain == chain)
    if (head.number, head.hash) != (number, previous) if head else number:
        return Verdict(False, number, number + 1)
    return Verdict(True, number, None)
