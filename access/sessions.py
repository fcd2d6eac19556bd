"""Users' sessions: server-side rows behind random tokens.

A session starts at stage `factor` (password was right) or `enrol` (no second factor yet) and becomes `full`. Its token
is replaced at each stage, so that a token seen before the second factor is worth nothing after it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import or_

from access import audit
from access.db import Store, Unit
from access.keyring import token_hash
from access.models.people import Account, User, UserSession
from panelgate.errors import Refused, Unavailable
from panelgate.log import get_logger

if TYPE_CHECKING:
    from access.kernel import Kernel

log = get_logger("access.sessions")

HOUR = 3600.0
STAGE_SECONDS = 15 * 60.0  # time to type a code or to register an authenticator
TOUCH_SECONDS = 60.0  # last_seen is written at most this often: a page with ten images is not ten writes
KEEP_SECONDS = 30 * 24 * HOUR  # ended sessions are kept this long, for connections that name them
TOKEN_BYTES = 32
STAGES = frozenset({"factor", "enrol", "full"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lives, in seconds: without use, and at all."""

    idle: float = 8 * HOUR  # a shift: a technician watches a panel without clicking in the portal
    absolute: float = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from, as the web proxy saw it."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Who:
    """A valid session and whose it is. Times in unix seconds."""

    session_id: str
    stage: str
    account_id: str
    account_slug: str
    account_name: str
    user_id: str
    user: str
    display_name: str
    role: str
    created: float
    last_seen: float
    expires: float
    idle_seconds: float
    address: str

    @property
    def administrator(self) -> bool:
        """Whether the user administers the account."""
        return self.role == "administrator"


def no_session() -> Refused:
    """The answer to a token that is not (or no longer) one of a session."""
    return Refused("no_session", "You are signed out. Sign in again.", status=401)


def begin(unit: Unit, user: User, stage: str, client: Client) -> tuple[UserSession, str]:
    """A new session of a user, and its token, which is stored nowhere."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = UserSession(
        user_id=user.id, token_hash=token_hash(token), stage=stage, created=unit.now, last_seen=unit.now,
        address=client.address[:64], user_agent=client.user_agent[:300],
    )  # fmt: skip
    return unit.add(row), token


def promote(unit: Unit, session_id: str, user: User) -> str:
    """Make a session full under a new token, which comes back. Its absolute life counts from now."""
    row = unit.find(UserSession, UserSession.id == session_id, UserSession.ended.is_(None))
    if row is None or user.disabled:
        raise no_session()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    if row.stage != "full":
        row.created = unit.now
    row.token_hash, row.stage, row.last_seen = token_hash(token), "full", unit.now
    unit.session.flush()
    return token


def _over(row: UserSession, limits: Limits, now: float) -> str | None:
    """Why a session is over by time, None while it isn't."""
    if row.stage != "full":
        return "expired" if now - row.created >= STAGE_SECONDS else None
    if now - row.created >= limits.absolute:
        return "expired"
    return "idle" if now - row.last_seen >= limits.idle else None


def check(store: Store, limits: Limits, token: str, *, active: bool = True) -> Who:
    """Whose session a token is; `no_session` when none. `active`: a person did something, idle time restarts."""
    account_id = store.account_of(UserSession.token_hash, token_hash(token)) if token else None
    if account_id is None:
        raise no_session()
    with store.account(account_id) as unit:
        row = unit.find(UserSession, UserSession.token_hash == token_hash(token), UserSession.ended.is_(None))
        user = unit.get(User, row.user_id) if row else None
        account = unit.get(Account, account_id)
        now = unit.now
    if row is None or user is None or account is None or user.disabled or _over(row, limits, now):
        raise no_session()
    if active and now - row.last_seen >= TOUCH_SECONDS:
        try:
            with store.account(account_id, write=True) as unit:
                touch(unit, row.id)
        except Unavailable as error:  # a full disk must not sign people out
            log.warning("touch_failed", code=error.code)
    life = limits.absolute if row.stage == "full" else STAGE_SECONDS
    return Who(
        row.id, row.stage, account.id, account.slug, account.name, user.id, user.name, user.display_name, user.role,
        row.created, row.last_seen, row.created + life, limits.idle, row.address,
    )  # fmt: skip


def valid(unit: Unit, limits: Limits, session_id: str) -> UserSession | None:
    """The full session with this id if it still holds and its user may sign in; for what hangs on a session."""
    row = unit.find(UserSession, UserSession.id == session_id, UserSession.ended.is_(None), UserSession.stage == "full")
    if row is None or _over(row, limits, unit.now):
        return None
    user = unit.get(User, row.user_id)
    return row if user is not None and not user.disabled else None


def touch(unit: Unit, session_id: str) -> None:
    """A person did something in this session now."""
    row = unit.get(UserSession, session_id)
    if row is not None and row.ended is None:
        row.last_seen = max(row.last_seen, unit.now)


def listing(unit: Unit, limits: Limits, user_id: str) -> Sequence[UserSession]:
    """The full sessions of a user that still hold, newest first."""
    rows = unit.all(
        UserSession, UserSession.user_id == user_id, UserSession.ended.is_(None), UserSession.stage == "full",
        order=UserSession.last_seen.desc(),
    )  # fmt: skip
    return [row for row in rows if not _over(row, limits, unit.now)]


def end(unit: Unit, row: UserSession, reason: str, by: str | None = None) -> None:
    """End a session at once: `session.ended` goes out, and the audit says who (`by`, a user's name) and why."""
    if row.ended is not None:
        return
    row.ended, row.end_reason = unit.now, reason
    if row.stage == "full":
        user = unit.get(User, row.user_id)
        audit.append(
            unit, "session.end", user_id=row.user_id, user=user.name if user else None, address=row.address,
            facts={"reason": reason} | ({"by": by} if by else {}), duration=unit.now - row.created,
        )  # fmt: skip
    unit.session.flush()
    unit.publish({"type": "session.ended", "session_id": row.id})


def end_all(unit: Unit, user_id: str, reason: str, *, keep: str | None = None, by: str | None = None) -> int:
    """End all sessions of a user but `keep`; how many there were."""
    rows = unit.all(UserSession, UserSession.user_id == user_id, UserSession.ended.is_(None))
    gone = [row for row in rows if row.id != keep]
    for row in gone:
        end(unit, row, reason, by)
    return len(gone)


def sweep(kernel: Kernel) -> int:
    """End what is over by time, drop what ended long ago; how many ended. Called from time to time by the server."""
    limits, store, now = kernel.limits, kernel.store, kernel.clock.now()
    with store.operator() as unit:
        open_rows = unit.all(
            UserSession, UserSession.ended.is_(None),
            or_(
                UserSession.last_seen <= now - limits.idle, UserSession.created <= now - limits.absolute,
                (UserSession.stage != "full") & (UserSession.created <= now - STAGE_SECONDS),
            ),
        )  # fmt: skip
        old = unit.all(UserSession, UserSession.ended < now - KEEP_SECONDS, limit=1000)
    ended = 0
    for found in open_rows:
        with store.account(found.account_id, write=True) as unit:
            row = unit.get(UserSession, found.id)
            reason = _over(row, limits, unit.now) if row is not None and row.ended is None else None
            if row is not None and reason:
                end(unit, row, reason)
                ended += 1
    if old:
        with store.operator(write=True) as unit:
            for found in old:
                row = unit.get(UserSession, found.id)
                if row is not None:
                    unit.delete(row)
    return ended
