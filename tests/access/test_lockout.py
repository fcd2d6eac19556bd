"""The lock-out, on both databases."""

from __future__ import annotations

import pytest

from access import lockout
from access.db import Store
from panelgate.clock import FakeClock

KEY = lockout.subject("acme", "anna")


def fail(store: Store, times: int = 1) -> float | None:
    until = None
    for _ in range(times):
        with store.operator(write=True) as unit:
            until = lockout.fail(unit, KEY)
    return until


def locked(store: Store) -> float | None:
    with store.operator() as unit:
        return lockout.locked_until(unit, KEY)


def test_the_tenth_failure_locks_for_a_quarter_of_an_hour(store: Store, clock: FakeClock) -> None:
    assert fail(store, 9) is None
    assert locked(store) is None
    until = fail(store)
    assert until == clock.now() + 900
    assert locked(store) == until
    clock.advance(899)
    assert locked(store) == until
    clock.advance(1)
    assert locked(store) is None
    assert fail(store) is None  # and the count starts anew


def test_it_survives_a_restart(store: Store, clock: FakeClock) -> None:
    fail(store, 10)
    again = Store(store.url.render_as_string(hide_password=False), clock)
    assert locked(again) is not None
    again.close()


def test_a_complete_sign_in_clears_the_count(store: Store) -> None:
    fail(store, 9)
    with store.operator(write=True) as unit:
        assert lockout.clear(unit, KEY)
        assert not lockout.clear(unit, KEY)
    assert fail(store, 9) is None


def test_old_failures_are_forgotten_and_swept(store: Store, clock: FakeClock) -> None:
    fail(store, 9)
    assert lockout.sweep(store) == 0
    clock.advance(lockout.FORGET_SECONDS + 1)
    assert fail(store) is None
    clock.advance(lockout.FORGET_SECONDS + 1)
    assert lockout.sweep(store) == 1
    assert lockout.sweep(store) == 0


@pytest.mark.parametrize(("one", "two", "same"), [
    (("acme", "anna"), ("ACME", "Anna"), True),
    (("acme", "anna"), ("acmea", "nna"), False),
    (("acme", "anna"), ("acme", "bert"), False),
])  # fmt: skip
def test_subjects(one: tuple[str, str], two: tuple[str, str], same: bool) -> None:
    assert (lockout.subject(*one) == lockout.subject(*two)) is same


def test_the_answer_names_the_time(clock: FakeClock) -> None:
    error = lockout.locked(clock.now())
    assert (error.status, error.facts) == (429, {"until": "2027-01-15T08:00:00Z"})
