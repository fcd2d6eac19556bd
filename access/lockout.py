"""The lock-out: ten wrong passwords or codes in a row lock a user for a quarter of an hour, right password or not.

Counted by the digest of account and user name, whether or not there is such a user: what a guesser sees is the same.
Wrong passwords and wrong codes count alike, and only a complete sign-in clears the count; else somebody who knows the
password could try codes for ever. The counts are rows: a restart forgets nothing.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from access.db import Store, Unit
from access.models.people import LoginFailure
from panelgate.clock import iso
from panelgate.errors import Refused

FAILURES = 10  # product row I2
LOCK_SECONDS = 15 * 60.0
FORGET_SECONDS = 24 * 3600.0  # a wrong password yesterday says nothing about today


def subject(account: str, user: str) -> str:
    """What failures are counted by."""
    return hashlib.sha256(f"{account.casefold()}\0{user.casefold()}".encode()).hexdigest()


def _row(unit: Unit, key: str) -> LoginFailure | None:
    query = select(LoginFailure).where(LoginFailure.subject == key).with_for_update()
    return unit.session.scalars(query).one_or_none()


def locked_until(unit: Unit, key: str) -> float | None:
    """Until when (unix seconds) the subject is locked, None when it isn't."""
    row = unit.find(LoginFailure, LoginFailure.subject == key)
    if row is None or row.locked_until is None or row.locked_until <= unit.now:
        return None
    return row.locked_until


def fail(unit: Unit, key: str) -> float | None:
    """Count a failure; until when the subject is locked if this one locked it."""
    row = _row(unit, key)
    if row is None:
        row = unit.add(LoginFailure(subject=key, failures=0, last=unit.now, locked_until=None))
    if unit.now - row.last > FORGET_SECONDS or (row.locked_until is not None and row.locked_until <= unit.now):
        row.failures, row.locked_until = 0, None
    row.failures += 1
    row.last = unit.now
    if row.failures >= FAILURES:
        row.locked_until = unit.now + LOCK_SECONDS
    unit.session.flush()
    return row.locked_until


def clear(unit: Unit, key: str) -> bool:
    """Forget the failures of a subject; whether there were any."""
    row = _row(unit, key)
    if row is None:
        return False
    unit.delete(row)
    return True


def locked(until: float) -> Refused:
    """The answer while locked; the same whatever was typed."""
    return Refused(
        "locked",
        "Too many wrong attempts. Wait until the time shown, or ask an administrator of your account to unlock you.",
        {"until": iso(until)},
        status=429,
    )


def sweep(store: Store) -> int:
    """Drop counts that no longer matter; how many."""
    now = store.clock.now()
    with store.operator() as unit:
        stale = unit.count(LoginFailure, LoginFailure.last < now - FORGET_SECONDS)
    if not stale:
        return 0
    with store.operator(write=True) as unit:
        rows = unit.all(LoginFailure, LoginFailure.last < now - FORGET_SECONDS, limit=5000)
        for row in rows:
            unit.session.delete(row)
    return len(rows)
