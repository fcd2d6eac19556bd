"""Administration of people: users, their permissions, the account, the audit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from access import audit, factors, levels, lockout, summaries, users
from access.api.deps import Body, FromWebproxy, FullSession, Parts, permitted
from access.api.webproxy_people import Done
from access.db import Unit, not_found
from access.models.machines import Device, Service
from access.models.people import Account, User, UserSession
from access.passwords import LONGEST, check_new
from access.sessions import Who
from panelgate.clock import iso
from panelgate.errors import BadInput

router = APIRouter(prefix="/admin/v1", tags=["administration: people"], dependencies=[FromWebproxy])

GRANTS_LIMIT = 2000  # devices and services a user may be granted one by one; use "all" beyond

Name = Annotated[str, Field(max_length=200)]
NewPassword = Annotated[str, Field(max_length=10 * LONGEST)]
MayRead = Annotated[Who, Depends(permitted("users.read"))]
MayChange = Annotated[Who, Depends(permitted("users.change"))]
MayGrant = Annotated[Who, Depends(permitted("grants.change"))]
MayChangeAccount = Annotated[Who, Depends(permitted("account.change"))]
MayReadAudit = Annotated[Who, Depends(permitted("audit.read"))]


class NewUser(Body):
    """A new user; he registers his authenticator at the first sign-in."""

    user: Name
    display_name: Name = ""
    role: str = "member"
    password: NewPassword


class UserChange(Body):
    """What to change of a user; what is missing or null stays."""

    display_name: Name | None = None
    role: str | None = None
    disabled: bool | None = None
    password: NewPassword | None = None


class UserRow(BaseModel):
    """A user as administrators see him."""

    id: str
    name: str
    display_name: str
    role: str
    disabled: bool
    created: str
    last_seen: str | None
    locked_until: str | None
    totp_since: str | None
    recovery_codes_left: int


class UserAnswer(BaseModel):
    """One user."""

    user: UserRow


class UserList(BaseModel):
    """All users of the account."""

    users: list[UserRow]


class GrantsBody(Body):
    """A user's permissions: one level for all devices (or null), levels by device id and by service id."""

    all: str | None = None
    devices: dict[str, str] = Field(default_factory=dict, max_length=GRANTS_LIMIT)
    services: dict[str, str] = Field(default_factory=dict, max_length=GRANTS_LIMIT)


class AccountRow(BaseModel):
    """The account."""

    id: str
    slug: str
    name: str
    created: str


class AccountAnswer(BaseModel):
    """The account."""

    account: AccountRow


class AccountChange(Body):
    """The account's new name."""

    name: Name


class AuditPage(BaseModel):
    """Rows of the audit, newest first, each with the present `names` of whom and what it is about.

    `next` is the `before` of the following page.
    """

    rows: list[dict[str, Any]]
    next: int | None


class AuditVerdict(BaseModel):
    """Whether the chain is whole; the number of the first bad row if not."""

    ok: bool
    rows: int
    first_bad: int | None


def _actor(who: Who) -> users.Actor:
    return users.Actor(who.user_id, who.user, who.address)


def _when(moment: float | None) -> str | None:
    return iso(moment) if moment is not None else None


def _row(unit: Unit, account_slug: str, user: User) -> UserRow:
    seen = unit.all(UserSession, UserSession.user_id == user.id, order=UserSession.last_seen.desc(), limit=1)
    return UserRow(
        id=user.id, name=user.name, display_name=user.display_name, role=user.role, disabled=user.disabled,
        created=iso(user.created), last_seen=iso(seen[0].last_seen) if seen else None,
        locked_until=_when(lockout.locked_until(unit, lockout.subject(account_slug, user.name))),
        totp_since=_when(factors.enrolled_since(unit, user.id)),
        recovery_codes_left=factors.recovery_codes_left(unit, user.id),
    )  # fmt: skip


@router.get("/users")
def list_users(kernel: Parts, who: MayRead) -> UserList:
    """All users of the account, by name."""
    with kernel.store.account(who.account_id) as unit:
        return UserList(users=[_row(unit, who.account_slug, user) for user in unit.all(User, order=User.name)])


@router.post("/users")
def create_user(kernel: Parts, who: MayChange, body: NewUser) -> UserAnswer:
    """A new user."""
    check_new(body.password, body.user)
    hashed = kernel.hasher.hash(body.password)
    with kernel.store.account(who.account_id, write=True) as unit:
        user = users.create_user(
            unit, _actor(who), name=body.user, display_name=body.display_name, role=body.role, password_hash=hashed
        )
        return UserAnswer(user=_row(unit, who.account_slug, user))


