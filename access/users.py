"""Accounts and users: making, changing, removing. An account always keeps an administrator who can sign in.

Functions take passwords already hashed: hashing is slow and must not happen inside a writing unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from access import audit, factors, lockout, sessions
from access.db import Unit
from access.models.audit import AuditHead
from access.models.people import Account, Grant, User
from access.permissions import GRANTABLE, parse_level
from access.sessions import Client
from panelgate.errors import BadInput, Refused
from panelgate.names import account_ok, slug_ok

ROLES = ("administrator", "member")
USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, for the audit."""

    user_id: str | None
    user: str
    address: str


def user_name(text: str) -> str:
    """A user name in its stored form; BadInput when it can't be one."""
    name = text.strip().casefold()
    if not USER_NAME.fullmatch(name):
        raise BadInput("bad_user_name", "A user name has letters, digits and . _ @ -, at most 64 of them.")
    return name


def _display(text: str, fallback: str) -> str:
    name = " ".join(text.split()) or fallback
    if len(name) > NAME_LENGTH or not name.isprintable():
        raise BadInput("bad_name", f"A name has at most {NAME_LENGTH} printable characters.")
    return name


def _role(text: str) -> str:
    if text not in ROLES:
        raise BadInput("bad_role", "The role is administrator or member.")
    return text


def create_account(unit: Unit, slug: str, name: str) -> Account:
    """A new account; `unit` is the operator's. BadInput when the slug is no slug or taken."""
    if not slug_ok(slug):
        raise BadInput("bad_account", "An account name has lower-case letters, digits and single hyphens, at most 32.")
    if not account_ok(slug):
        raise BadInput("bad_account", f"“{slug}” is a word of Panelgate's own addresses. Choose another name.")
    if unit.find(Account, Account.slug == slug) is not None:
        raise BadInput("account_taken", "There is an account of this name already. Choose another name.", status=409)
    account = unit.add(Account(slug=slug, name=_display(name, slug), created=unit.now))
    unit.add(AuditHead(chain=account.id, number=0, hash=""))
    return account


def create_user(unit: Unit, actor: Actor, *, name: str, display_name: str, role: str, password_hash: str) -> User:
    """A new user of the unit's account."""
    name = user_name(name)
    if unit.find(User, User.name == name) is not None:
        raise BadInput("user_taken", "There is a user of this name already. Choose another name.", status=409)
    user = unit.add(
        User(
            name=name, display_name=_display(display_name, name), role=_role(role), password_hash=password_hash,
            disabled=False, created=unit.now,
        )
    )  # fmt: skip
    _note(unit, actor, "user.create", user, {"role": role})
    return user


def _note(unit: Unit, actor: Actor, action: str, user: User, facts: Mapping[str, Any]) -> None:
    # `user` is who did it; whom it was done to stands in the facts.
    audit.append(
        unit, action, user_id=actor.user_id, user=actor.user, address=actor.address,
        facts={"target": user.name, "target_id": user.id, **facts},
    )  # fmt: skip


def _changed(unit: Unit) -> None:
    unit.publish({"type": "access.changed", "account_id": unit.account})


