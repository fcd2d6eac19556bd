"""Accounts and users."""

from __future__ import annotations

from typing import Any

import pytest

from access import audit, factors, lockout, sessions, users
from access.db import Unit
from access.kernel import Kernel
from access.models.people import Account, Grant, RecoveryCode, User, UserSession
from access.users import Change, Grants
from panelgate.errors import BadInput, Refused
from tests.fakes.access_world import ACTOR, full_session, make_account, make_user


class People:
    """An account with the administrator anna and the member bert."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.account, self.anna = make_account(kernel, "acme")
        self.bert = make_user(kernel, self.account, "bert")
        self.events: list[dict[str, Any]] = []
        kernel.hub.listen(self.events.append)

    def do(self, function: Any, *arguments: Any) -> Any:
        with self.kernel.store.account(self.account, write=True) as unit:
            return function(unit, ACTOR, *arguments)

    def change(self, user_id: str, **what: Any) -> User:
        changed: User = self.do(users.change_user, user_id, Change(**what))
        return changed

    def ended(self, token: str) -> bool:
        try:
            sessions.check(self.kernel.store, self.kernel.limits, token)
        except Refused:
            return True
        return False

    def last_facts(self) -> tuple[str, dict[str, Any]]:
        with self.kernel.store.account(self.account) as unit:
            row = audit.page(unit, limit=1)[0][0]
        return row.action, audit.as_json(row)["facts"]


@pytest.fixture
def people(both_kernel: Kernel) -> People:
    return People(both_kernel)


def test_accounts_need_a_free_slug(kernel: Kernel) -> None:
    make_account(kernel, "acme")
    codes = {"acme": "account_taken", "Ac me": "bad_account", "a--b": "bad_account", "": "bad_account"}
    codes |= {"people": "bad_account", "launch": "bad_account", "h0123abcd": "bad_account"}
    for slug, code in codes.items():
        with kernel.store.operator(write=True) as unit, pytest.raises(BadInput) as caught:
            users.create_account(unit, slug, "x")
        assert caught.value.code == code


@pytest.mark.parametrize(("given", "stored"), [("Anna.M", "anna.m"), (" b@x.org ", "b@x.org"), ("7_a-b", "7_a-b")])
def test_user_names(given: str, stored: str) -> None:
    assert users.user_name(given) == stored


@pytest.mark.parametrize("bad", ["", " ", "a b", "-a", "ä", "x" * 65, "a\0b", "a/b", ".."])
def test_bad_user_names(bad: str) -> None:
    with pytest.raises(BadInput):
        users.user_name(bad)


def test_names_are_unique_in_their_account_only(people: People) -> None:
    make_account(people.kernel, "other", administrator="bert")
    with pytest.raises(BadInput, match="already"):
        make_user(people.kernel, people.account, "bert")
    for fields in ({"role": "king"}, {"display_name": "x" * 101}, {"display_name": "a\x07b"}):
        values = {"name": "new", "display_name": "New", "role": "member", "password_hash": "x"} | fields
        with pytest.raises(BadInput), people.kernel.store.account(people.account, write=True) as unit:
            users.create_user(unit, ACTOR, **values)


def test_changes_are_recorded_with_before_and_after(people: People) -> None:
    changed = people.change(people.bert, display_name=" Bert  B. ", role="administrator")
    assert (changed.display_name, changed.role) == ("Bert B.", "administrator")
    action, facts = people.last_facts()
    assert action == "user.change"
    assert facts["role"] == ["member", "administrator"]
    assert facts["target"] == "bert"
    assert people.events == [{"type": "access.changed", "account_id": people.account}]
    people.change(people.bert, role="administrator")
    assert len(people.events) == 1  # nothing changed


@pytest.mark.parametrize("change", [{"disabled": True}, {"password_hash": "new"}])
def test_sessions_end_with_being_disabled_or_a_new_password(people: People, change: dict[str, Any]) -> None:
    token = full_session(people.kernel, people.account, people.bert)
    other = full_session(people.kernel, people.account, people.anna)
    people.change(people.bert, **change)
    assert people.ended(token)
    assert not people.ended(other)
    assert [event["type"] for event in people.events] == ["session.ended", "access.changed"]


def test_the_last_administrator_stays(people: People) -> None:
    for act in (
        lambda: people.change(people.anna, disabled=True),
        lambda: people.change(people.anna, role="member"),
        lambda: people.do(users.delete_user, people.anna),
    ):
        with pytest.raises(Refused, match="only administrator") as caught:
            act()
        assert (caught.value.code, caught.value.status) == ("last_administrator", 409)
    people.change(people.bert, role="administrator", disabled=True)
    with pytest.raises(Refused, match="only administrator"):  # a disabled one can't help
        people.change(people.anna, role="member")
    people.change(people.bert, disabled=False)
    people.change(people.anna, role="member")
    with pytest.raises(Refused, match="only administrator"):
        people.do(users.delete_user, people.bert)


def test_deleting_leaves_the_audit_only(people: People) -> None:
    token = full_session(people.kernel, people.account, people.bert)
    with people.kernel.store.account(people.account, write=True) as unit:
        factors.new_recovery_codes(unit, people.kernel.keyring, people.bert)
        unit.add(Grant(user_id=people.bert, level="see"))
    people.do(users.delete_user, people.bert)
    assert people.ended(token)
    assert [event["type"] for event in people.events] == ["session.ended", "access.changed"]
    with people.kernel.store.account(people.account) as unit:
        for model in (RecoveryCode, Grant, UserSession):
            assert unit.count(model) == 0
        assert unit.count(User) == 1
    assert people.last_facts()[1]["target"] == "bert"
    with pytest.raises(Refused, match="nothing here"):
        people.do(users.delete_user, people.bert)


def test_reset_of_the_factor_ends_sessions(people: People) -> None:
    token = full_session(people.kernel, people.account, people.bert)
    people.do(users.reset_factor, people.bert)
    assert people.ended(token)
    assert people.last_facts()[0] == "factor.reset"


def test_unlocking(people: People) -> None:
    key = lockout.subject("acme", "bert")
    with people.kernel.store.operator(write=True) as unit:
        for _ in range(10):
            lockout.fail(unit, key)
    people.do(users.unlock, people.bert)
    with people.kernel.store.operator() as unit:
        assert lockout.locked_until(unit, key) is None
    assert people.last_facts()[0] == "user.unlock"
    people.do(users.unlock, people.bert)  # nothing to unlock: nothing to record


def test_renaming_the_account_keeps_its_slug(people: People) -> None:
    renamed: Account = people.do(users.rename_account, "Acme & Söhne")
    assert (renamed.slug, renamed.name) == ("acme", "Acme & Söhne")
    assert people.last_facts() == ("account.change", {"name": ["Acme", "Acme & Söhne"]})


def test_grants_are_replaced_as_a_whole(people: People) -> None:
    people.do(users.set_grants, people.bert, Grants("watch", {}, {}), {})
    people.do(users.set_grants, people.bert, Grants("see", {}, {}), {})

    def read(unit: Unit, _actor: object) -> Grants:
        return users.grants_of(unit, people.bert)

    assert people.do(read) == Grants("see", {}, {})
    assert people.last_facts()[1]["before"] == {"all": "watch", "devices": {}, "services": {}}
    with pytest.raises(BadInput):
        people.do(users.set_grants, people.bert, Grants("rule", {}, {}), {})
    assert people.do(read) == Grants("see", {}, {})
    assert [event["type"] for event in people.events] == ["access.changed"] * 2