@router.patch("/users/{user_id}")
def change_user(kernel: Parts, who: MayChange, user_id: str, body: UserChange) -> UserAnswer:
    """Change a user; disabling him or giving him another password ends his sessions."""
    hashed = None
    if body.password is not None:
        with kernel.store.account(who.account_id) as unit:
            name = unit.need(User, user_id).name
        check_new(body.password, name)
        hashed = kernel.hasher.hash(body.password)
    change = users.Change(body.display_name, body.role, body.disabled, hashed)
    with kernel.store.account(who.account_id, write=True) as unit:
        user = users.change_user(unit, _actor(who), user_id, change)
        return UserAnswer(user=_row(unit, who.account_slug, user))


@router.delete("/users/{user_id}")
def delete_user(kernel: Parts, who: MayChange, user_id: str) -> Done:
    """Remove a user; his sessions end."""
    with kernel.store.account(who.account_id, write=True) as unit:
        users.delete_user(unit, _actor(who), user_id)
    return Done()


@router.post("/users/{user_id}/reset-factor")
def reset_factor(kernel: Parts, who: MayChange, user_id: str) -> Done:
    """Take a user's authenticator away (lost phone)."""
    with kernel.store.account(who.account_id, write=True) as unit:
        users.reset_factor(unit, _actor(who), user_id)
    return Done()


@router.post("/users/{user_id}/unlock")
def unlock(kernel: Parts, who: MayChange, user_id: str) -> Done:
    """End a lock-out before its time."""
    with kernel.store.account(who.account_id, write=True) as unit:
        users.unlock(unit, _actor(who), user_id)
    return Done()


@router.get("/users/{user_id}/grants")
def get_grants(kernel: Parts, who: MayRead, user_id: str) -> GrantsBody:
    """What a user has been granted."""
    with kernel.store.account(who.account_id) as unit:
        return _grants(users.grants_of(unit, user_id))


def _grants(grants: users.Grants) -> GrantsBody:
    return GrantsBody(all=grants.everything, devices=dict(grants.devices), services=dict(grants.services))


@router.put("/users/{user_id}/grants")
def put_grants(kernel: Parts, who: MayGrant, user_id: str, body: GrantsBody) -> GrantsBody:
    """Replace what a user has been granted."""
    with kernel.store.account(who.account_id, write=True) as unit:
        device_of = _check_targets(unit, body)
        grants = users.Grants(body.all, body.devices, body.services)
        users.set_grants(unit, _actor(who), user_id, grants, device_of)
        return _grants(users.grants_of(unit, user_id))


def _check_targets(unit: Unit, body: GrantsBody) -> dict[str, str]:
    """The device of each granted service; the neutral not_found for ids that are not this account's."""
    devices = {row.id for row in unit.all(Device, Device.deleted.is_(None))}
    # What an address in a link made is gone when nobody uses it: it is kept first, then granted.
    listed = unit.all(Service, Service.id.in_(body.services), Service.kind != levels.ADHOC)
    services = {row.id: row.device_id for row in listed}
    if not devices.issuperset(body.devices) or services.keys() != body.services.keys():
        raise not_found()
    return services


@router.get("/account")
def get_account(kernel: Parts, who: FullSession) -> AccountAnswer:
    """The account of the signed-in user."""
    with kernel.store.account(who.account_id) as unit:
        return _account(unit.need(Account, who.account_id))


def _account(row: Account) -> AccountAnswer:
    return AccountAnswer(account=AccountRow(id=row.id, slug=row.slug, name=row.name, created=iso(row.created)))


@router.patch("/account")
def change_account(kernel: Parts, who: MayChangeAccount, body: AccountChange) -> AccountAnswer:
    """Give the account another name; its address stays."""
    with kernel.store.account(who.account_id, write=True) as unit:
        return _account(users.rename_account(unit, _actor(who), body.name))


@router.get("/audit")
def read_audit(
    kernel: Parts,
    who: MayReadAudit,
    limit: Annotated[int, Query(ge=1, le=audit.LARGEST_PAGE)] = audit.PAGE,
    before: Annotated[int | None, Query(ge=1)] = None,
    action: Annotated[str, Query(max_length=40)] = "",
    q: Annotated[str, Query(max_length=100)] = "",
) -> AuditPage:
    """The account's audit, newest first."""
    if action and not any(name == action or name.startswith(action + ".") for name in audit.ACTIONS):
        raise BadInput("bad_action", "There is no such kind of event.", {"action": action})
    with kernel.store.account(who.account_id) as unit:
        rows, following = audit.page(unit, limit=limit, before=before, action=action, q=q)
        names = summaries.audit_names(unit, rows)
        told = [audit.as_json(row) | {"names": named} for row, named in zip(rows, names, strict=True)]
        return AuditPage(rows=told, next=following)


@router.get("/audit/verify")
def verify_audit(kernel: Parts, who: MayReadAudit) -> AuditVerdict:
    """Check that no row of the account's audit was altered or removed."""
    with kernel.store.account(who.account_id) as unit:
        verdict = audit.verify(unit)
    return AuditVerdict(ok=verdict.ok, rows=verdict.rows, first_bad=verdict.first_bad)
