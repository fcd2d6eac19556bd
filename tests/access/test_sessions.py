"""Sessions: how they begin, hold, and end."""

from __future__ import annotations

from typing import Any

import pytest

from access import audit, sessions
from access.db import Store
from access.kernel import Kernel
from access.keyring import token_hash
from access.models.people import User, UserSession
from access.sessions import Client, Limits, Who
from panelgate.clock import FakeClock
from panelgate.errors import Refused, Unavailable
from tests.fakes.access_world import full_session, make_account

HOUR = 3600


@pytest.fixture
def anna(kernel: Kernel) -> tuple[str, str]:
    return make_account(kernel, "acme")


def check(kernel: Kernel, token: str, **more: Any) -> Who:
    return sessions.check(kernel.store, kernel.limits, token, **more)


def gone(kernel: Kernel, token: str) -> bool:
    try:
        check(kernel, token, active=False)
    except Refused as error:
        return (error.code, error.status) == ("no_session", 401)
    return False


def heard(kernel: Kernel) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    kernel.hub.listen(events.append)
    return events


def test_whose_session_it_is(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    who = check(kernel, full_session(kernel, *anna))
    assert (who.account_id, who.user_id) == anna
    assert (who.account_slug, who.account_name, who.user, who.display_name) == ("acme", "Acme", "anna", "Anna")
    assert who.administrator
    assert who.expires == clock.now() + 24 * HOUR
    assert who.idle_seconds == 8 * HOUR


def test_no_token_opens_by_chance(kernel: Kernel, anna: tuple[str, str]) -> None:
    token = full_session(kernel, *anna)
    for wrong in ("", "x", token[:-1], token.lower(), token_hash(token)):
        assert gone(kernel, wrong)


def test_the_token_is_not_in_the_database_and_changes_with_the_stage(kernel: Kernel, anna: tuple[str, str]) -> None:
    with kernel.store.account(anna[0], write=True) as unit:
        user = unit.need(User, anna[1])
        row, first = sessions.begin(unit, user, "factor", Client("a" * 100, "b" * 1000))
        assert first not in vars(row).values()
        assert (len(row.address), len(row.user_agent)) == (64, 300)
    assert check(kernel, first).stage == "factor"
    with kernel.store.account(anna[0], write=True) as unit:
        second = sessions.promote(unit, row.id, user)
    assert gone(kernel, first)
    who = check(kernel, second)
    assert (who.stage, who.session_id) == ("full", row.id)


def test_an_ended_session_can_not_be_promoted(kernel: Kernel, anna: tuple[str, str]) -> None:
    with kernel.store.account(anna[0], write=True) as unit:
        user = unit.need(User, anna[1])
        row, _ = sessions.begin(unit, user, "factor", Client("", ""))
        sessions.end(unit, row, "sign_out")
        with pytest.raises(Refused):
            sessions.promote(unit, row.id, user)


def test_half_a_sign_in_lives_a_quarter_of_an_hour(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    with kernel.store.account(anna[0], write=True) as unit:
        _, token = sessions.begin(unit, unit.need(User, anna[1]), "enrol", Client("", ""))
    clock.advance(899)
    check(kernel, token)
    clock.advance(1)
    assert gone(kernel, token)


def test_idle_time_restarts_with_what_a_person_does(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    token = full_session(kernel, *anna)
    clock.advance(7 * HOUR)
    check(kernel, token)
    clock.advance(7 * HOUR)
    check(kernel, token, active=False)
    clock.advance(HOUR)
    assert gone(kernel, token)


def test_the_absolute_limit_can_not_be_pushed_away(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    token = full_session(kernel, *anna)
    for _ in range(24):
        check(kernel, token)
        clock.advance(HOUR)
    assert gone(kernel, token)


def test_sweeping_ends_what_is_over_and_says_so(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    idle = check(kernel, full_session(kernel, *anna)).session_id
    clock.advance(8 * HOUR)
    fresh = full_session(kernel, *anna)
    events = heard(kernel)
    assert sessions.sweep(kernel) == 1
    assert events == [{"type": "session.ended", "session_id": idle}]
    assert sessions.sweep(kernel) == 0
    check(kernel, fresh)
    with kernel.store.account(anna[0]) as unit:
        row = audit.page(unit, action="session.end")[0][0]
    assert audit.as_json(row)["facts"] == {"reason": "idle"}
    assert row.duration == 8 * HOUR
    clock.advance(sessions.KEEP_SECONDS + 25 * HOUR)
    sessions.sweep(kernel)
    sessions.sweep(kernel)
    with kernel.store.account(anna[0]) as unit:
        assert [row.end_reason for row in unit.all(UserSession)] == ["expired"]


def test_ending_one_and_all(kernel: Kernel, anna: tuple[str, str]) -> None:
    tokens = [full_session(kernel, *anna) for _ in range(3)]
    ids = [check(kernel, token).session_id for token in tokens]
    events = heard(kernel)
    with kernel.store.account(anna[0], write=True) as unit:
        assert len(sessions.listing(unit, kernel.limits, anna[1])) == 3
        assert sessions.end_all(unit, anna[1], "revoked", keep=ids[0], by="anna") == 2
        assert sessions.end_all(unit, anna[1], "revoked", keep=ids[0]) == 0
    assert {event["session_id"] for event in events} == set(ids[1:])
    assert [gone(kernel, token) for token in tokens] == [False, True, True]
    with kernel.store.account(anna[0]) as unit:
        assert [row.id for row in sessions.listing(unit, kernel.limits, anna[1])] == [ids[0]]
        assert sessions.valid(unit, kernel.limits, ids[0]) is not None
        assert sessions.valid(unit, kernel.limits, ids[1]) is None


def test_a_disabled_user_has_no_session(kernel: Kernel, anna: tuple[str, str]) -> None:
    token = full_session(kernel, *anna)
    session_id = check(kernel, token).session_id
    with kernel.store.account(anna[0], write=True) as unit:
        unit.need(User, anna[1]).disabled = True
    assert gone(kernel, token)
    with kernel.store.account(anna[0]) as unit:
        assert sessions.valid(unit, kernel.limits, session_id) is None


def test_what_hangs_on_a_session_keeps_it_awake(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    token = full_session(kernel, *anna)
    session_id = check(kernel, token).session_id
    clock.advance(7 * HOUR)
    with kernel.store.account(anna[0], write=True) as unit:
        sessions.touch(unit, session_id)
    clock.advance(7 * HOUR)
    with kernel.store.account(anna[0]) as unit:
        assert sessions.valid(unit, kernel.limits, session_id) is not None
        assert sessions.valid(unit, Limits(idle=60), session_id) is None


def test_a_full_disk_does_not_sign_out(kernel: Kernel, anna: tuple[str, str], clock: FakeClock) -> None:
    token = full_session(kernel, *anna)
    clock.advance(HOUR)

    class FullDisk(Store):
        def account(self, account_id: str, *, write: bool = False) -> Any:
            if write:
                raise Unavailable("disk_full", "full")
            return super().account(account_id)

    store = FullDisk(kernel.store.url.render_as_string(), clock)
    assert sessions.check(store, kernel.limits, token).user == "anna"
    store.close()
