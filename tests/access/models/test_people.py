"""The tables of people: what the database itself refuses."""

from __future__ import annotations

import pytest

from access.db import Store
from access.models.people import Account, Factor, Grant, RecoveryCode, User, UserSession
from panelgate.errors import Unavailable


@pytest.fixture
def account(store: Store) -> str:
    with store.operator(write=True) as unit:
        return unit.add(Account(slug="acme", name="Acme", created=1.0)).id


def user(name: str) -> User:
    return User(name=name, display_name=name, role="member", password_hash="x", created=1.0)


def test_a_name_is_given_once_in_an_account(store: Store, account: str) -> None:
    with store.account(account, write=True) as unit:
        unit.add(user("anna"))
    with pytest.raises(Unavailable, match="same moment"), store.account(account, write=True) as unit:
        unit.add(user("anna"))


def test_what_belongs_to_a_user_goes_with_him(store: Store, account: str) -> None:
    with store.account(account, write=True) as unit:
        anna = unit.add(user("anna"))
        unit.add(Factor(user_id=anna.id, sealed="v1.x", created=1.0))
        unit.add(RecoveryCode(user_id=anna.id, digest="d"))
        unit.add(Grant(user_id=anna.id, level="see"))
        unit.add(
            UserSession(
                user_id=anna.id, token_hash="h", stage="full", created=1.0, last_seen=1.0, address="", user_agent=""
            )
        )
        unit.delete(anna)
    with store.account(account) as unit:
        assert [unit.count(model) for model in (User, Factor, RecoveryCode, Grant, UserSession)] == [0] * 5


def test_a_new_user_is_enabled_and_in_the_units_account(store: Store, account: str) -> None:
    with store.account(account, write=True) as unit:
        anna = unit.add(user("anna"))
        assert (anna.disabled, anna.account_id, len(anna.id)) == (False, account, 32)
