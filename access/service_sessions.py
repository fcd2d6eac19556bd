"""A browser's sign-in at one service's origin: a child of the portal session, looked at anew each time."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from access import audit, permissions, services, sessions
from access.db import Store, Unit
from access.keyring import token_hash
from access.models.machines import Device, Service, ServiceSession
from access.models.people import Account, User, UserSession
from access.sessions import Limits, no_session
from panelgate.clock import iso
from panelgate.errors import Refused, Unavailable
from panelgate.log import get_logger

log = get_logger("access.service_sessions")

IDLE_SECONDS: Final = 30 * 60.0  # a panel left open on a forgotten laptop
ABSOLUTE_SECONDS: Final = 12 * 3600.0  # a shift
TOUCH_SECONDS: Final = 60.0  # last_seen is written at most this often
KEEP_SECONDS: Final = 86400.0  # ended rows are dropped a day later
TOKEN_BYTES: Final = 32
SIBLING_OPTIONS: Final = ("host", "forwarded", "headers", "auth", "user", "cache")  # what calling a companion needs
PAGES: Final = ("http", "https")  # what a page of one service may lead to on another


@dataclass(frozen=True, slots=True)
class Held:
    """A live service session and what it stands for. `permission` is "operate" or "watch", `expires` unix seconds.

    `siblings` are the other web services of the device that the user may use, with the permission for each: where its
    redirects may lead, and what its pages may call when they are its companions.
    """

    row: ServiceSession
    account: Account
    user: User
    device: Device
    service: Service
    permission: str
    expires: float
    siblings: tuple[tuple[Service, str], ...] = ()
    manages: bool = False  # he manages the device, and so decides which certificate of its panels is trusted


def begin(unit: Unit, session: UserSession, device: Device, service: Service) -> tuple[ServiceSession, str]:
    """A new session of the portal session's user at a service: (row, token). The token is stored nowhere."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = ServiceSession(
        account_id=unit.account, token_hash=token_hash(token), session_id=session.id, user_id=session.user_id,
        device_id=device.id, service_id=service.id, host_label=service.host_label, created=unit.now,
        last_seen=unit.now, expires=unit.now + ABSOLUTE_SECONDS,
    )  # fmt: skip
    return unit.add(row), token


def look_up(store: Store, limits: Limits, token: str, host_label: str, *, active: bool) -> Held:
    """The live session a token stands for at this origin; Refused(no_session) for anything else.

    Portal session, user, device, service and permission are all looked at now: what was taken away since counts.
    `active` says that a person did something: both idle times start again.
    """
    account_id = store.account_of(ServiceSession.token_hash, token_hash(token)) if token else None
    if account_id is None:
        raise no_session()
    with store.account(account_id) as unit:
        row = unit.find(ServiceSession, ServiceSession.token_hash == token_hash(token))
        if row is None or row.host_label != host_label:
            raise no_session()
        held = evaluate(unit, limits, row)
        now = unit.now
    if held is None:
        _end(store, row)
        raise no_session()
    if active and now - row.last_seen >= TOUCH_SECONDS:
        _touch(store, row)
    return held


def evaluate(unit: Unit, limits: Limits, row: ServiceSession) -> Held | None:
    """What a session stands for at this moment, None when it is over for whatever reason."""
    if row.ended is not None or unit.now >= row.expires or unit.now - row.last_seen >= IDLE_SECONDS:
        return None
    parent = sessions.valid(unit, limits, row.session_id)
    account = unit.get(Account, row.account_id)
    user = unit.get(User, row.user_id)
    device = unit.find(Device, Device.id == row.device_id, Device.deleted.is_(None))
    service = unit.get(Service, row.service_id)
    if parent is None or account is None or user is None or device is None or service is None:
        return None
    rights = permissions.rights_of(unit, user.id, user.role)
    word = services.permission(rights, device, service)
    if word is None or service.host_label != row.host_label:
        return None
    others = unit.all(
        Service, Service.device_id == device.id, Service.id != service.id, Service.protocol.in_(PAGES),
        order=Service.slug,
    )  # fmt: skip
    words = [(other, services.permission(rights, device, other)) for other in others]
    siblings = tuple((other, allowed) for other, allowed in words if allowed is not None)
    expires = min(row.expires, parent.created + limits.absolute)
    manages = rights.may("service.change", device.id)
    return Held(row, account, user, device, service, word, expires, siblings, manages)


def end(store: Store, limits: Limits, token: str, host_label: str) -> bool:
    """The user signs out of one service: its session ends at once, everywhere; whether there was a live one."""
    try:
        held = look_up(store, limits, token, host_label, active=False)
    except Refused:
        return False
    with store.account(held.account.id, write=True) as unit:
        row = unit.need(ServiceSession, held.row.id)
        if row.ended is not None:
            return False
        row.ended = unit.now
        parent = unit.get(UserSession, row.session_id)
        audit.append(
            unit, "service.sign_out", user_id=held.user.id, user=held.user.name, device_id=held.device.id,
            device=held.device.slug, service=held.service.slug, address=(parent.address or None) if parent else None,
            duration=unit.now - row.created,
        )  # fmt: skip
        unit.publish({"type": "service_session.ended", "service_session_id": row.id})
    return True


def _end(store: Store, row: ServiceSession) -> None:
    try:
        with store.account(row.account_id, write=True) as unit:
            fresh = unit.get(ServiceSession, row.id)
            if fresh is not None and fresh.ended is None:
                fresh.ended = unit.now
    except Unavailable as error:  # it opens nothing either way
        log.warning("end_not_written", code=error.code)


def _touch(store: Store, row: ServiceSession) -> None:
    try:
        with store.account(row.account_id, write=True) as unit:
            fresh = unit.get(ServiceSession, row.id)
            if fresh is not None:
                fresh.last_seen = max(fresh.last_seen, unit.now)
            sessions.touch(unit, row.session_id)
    except Unavailable as error:  # a full disk must not sign people out
        log.warning("touch_failed", code=error.code)


def as_json(held: Held) -> dict[str, Any]:
    """The API's ServiceSession."""
    account, user, device, service = held.account, held.user, held.device, held.service
    return {
        "id": held.row.id,
        "session_id": held.row.session_id,
        "account": {"id": account.id, "slug": account.slug, "name": account.name},
        "user": {"id": user.id, "name": user.name, "display_name": user.display_name},
        "device": {"id": device.id, "slug": device.slug, "name": device.name},
        "service": {
            "id": service.id, "slug": service.slug, "name": service.name, "host": service.host, "port": service.port,
            "protocol": service.protocol, "path": service.path, "options": dict(service.options),
            "tls_verify": service.tls_verify, "tls_pin": service.tls_pin,
            "public_port": service.public_port,
        },
        "permission": held.permission,
        "manages": held.manages,
        "siblings": [
            {
                "id": other.id, "slug": other.slug, "name": other.name, "host": other.host, "port": other.port,
                "protocol": other.protocol, "label": other.host_label, "permission": allowed,
                "public_port": other.public_port,
                "options": {key: other.options[key] for key in SIBLING_OPTIONS if key in other.options},
            }
            for other, allowed in held.siblings
        ],
        "expires": iso(held.expires),
        "idle_seconds": int(IDLE_SECONDS),
    }  # fmt: skip


def sweep(store: Store) -> int:
    """Drop sessions that ended long ago; how many."""
    with store.operator(write=True) as unit:
        old = unit.all(ServiceSession, ServiceSession.expires < unit.now - KEEP_SECONDS, limit=1000)
        for row in old:
            unit.delete(row)
    return len(old)
