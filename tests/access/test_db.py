"""Units of work: bound to an account, whole or not at all, and clear when the database can't be used."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import OperationalError

from access import db
from access.db import Store, Unit, database_url
from access.models.people import Account, Grant, User
from panelgate.clock import FakeClock
from panelgate.errors import Broken, Refused, Unavailable


def make(store: Store, slug: str) -> tuple[str, str]:
    with store.operator(write=True) as unit:
        account = unit.add(Account(slug=slug, name=slug, created=unit.now))
        user = unit.bind(account.id).add(a_user(f"user-of-{slug}"))
        return account.id, user.id


def a_user(name: str, **more: Any) -> User:
    values = {"display_name": name, "role": "member", "password_hash": "x", "created": 1.0} | more
    return User(name=name, **values)


class TestIsolation:
    def test_reads_see_the_own_account_only(self, store: Store) -> None:
        one, user_one = make(store, "one")
        two, user_two = make(store, "two")
        with store.account(one) as unit:
            assert [user.id for user in unit.all(User)] == [user_one]
            assert unit.get(User, user_two) is None
            assert unit.get(Account, two) is None
            assert unit.count(User) == 1
            assert unit.count(Account) == 1
            assert unit.session.get(User, user_two) is None
            assert unit.select(select(User.name, Account.slug).join(Account, Account.id == User.account_id)) == [
                ("user-of-one", "one")
            ]
            assert unit.session.scalar(select(func.max(User.name))) == "user-of-one"
            with pytest.raises(Refused) as caught:
                unit.need(User, user_two)
            assert (caught.value.code, caught.value.status) == ("not_found", 404)

    def test_subqueries_and_aliases_are_limited_as_well(self, store: Store) -> None:
        from sqlalchemy.orm import aliased

        one, user_one = make(store, "one")
        make(store, "two")
        other = aliased(User)
        with store.account(one) as unit:
            assert unit.select(select(other.id)) == [(user_one,)]
            inner = select(User.id).scalar_subquery()
            assert unit.session.scalars(select(User.id).where(User.id.in_(inner))).all() == [user_one]

    def test_changes_reach_the_own_account_only(self, store: Store) -> None:
        one, _ = make(store, "one")
        _, user_two = make(store, "two")
        with store.account(one, write=True) as unit:
            unit.session.execute(update(User).values(role="administrator"))
            unit.session.execute(delete(User).where(User.id == user_two))
        with store.operator() as unit:
            user = unit.get(User, user_two)
            assert user is not None
            assert user.role == "member"

    def test_a_row_of_another_account_can_not_be_written(self, store: Store) -> None:
        one, _ = make(store, "one")
        two, user_two = make(store, "two")
        with pytest.raises(Broken, match="another account"), store.account(one, write=True) as unit:
            unit.add(a_user("planted", account_id=two))
        with store.operator() as unit:
            foreign = unit.need(User, user_two)
        foreign.role = "administrator"
        with pytest.raises(Broken, match="another account"), store.account(one, write=True) as unit:
            unit.session.add(foreign)

    @pytest.mark.parametrize("statement", [text("SELECT 1"), select(User.__table__), insert(User).values(id="1")])
    def test_statements_that_can_not_be_limited_are_refused(self, store: Store, statement: Any) -> None:
        one, _ = make(store, "one")
        with pytest.raises(Broken, match="limited"), store.account(one) as unit:
            unit.session.execute(statement)

    def test_a_unit_bound_once_stays_bound(self, store: Store) -> None:
        one, _ = make(store, "one")
        two, _ = make(store, "two")
        with store.account(one) as unit, pytest.raises(Broken):
            unit.bind(two)
        with store.operator() as unit:
            assert unit.count(User) == 2
            assert unit.bind(one).count(User) == 1
            with pytest.raises(Broken):
                unit.bind(two)

    def test_the_operator_has_no_account(self, store: Store) -> None:
        with store.operator() as unit, pytest.raises(Broken):
            _ = unit.account

    def test_the_account_of_a_unique_value(self, store: Store) -> None:
        one, user_one = make(store, "one")
        assert store.account_of(Account.slug, "one") == one
        assert store.account_of(User.id, user_one) == one
        assert store.account_of(User.id, "nobody") is None


class TestTransactions:
    def test_all_or_nothing_and_events_after_the_commit(self, store: Store, published: list[dict[str, Any]]) -> None:
        one, _ = make(store, "one")

        def work(unit: Unit, *, fail: bool) -> None:
            unit.add(a_user("new"))
            unit.publish({"type": "access.changed", "account_id": one})
            assert published == []
            if fail:
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"), store.account(one, write=True) as unit:
            work(unit, fail=True)
        assert published == []
        with store.account(one) as unit:
            assert unit.count(User) == 1
        with store.account(one, write=True) as unit:
            work(unit, fail=False)
        assert published == [{"type": "access.changed", "account_id": one}]
        with store.account(one) as unit:
            assert unit.count(User) == 2

    def test_a_reading_unit_does_not_write(self, store: Store) -> None:
        one, user_one = make(store, "one")
        with pytest.raises(Broken), store.account(one) as unit:
            unit.need(User, user_one).role = "administrator"
        with store.account(one) as unit:
            assert unit.need(User, user_one).role == "member"

    def test_foreign_keys_hold_and_cascade(self, store: Store) -> None:
        one, user_one = make(store, "one")
        with store.account(one, write=True) as unit:
            unit.add(Grant(user_id=user_one, level="see"))
        with pytest.raises(Unavailable, match="same moment"), store.account(one, write=True) as unit:
            unit.add(Grant(user_id="nobody", level="see"))
        with store.account(one, write=True) as unit:
            unit.delete(unit.need(User, user_one))
        with store.account(one) as unit:
            assert unit.count(Grant) == 0

    def test_a_lost_race_is_a_conflict(self, store: Store) -> None:
        make(store, "one")
        with pytest.raises(Unavailable) as caught:
            make(store, "one")
        assert (caught.value.code, caught.value.status) == ("conflict", 409)

    def test_locking_makes_writers_of_an_account_wait(self, store: Store) -> None:
        one, _ = make(store, "one")
        seen: list[int] = []
        started = threading.Event()

        def second() -> None:
            started.set()
            with store.account(one, write=True) as unit:
                unit.lock()
                seen.append(unit.count(User))

        other = threading.Thread(target=second)
        with store.account(one, write=True) as unit:
            unit.lock()
            other.start()
            assert started.wait(5)
            unit.add(a_user("meanwhile"))
        other.join(10)
        assert seen == [2]


class TestFaults:
    def store(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
        monkeypatch.setattr(db, "BUSY_SECONDS", 0.05)
        made = Store(str(path / "x.sqlite"), FakeClock())
        db.Base.metadata.create_all(made.engine)
        return made

    def test_locked_by_another_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = self.store(tmp_path, monkeypatch)
        other = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked") as caught:
            make(store, "one")
        assert caught.value.code == "database_busy"
        with store.operator() as unit:  # readers go on
            assert unit.count(Account) == 0
        other.execute("ROLLBACK")
        other.close()
        make(store, "one")
        store.close()

    def test_disk_full_leaves_nothing_half_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = self.store(tmp_path, monkeypatch)
        one, _ = make(store, "one")

        def fill(unit: Unit) -> None:
            pages = unit.session.connection().exec_driver_sql("PRAGMA page_count").scalar_one()
            unit.session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            unit.session.add_all([a_user(f"user{i}", display_name="x" * 100) for i in range(500)])
            unit.session.flush()

        with pytest.raises(Unavailable, match="disk is full") as caught, store.account(one, write=True) as unit:
            fill(unit)
        assert caught.value.code == "disk_full"
        with store.account(one) as unit:
            assert unit.count(User) == 1
        store.close()

    def test_read_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = self.store(tmp_path, monkeypatch)
        one, _ = make(store, "one")

        def write(unit: Unit) -> None:
            unit.session.connection().exec_driver_sql("PRAGMA query_only = ON")
            unit.add(a_user("new"))

        with pytest.raises(Unavailable, match="only be read") as caught, store.account(one, write=True) as unit:
            write(unit)
        assert caught.value.code == "database_read_only"
        store.close()

    def test_database_gone(self, tmp_path: Path) -> None:
        for url in (str(tmp_path / "no" / "x.sqlite"), f"postgresql://x@/x?host={tmp_path}"):
            store = Store(url, FakeClock())
            with pytest.raises(Unavailable) as caught, store.operator() as unit:
                unit.count(Account)
            assert caught.value.code == "database_gone"
            store.close()

    def test_a_bug_stays_a_bug(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path / "x.sqlite"), FakeClock())
        with pytest.raises(OperationalError), store.operator() as unit:
            unit.count(Account)  # no such table
        store.close()

    def test_postgres_states(self) -> None:
        class Original(Exception):
            def __init__(self, sqlstate: str | None) -> None:
                self.sqlstate = sqlstate

        states = {"53100": "disk_full", "55P03": "database_busy", "57P01": "database_gone"}
        for state, code in states.items():
            problem = db.translate(OperationalError("x", None, Original(state)))
            assert isinstance(problem, Unavailable)
            assert problem.code == code
        assert isinstance(db.translate(OperationalError("x", None, Original("42P01"))), OperationalError)
        assert isinstance(db.translate(db.PoolTimeout()), Unavailable)


def test_sqlite_is_set_up_as_promised(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "x.sqlite"), FakeClock())
    with store.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 5000}
    store.close()


def test_addresses() -> None:
    assert database_url("/x/y.sqlite").render_as_string() == "sqlite:////x/y.sqlite"
    assert database_url("postgresql://a@b/c").drivername == "postgresql+psycopg"
    with pytest.raises(Broken):
        database_url("mysql://a@b/c")
