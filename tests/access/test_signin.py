"""Signing in, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pyotp
import pytest

from access import audit, factors, lockout, sessions, signin, users
from access.kernel import Kernel
from access.models.people import User
from access.passwords import Hasher
from access.sessions import Client, Who
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, PanelgateError, Refused
from tests.fakes.access_world import ACTOR, PASSWORD, full_session, make_account, make_user

CLIENT = Client("203.0.113.7", "Firefox")


class Person:
    """Anna, administrator of acme, with her authenticator."""

    def __init__(self, kernel: Kernel, clock: FakeClock) -> None:
        self.kernel, self.clock = kernel, clock
        self.account, self.user = make_account(kernel, "acme")
        self.totp = pyotp.TOTP(pyotp.random_base32())

    def code(self) -> str:
        return self.totp.at(int(self.clock.now()))

    def enrol(self) -> list[str]:
        token, stage = self.password()
        assert stage == "enrol"
        secret, _ = signin.begin_factor(self.kernel, self.who(token))
        self.totp = pyotp.TOTP(secret)
        _, codes = signin.confirm_factor(self.kernel, self.who(token), self.code(), None)
        self.clock.advance(30)
        return codes

    def password(self, password: str = PASSWORD, account: str = "acme", user: str = "anna") -> tuple[str, str]:
        return signin.password(self.kernel, account, user, password, CLIENT)

    def who(self, token: str) -> Who:
        return sessions.check(self.kernel.store, self.kernel.limits, token)

    def half(self) -> Who:
        token, stage = self.password()
        assert stage == "factor"
        return self.who(token)

    def trail(self) -> list[tuple[str, str]]:
        with self.kernel.store.account(self.account) as unit:
            return [(row.action, row.result) for row in audit.page(unit)[0]][::-1]


@pytest.fixture
def anna(both_kernel: Kernel, clock: FakeClock) -> Person:
    return Person(both_kernel, clock)


def refusal(function: Callable[..., Any], *arguments: Any) -> tuple[str, int]:
    with pytest.raises(PanelgateError) as caught:
        function(*arguments)
    return caught.value.code, caught.value.status


WRONG, LOCKED = ("wrong_credentials", 401), ("locked", 429)


def test_first_visit_and_the_next_one(anna: Person) -> None:
    codes = anna.enrol()
    assert len(codes) == 10
    token = signin.totp(anna.kernel, anna.half(), anna.code())
    assert anna.who(token).stage == "full"
    assert anna.trail()[1:] == [
        ("signin.password", "ok"), ("factor.enrol", "ok"), ("signin.password", "ok"), ("signin.totp", "ok"),
    ]  # fmt: skip


def test_case_and_spaces_of_names_do_not_matter(anna: Person) -> None:
    assert anna.password(account=" ACME ", user=" Anna ")[1] == "enrol"


@pytest.mark.parametrize(("account", "user", "password"), [
    ("acme", "anna", "wrong password"), ("acme", "nobody", PASSWORD), ("nowhere", "anna", PASSWORD),
    ("", "", ""), ("acme", "anna", ""), ("acme", "anna", PASSWORD + " "),
])  # fmt: skip
def test_one_answer_to_everything_wrong(anna: Person, account: str, user: str, password: str) -> None:
    assert refusal(anna.password, password, account, user) == WRONG


def test_unknown_and_known_users_cost_the_same_hashing(anna: Person) -> None:
    class Counting(Hasher):
        calls = 0

        def verify(self, stored: str | None, password: str) -> bool:
            self.calls += 1
            return super().verify(stored, password)

    anna.kernel.hasher = hasher = Counting(time_cost=1, memory_kib=8)
    for account, user in (("acme", "anna"), ("acme", "nobody"), ("nowhere", "anna")):
        assert refusal(anna.password, "wrong", account, user) == WRONG
    assert hasher.calls == 3


def test_a_disabled_user_learns_nothing(anna: Person) -> None:
    bert = make_user(anna.kernel, anna.account, "bert")
    with anna.kernel.store.account(anna.account, write=True) as unit:
        users.change_user(unit, ACTOR, bert, users.Change(disabled=True))
    assert refusal(anna.password, PASSWORD, "acme", "bert") == WRONG


@pytest.mark.parametrize("user", ["anna", "nobody"])
def test_ten_wrong_passwords_lock_known_and_unknown_alike(anna: Person, clock: FakeClock, user: str) -> None:
    for _ in range(9):
        assert refusal(anna.password, "wrong", "acme", user) == WRONG
    assert refusal(anna.password, "wrong", "acme", user) == LOCKED
    assert refusal(anna.password, PASSWORD, "acme", user) == LOCKED
    assert ("signin.locked", "refused") in anna.trail()
    clock.advance(899)
    assert refusal(anna.password, PASSWORD, "acme", user) == LOCKED
    clock.advance(1)
    if user == "anna":
        anna.password()
    else:
        assert refusal(anna.password, PASSWORD, "acme", user) == WRONG


def test_codes_count_like_passwords_and_the_password_clears_nothing(anna: Person, clock: FakeClock) -> None:
    codes = anna.enrol()
    for _ in range(4):
        assert refusal(anna.password, "wrong") == WRONG
    who = anna.half()
    for _ in range(3):
        assert refusal(signin.totp, anna.kernel, who, "000000") == ("wrong_code", 401)
    who = anna.half()
    for _ in range(2):
        assert refusal(signin.recovery, anna.kernel, who, "aaaa-aaaa") == ("wrong_code", 401)
    assert refusal(signin.totp, anna.kernel, who, "000000") == LOCKED
    assert refusal(signin.totp, anna.kernel, who, anna.code()) == LOCKED
    assert refusal(signin.recovery, anna.kernel, who, codes[0]) == LOCKED
    assert refusal(anna.password) == LOCKED
    clock.advance(900)
    signin.totp(anna.kernel, anna.half(), anna.code())
    with anna.kernel.store.operator() as unit:
        assert unit.count(lockout.LoginFailure) == 0


def test_guesses_side_by_side_do_not_get_past_the_lock(anna: Person) -> None:
    results: list[str] = []

    def guess() -> None:
        results.append(refusal(anna.password, "wrong")[0])

    threads = [threading.Thread(target=guess) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("wrong_credentials") <= 9
    assert results.count("locked") >= 7


def test_a_right_password_that_was_being_checked_while_the_lock_fell_is_refused(anna: Person) -> None:
    class Meanwhile(Hasher):
        def verify(self, stored: str | None, password: str) -> bool:
            with anna.kernel.store.operator(write=True) as unit:
                for _ in range(10):
                    lockout.fail(unit, lockout.subject("acme", "anna"))
            return super().verify(stored, password)

    anna.kernel.hasher = Meanwhile(time_cost=1, memory_kib=8)
    assert refusal(anna.password) == LOCKED


def test_a_code_is_not_taken_twice(anna: Person) -> None:
    anna.enrol()
    one, two = anna.half(), anna.half()
    code = anna.code()
    signin.totp(anna.kernel, one, code)
    assert refusal(signin.totp, anna.kernel, two, code) == ("wrong_code", 401)


def test_recovery_codes(anna: Person) -> None:
    codes = anna.enrol()
    token, left = signin.recovery(anna.kernel, anna.half(), codes[0])
    assert (anna.who(token).stage, left) == ("full", 9)
    assert refusal(signin.recovery, anna.kernel, anna.half(), codes[0]) == ("wrong_code", 401)
    renewed = signin.renew_recovery_codes(anna.kernel, anna.who(token), PASSWORD)
    assert refusal(signin.recovery, anna.kernel, anna.half(), codes[1]) == ("wrong_code", 401)
    assert signin.recovery(anna.kernel, anna.half(), renewed[0])[1] == 9


def test_an_old_half_session_can_not_replace_the_factor(anna: Person) -> None:
    early = anna.who(anna.password()[0])
    assert early.stage == "enrol"
    anna.enrol()
    assert refusal(signin.begin_factor, anna.kernel, early) == ("already_enrolled", 409)
    assert refusal(signin.confirm_factor, anna.kernel, early, "000000", None) == ("already_enrolled", 409)


def test_replacing_the_authenticator_needs_the_password_and_ends_other_sessions(anna: Person) -> None:
    anna.enrol()
    other = full_session(anna.kernel, anna.account, anna.user)
    who = anna.who(full_session(anna.kernel, anna.account, anna.user))
    secret, _ = signin.begin_factor(anna.kernel, who)
    new = pyotp.TOTP(secret)
    code = new.at(int(anna.clock.now()))
    with pytest.raises(BadInput, match="password"):
        signin.confirm_factor(anna.kernel, who, code, None)
    assert refusal(signin.confirm_factor, anna.kernel, who, code, "wrong") == WRONG
    assert refusal(signin.confirm_factor, anna.kernel, who, "000000", PASSWORD) == ("wrong_code", 401)
    signin.totp(anna.kernel, anna.half(), anna.code())  # the old one still counts
    token, _ = signin.confirm_factor(anna.kernel, who, code, PASSWORD)
    assert anna.who(token).session_id == who.session_id
    with pytest.raises(Refused):
        anna.who(other)
    anna.clock.advance(30)
    assert refusal(signin.totp, anna.kernel, anna.half(), anna.code()) == ("wrong_code", 401)
    signin.totp(anna.kernel, anna.half(), new.at(int(anna.clock.now())))


def test_own_new_password(anna: Person) -> None:
    other = full_session(anna.kernel, anna.account, anna.user)
    token = full_session(anna.kernel, anna.account, anna.user)
    assert refusal(signin.change_password, anna.kernel, anna.who(token), "wrong", "another horse") == WRONG
    signin.change_password(anna.kernel, anna.who(token), PASSWORD, "another horse")
    anna.who(token)
    with pytest.raises(Refused):
        anna.who(other)
    assert refusal(anna.password) == WRONG
    anna.password("another horse")


def test_guessing_the_password_from_within_locks_too(anna: Person) -> None:
    who = anna.who(full_session(anna.kernel, anna.account, anna.user))
    for _ in range(9):
        assert refusal(signin.prove_password, anna.kernel, who, "wrong") == WRONG
    assert refusal(signin.prove_password, anna.kernel, who, "wrong") == LOCKED
    assert refusal(signin.prove_password, anna.kernel, who, PASSWORD) == LOCKED
    assert refusal(anna.password) == LOCKED


def test_a_weaker_hash_is_renewed_at_sign_in(anna: Person) -> None:
    anna.kernel.hasher = Hasher(time_cost=2, memory_kib=8)
    anna.password()
    with anna.kernel.store.account(anna.account) as unit:
        assert "t=2" in unit.need(User, anna.user).password_hash
    anna.password()


def test_what_happens_after_a_reset(anna: Person) -> None:
    anna.enrol()
    with anna.kernel.store.account(anna.account, write=True) as unit:
        users.reset_factor(unit, ACTOR, anna.user)
        assert factors.recovery_codes_left(unit, anna.user) == 0
    assert anna.password()[1] == "enrol"
