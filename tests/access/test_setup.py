"""The first visit, and signing up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from access import sessions, setup
from access.kernel import Kernel
from access.models.people import Account, SetupCode, User
from access.sessions import Client
from panelgate.errors import BadInput, Refused

ANNA = setup.Newcomer("acme", "Acme", "Anna", "Anna A.", "correct horse 7", Client("203.0.113.7", "Firefox"))


def counts(kernel: Kernel) -> tuple[int, int]:
    with kernel.store.operator() as unit:
        return unit.count(Account), unit.count(User)


def test_the_code_creates_the_first_account_once(both_kernel: Kernel) -> None:
    kernel = both_kernel
    assert setup.needed(kernel.store)
    code = setup.new_code(kernel)
    file = setup.code_file(kernel)
    assert file.read_text().strip() == code
    assert file.stat().st_mode & 0o777 == 0o600
    token = setup.set_up(kernel, code.upper().replace("-", " "), ANNA)
    who = sessions.check(kernel.store, kernel.limits, token)
    assert (who.stage, who.account_slug, who.user, who.display_name, who.role) == (
        "enrol", "acme", "anna", "Anna A.", "administrator",
    )  # fmt: skip
    assert not setup.needed(kernel.store)
    assert not file.exists()
    with pytest.raises(Refused, match="set-up code"):
        setup.set_up(kernel, code, replace(ANNA, account="other"))
    with pytest.raises(Refused, match="already"):
        setup.new_code(kernel)
    assert counts(kernel) == (1, 1)


def test_wrong_and_older_codes(kernel: Kernel) -> None:
    old = setup.new_code(kernel)
    new = setup.new_code(kernel)
    for code in ("", "x", old):
        with pytest.raises(Refused, match="panelgate access setup-code") as caught:
            setup.set_up(kernel, code, ANNA)
        assert caught.value.code == "wrong_setup_code"
    setup.set_up(kernel, new, ANNA)


def test_the_code_is_not_in_the_database(kernel: Kernel) -> None:
    code = setup.new_code(kernel)
    with kernel.store.operator() as unit:
        assert code.replace("-", "") not in unit.all(SetupCode)[0].digest


@pytest.mark.parametrize("wrong", [
    {"account": "Not A Slug"}, {"user": "a b"}, {"password": "short"}, {"display_name": "x" * 200},
    {"account_name": "x" * 101},
])  # fmt: skip
def test_bad_input_leaves_nothing_behind_and_the_code_usable(kernel: Kernel, wrong: dict[str, str]) -> None:
    code = setup.new_code(kernel)
    with pytest.raises(BadInput):
        setup.set_up(kernel, code, replace(ANNA, **wrong))
    assert counts(kernel) == (0, 0)
    setup.set_up(kernel, code, ANNA)


def test_signing_up_is_off_unless_the_setting_says_so(kernel: Kernel) -> None:
    with pytest.raises(Refused) as caught:
        setup.sign_up(kernel, ANNA)
    assert caught.value.code == "signup_off"
    kernel.settings.signup = True
    with pytest.raises(Refused) as caught:
        setup.sign_up(kernel, ANNA)
    assert caught.value.code == "setup_needed"
    setup.set_up(kernel, setup.new_code(kernel), ANNA)
    setup.sign_up(kernel, replace(ANNA, account="other"))
    with pytest.raises(BadInput, match="already"):
        setup.sign_up(kernel, replace(ANNA, account="other"))
    assert counts(kernel) == (2, 2)
