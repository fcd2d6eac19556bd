"""The hand-off: a one-time code carries a sign-in from the portal to one service's origin in one browser.

The code is bound to the portal session, to the host it is for, and to a nonce that only the browser which began has in
a cookie at that host (facts/http-proxying, 2.3). A code that was shown once, rightly or wrongly, is spent.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final

from access import audit, permissions, service_sessions, services, sessions
from access.db import Store, Unit, not_found
from access.keyring import token_hash
from access.models.machines import Device, Handoff, Service
from access.models.people import UserSession
from access.service_sessions import Held
from access.sessions import Limits, Who
from panelgate.errors import BadInput, Refused

CODE_SECONDS: Final = 60.0  # two redirects, on a slow line
CODE_BYTES: Final = 32
_NONCE_HASH: Final = re.compile(r"[0-9a-f]{64}")


def create(unit: Unit, who: Who, host_label: str, nonce_hash: str) -> str:
    """A code for the service at `host_label`, if the user may open it.

    `nonce_hash` is the hex SHA-256 of the nonce in the browser's cookie. Refused: not_found (unknown, foreign, or not
    to be seen), not_allowed. BadInput(bad_nonce).
    """
    if not _NONCE_HASH.fullmatch(nonce_hash):
        raise BadInput("bad_nonce", "The hash of the browser's nonce is 64 hexadecimal digits.", {})
    service = unit.find(Service, Service.host_label == host_label)
    device = unit.find(Device, Device.id == service.device_id, Device.deleted.is_(None)) if service else None
    if service is None or device is None:
        raise not_found()
    rights = permissions.rights_of(unit, who.user_id, who.role)
    if services.permission(rights, device, service) is None:
        hidden = not service.visible or rights.level(device.id, service.id) is None
        raise not_found() if hidden else _not_allowed()
    code = secrets.token_urlsafe(CODE_BYTES)
    unit.add(
        Handoff(
            account_id=unit.account, code_hash=token_hash(code), session_id=who.session_id, user_id=who.user_id,
            service_id=service.id, host_label=host_label, nonce_hash=nonce_hash, expires=unit.now + CODE_SECONDS,
        )
    )  # fmt: skip
    return code


def _not_allowed() -> Refused:
    return Refused(
        "not_allowed", "You may see this device, but not open its services. Ask an administrator of your account.",
        {"action": "service.watch"},
    )  # fmt: skip


def redeem(
    store: Store, limits: Limits, code: str, host_label: str, nonce_hash: str, address: str = ""
) -> tuple[str, Held]:
    """Exchange a code for a session at the service: (its token, the session).

    Refused(bad_code), the same for every reason; the audit says which.
    """
    account_id = store.account_of(Handoff.code_hash, token_hash(code)) if code else None
    if account_id is None:
        raise _bad_code()
    with store.account(account_id, write=True) as unit:
        row = unit.find(Handoff, Handoff.code_hash == token_hash(code))
        if row is None:
            raise _bad_code()
        why = _why_not(row, unit.now, host_label, nonce_hash)
        row.used = row.used or unit.now
        result = _open(unit, limits, row) if not why else None
        if result is None:
            facts = {"what": "handoff", "why": why or "not_allowed_any_more", "host": host_label[:64]}
            audit.append(unit, "refused", result="refused", user_id=row.user_id, address=address or None, facts=facts)
    if result is None:
        raise _bad_code()
    return result


def _bad_code() -> Refused:
    return Refused("bad_code", "This link was used already or has expired. Open the service again.")


def _why_not(row: Handoff, now: float, host_label: str, nonce_hash: str) -> str:
    if row.used is not None:
        return "used"
    if now >= row.expires:
        return "expired"
    if row.host_label != host_label:
        return "other_host"
    return "" if hmac.compare_digest(row.nonce_hash.encode(), nonce_hash.encode()) else "other_browser"


def _open(unit: Unit, limits: Limits, row: Handoff) -> tuple[str, Held] | None:
    parent: UserSession | None = sessions.valid(unit, limits, row.session_id)
    service = unit.get(Service, row.service_id)
    device = unit.find(Device, Device.id == service.device_id) if service else None
    if parent is None or service is None or device is None:
        return None
    session, token = service_sessions.begin(unit, parent, device, service)
    held = service_sessions.evaluate(unit, limits, session)
    if held is None:
        session.ended = unit.now
        return None
    return token, held


def sweep(store: Store) -> int:
    """Drop codes that have expired; how many."""
    with store.operator(write=True) as unit:
        old = unit.all(Handoff, Handoff.expires < unit.now - CODE_SECONDS, limit=1000)
        for row in old:
            unit.delete(row)
    return len(old)
