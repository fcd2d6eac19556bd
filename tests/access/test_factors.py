"""The second factor. The vectors are RFC 6238 appendix B, SHA-1, the last six digits."""

from __future__ import annotations

import base64
from typing import Any

import pyotp
import pytest

from access import factors
from access.kernel import Kernel
from access.models.people import Factor, User
from panelgate.clock import FakeClock
from panelgate.errors import BadInput
from tests.fakes.access_world import make_account

RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
VECTORS = {
    59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037",
    20000000000: "353130",
}  # fmt: skip


class People:
    """One account with one user, and an authenticator in his hand."""

    def __init__(self, kernel: Kernel, clock: FakeClock, account: str, user: str) -> None:
        self.kernel, self.clock, self.account, self.user = kernel, clock, account, user

    def do(self, function: Any, *arguments: Any) -> Any:
        with self.kernel.store.account(self.account, write=True) as unit:
            return function(unit, self.kernel.keyring, self.user, *arguments)

    def enrol(self) -> pyotp.TOTP:
        with self.kernel.store.account(self.account, write=True) as unit:
            secret, _ = factors.begin(unit, self.kernel.keyring, unit.need(User, self.user), "acme")
        totp = pyotp.TOTP(secret)
        assert self.do(factors.confirm, self.code(totp))
        return totp

    def code(self, totp: pyotp.TOTP, steps: int = 0) -> str:
        return totp.generate_otp(int(self.clock.now()) // 30 + steps)


@pytest.fixture
def people(both_kernel: Kernel, clock: FakeClock) -> People:
    account, user = make_account(both_kernel, "acme")
    return People(both_kernel, clock, account, user)


@pytest.mark.parametrize(("time", "code"), VECTORS.items())
def test_rfc_6238(kernel: Kernel, time: int, code: str) -> None:
    account, user = make_account(kernel, "acme")
    with kernel.store.account(account, write=True) as unit:
        sealed = kernel.keyring.seal(RFC_SECRET, f"totp:{user}")
        unit.add(Factor(user_id=user, sealed=sealed, created=0, confirmed=0.0))
        unit.now = float(time)
        assert factors.check(unit, kernel.keyring, user, code)
        assert not factors.check(unit, kernel.keyring, user, code)


def test_nothing_counts_before_it_is_confirmed(people: People) -> None:
    with people.kernel.store.account(people.account, write=True) as unit:
        secret, uri = factors.begin(unit, people.kernel.keyring, unit.need(User, people.user), "acme")
    totp = pyotp.TOTP(secret)
    assert pyotp.parse_uri(uri).secret == secret
    assert uri.startswith("otpauth://totp/Panelgate:anna%40acme?")
    assert not people.do(factors.check, people.code(totp))
    assert not people.do(factors.confirm, "000000")
    assert people.do(factors.confirm, people.code(totp))
    with pytest.raises(BadInput, match="again"):
        people.do(factors.confirm, people.code(totp))


def test_a_code_works_once_and_older_ones_never_again(people: People) -> None:
    totp = people.enrol()
    assert not people.do(factors.check, people.code(totp))  # the one that confirmed it
    people.clock.advance(60)
    assert people.do(factors.check, people.code(totp))
    assert not people.do(factors.check, people.code(totp))
    assert not people.do(factors.check, people.code(totp, -1))
    assert people.do(factors.check, people.code(totp, +1))
    people.clock.advance(30)
    assert not people.do(factors.check, people.code(totp))


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_one_step_of_skew(people: People, steps: int, good: bool) -> None:
    totp = people.enrol()
    people.clock.advance(300)
    assert people.do(factors.check, people.code(totp, steps)) is good


@pytest.mark.parametrize("junk", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345", "12 34 56 78"])
def test_junk_is_wrong(people: People, junk: str) -> None:
    people.enrol()
    people.clock.advance(60)
    assert not people.do(factors.check, junk)


def test_spaces_in_a_code_are_fine(people: People) -> None:
    totp = people.enrol()
    people.clock.advance(60)
    code = people.code(totp)
    assert people.do(factors.check, f" {code[:3]} {code[3:]}")


def test_replacing_and_removing(people: People) -> None:
    old = people.enrol()
    people.clock.advance(60)
    new = people.enrol()
    people.clock.advance(60)
    assert not people.do(factors.check, people.code(old))
    assert people.do(factors.check, people.code(new))
    people.do(factors.new_recovery_codes)
    with people.kernel.store.account(people.account, write=True) as unit:
        assert factors.enrolled_since(unit, people.user) == people.clock.now() - 60
        factors.remove(unit, people.user)
        assert factors.enrolled_since(unit, people.user) is None
        assert factors.recovery_codes_left(unit, people.user) == 0


def test_the_secret_is_not_in_the_database(people: People) -> None:
    totp = people.enrol()
    with people.kernel.store.account(people.account) as unit:
        row = unit.all(Factor)[0]
    assert totp.secret not in row.sealed
    assert people.kernel.keyring.open(row.sealed, f"totp:{people.user}") == totp.secret


def test_recovery_codes_work_once_each(people: People) -> None:
    codes = people.do(factors.new_recovery_codes)
    assert len(set(codes)) == 10
    assert not people.do(factors.use_recovery_code, "aaaa-aaaa-aaaa-aaaa")
    assert people.do(factors.use_recovery_code, codes[3].upper().replace("-", " "))
    assert not people.do(factors.use_recovery_code, codes[3])
    with people.kernel.store.account(people.account) as unit:
        assert factors.recovery_codes_left(unit, people.user) == 9
    people.do(factors.new_recovery_codes)
    assert not people.do(factors.use_recovery_code, codes[4])