def _keep_an_administrator(unit: Unit, user: User) -> None:
    """Refused when `user` is the only administrator who can sign in. Call it with the account locked."""
    if user.role != "administrator" or user.disabled:
        return
    others = unit.count(User, User.role == "administrator", User.disabled.is_(False), User.id != user.id)
    if others == 0:
        raise Refused(
            "last_administrator",
            f"{user.display_name} is the only administrator of this account. Make somebody else administrator first.",
            status=409,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What to change of a user; None leaves as it is."""

    display_name: str | None = None
    role: str | None = None
    disabled: bool | None = None
    password_hash: str | None = None


def change_user(unit: Unit, actor: Actor, user_id: str, change: Change) -> User:
    """Change a user. Being disabled, or given another password, ends all his sessions at once."""
    unit.lock()
    user = unit.need(User, user_id)
    facts: dict[str, Any] = {}
    if change.display_name is not None and change.display_name != user.display_name:
        facts["display_name"] = [user.display_name, change.display_name]
        user.display_name = _display(change.display_name, user.name)
    if change.role is not None and _role(change.role) != user.role:
        _keep_an_administrator(unit, user)
        facts["role"] = [user.role, change.role]
        user.role = change.role
    if change.disabled is not None and change.disabled != user.disabled:
        _keep_an_administrator(unit, user)
        facts["disabled"] = [user.disabled, change.disabled]
        user.disabled = change.disabled
    if change.password_hash is not None:
        facts["password"] = "changed"  # noqa: S105 - the word, not a password
        user.password_hash = change.password_hash
    unit.session.flush()
    if not facts:
        return user
    _note(unit, actor, "user.change", user, facts)
    if change.password_hash is not None or (change.disabled and "disabled" in facts):
        reason = "disabled" if user.disabled else "password_changed"
        sessions.end_all(unit, user.id, reason, by=actor.user)
    _changed(unit)
    return user


def delete_user(unit: Unit, actor: Actor, user_id: str) -> None:
    """Remove a user, his sessions (ended first), factors and grants. The audit keeps his name."""
    account = unit.lock()
    user = unit.need(User, user_id)
    _keep_an_administrator(unit, user)
    sessions.end_all(unit, user.id, "deleted", by=actor.user)
    _note(unit, actor, "user.delete", user, {"role": user.role})
    lockout.clear(unit, lockout.subject(account.slug, user.name))
    unit.delete(user)
    _changed(unit)


def change_own_password(unit: Unit, user_id: str, password_hash: str, session_id: str, client: Client) -> None:
    """A user's own new password: his other sessions end."""
    user = unit.need(User, user_id)
    user.password_hash = password_hash
    audit.append(unit, "password.change", user_id=user.id, user=user.name, address=client.address)
    sessions.end_all(unit, user.id, "password_changed", keep=session_id, by=user.name)


def reset_factor(unit: Unit, actor: Actor, user_id: str) -> None:
    """Take the authenticator of a user away (lost phone); he is signed out and registers a new one."""
    user = unit.need(User, user_id)
    factors.remove(unit, user.id)
    sessions.end_all(unit, user.id, "factor_reset", by=actor.user)
    _note(unit, actor, "factor.reset", user, {})


def unlock(unit: Unit, actor: Actor, user_id: str) -> None:
    """End a lock-out before its time."""
    account = unit.lock()
    user = unit.need(User, user_id)
    if lockout.clear(unit, lockout.subject(account.slug, user.name)):
        _note(unit, actor, "user.unlock", user, {})


def rename_account(unit: Unit, actor: Actor, name: str) -> Account:
    """Give the account another name; its slug stays, it is in everybody's bookmarks."""
    account = unit.lock()
    new = _display(name, account.slug)
    if new != account.name:
        audit.append(
            unit, "account.change", user_id=actor.user_id, user=actor.user, address=actor.address,
            facts={"name": [account.name, new]},
        )  # fmt: skip
        account.name = new
        _changed(unit)
    return account


@dataclass(frozen=True, slots=True)
class Grants:
    """A user's grants by name of level: for everything, by device id, by service id."""

    everything: str | None
    devices: Mapping[str, str]
    services: Mapping[str, str]


def grants_of(unit: Unit, user_id: str) -> Grants:
    """What a user of the account has been granted."""
    unit.need(User, user_id)
    rows = unit.all(Grant, Grant.user_id == user_id)
    return Grants(
        next((row.level for row in rows if row.device_id is None), None),
        {row.device_id: row.level for row in rows if row.device_id and row.service_id is None},
        {row.service_id: row.level for row in rows if row.service_id},
    )


def set_grants(unit: Unit, actor: Actor, user_id: str, grants: Grants, device_of: Mapping[str, str]) -> None:
    """Replace a user's grants. `device_of` says which device each granted service is on (checked by the caller)."""
    unit.lock()
    before = grants_of(unit, user_id)
    user = unit.need(User, user_id)
    rows = [(None, None, grants.everything)] if grants.everything else []
    new: list[tuple[str | None, str | None, str]] = [(None, None, level) for _, _, level in rows]
    new += [(device, None, level) for device, level in grants.devices.items()]
    new += [(device_of[service], service, level) for service, level in grants.services.items()]
    for _, _, level in new:
        parse_level(level)
    for row in unit.all(Grant, Grant.user_id == user_id):
        unit.delete(row)
    for device_id, service_id, level in new:
        unit.add(Grant(user_id=user_id, device_id=device_id, service_id=service_id, level=level))
    _note(unit, actor, "grants.change", user, {"before": _as_facts(before), "after": _as_facts(grants)})
    _changed(unit)


def _as_facts(grants: Grants) -> dict[str, Any]:
    return {"all": grants.everything, "devices": dict(grants.devices), "services": dict(grants.services)}


LEVELS = tuple(GRANTABLE)
