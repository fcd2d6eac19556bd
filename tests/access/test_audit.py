"""The audit trail: what is written, found again, and shown to be whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, update

from access import audit
from access.db import Store
from access.kernel import Kernel
from access.models.audit import AuditHead, AuditRow
from panelgate.errors import BadInput, Broken
from tests.fakes.access_world import make_account


@pytest.fixture
def account(both_kernel: Kernel) -> str:
    return make_account(both_kernel, "acme")[0]  # which writes row 1


@pytest.fixture
def store(both_kernel: Kernel) -> Store:
    return both_kernel.store


def write(store: Store, account: str, times: int = 1, **columns: object) -> None:
    for _ in range(times):
        with store.account(account, write=True) as unit:
            audit.append(unit, **({"action": "connection"} | columns))  # type: ignore[arg-type]


def verify(store: Store, account: str) -> audit.Verdict:
    with store.account(account) as unit:
        return audit.verify(unit)


def test_a_row_as_the_api_shows_it(store: Store, account: str) -> None:
    write(
        store, account, user="anna", device="press", service="hmi", address="203.0.113.7", duration=12.5,
        bytes_up=2**40, bytes_down=7, facts={"reason": "closed", "ü": 1},
    )  # fmt: skip
    with store.account(account) as unit:
        (row, _), following = audit.page(unit)
        shown = audit.as_json(row)
    assert following is None
    assert len(shown.pop("id")) == 32
    assert shown == {
        "time": "2027-01-15T08:00:00Z", "action": "connection", "user": "anna", "device": "press", "service": "hmi",
        "address": "203.0.113.7", "result": "ok", "facts": {"reason": "closed", "ü": 1}, "duration": 12.5,
        "bytes_up": 2**40, "bytes_down": 7,
    }  # fmt: skip


def test_pages_and_filters(store: Store, account: str) -> None:
    write(store, account, 5, action="signin.password", result="failed", user="bert")
    write(store, account, 5, user="50%_off")
    with store.account(account) as unit:
        first, following = audit.page(unit, limit=4)
        second, after = audit.page(unit, limit=4, before=following)
        third, end = audit.page(unit, limit=4, before=after)
        numbers = [row.number for row in (*first, *second, *third)]
        assert (numbers, end) == (list(range(11, 0, -1)), None)
        assert [row.number for row in audit.page(unit, action="signin")[0]] == [6, 5, 4, 3, 2]
        assert len(audit.page(unit, action="connection")[0]) == 5
        assert audit.page(unit, action="sign")[0] == []
        assert len(audit.page(unit, q="BER")[0]) == 5
        assert len(audit.page(unit, q="%_")[0]) == 5
        assert audit.page(unit, q="e%t")[0] == []
        for limit in (0, 501):
            with pytest.raises(BadInput):
                audit.page(unit, limit=limit)


def test_only_events_of_the_table_can_be_written(store: Store, account: str) -> None:
    for columns in ({"action": "coffee"}, {"result": "perhaps"}):
        with pytest.raises(Broken):
            write(store, account, **columns)
    assert all(text and name == name.lower() for name, text in audit.ACTIONS.items())


def test_each_account_has_a_chain_of_its_own_and_the_installation_one(store: Store, both_kernel: Kernel) -> None:
    one, two = make_account(both_kernel, "one")[0], make_account(both_kernel, "two")[0]
    write(store, one, 3)
    with store.operator(write=True) as unit:
        audit.append(unit, "role.join")
    for account, rows in ((one, 4), (two, 1)):
        assert verify(store, account) == audit.Verdict(True, rows, None)
    with store.operator() as unit:
        assert audit.verify(unit) == audit.Verdict(True, 1, None)
        assert [row.action for row in audit.page(unit)[0]] == ["role.join"]
    with store.account(two) as unit:
        assert len(audit.page(unit)[0]) == 1


def test_writers_side_by_side_make_one_chain(store: Store, account: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, store, account, 5) for _ in range(4)]:
            done.result()
    assert verify(store, account) == audit.Verdict(True, 21, None)


def test_a_long_trail_is_checked_in_parts(store: Store, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "VERIFY_BATCH", 3)
    write(store, account, 8)
    assert verify(store, account) == audit.Verdict(True, 9, None)


@pytest.mark.parametrize(
    "column", [c.key for c in AuditRow.__mapper__.column_attrs if c.key not in ("account_id", "hash", "chain")]
)
def test_any_altered_column_shows(kernel: Kernel, column: str) -> None:
    store, account = kernel.store, make_account(kernel, "acme")[0]
    write(store, account, 4, user="anna", duration=1.0, bytes_up=1, bytes_down=1)
    changed = {"number": 99, "time": 5.0, "duration": 5.0, "bytes_up": 5, "bytes_down": 5}.get(column, "other")
    with store.operator(write=True) as unit:
        where = (AuditRow.number == 3, AuditRow.chain == account)
        unit.session.execute(update(AuditRow).where(*where).values({column: changed}))
    verdict = verify(store, account)
    assert (verdict.ok, verdict.first_bad) == (False, 3)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_removed_row_shows(store: Store, account: str, number: int) -> None:
    write(store, account, 4)
    with store.operator(write=True) as unit:
        unit.session.execute(delete(AuditRow).where(AuditRow.number == number, AuditRow.chain == account))
    verdict = verify(store, account)
    assert (verdict.ok, verdict.first_bad) == (False, number)


def test_removing_everything_shows_unless_the_head_goes_too(store: Store, account: str) -> None:
    with store.operator(write=True) as unit:
        unit.session.execute(delete(AuditRow))
    assert verify(store, account) == audit.Verdict(False, 0, 1)
    with store.operator(write=True) as unit:
        unit.session.execute(delete(AuditHead))
    assert verify(store, account) == audit.Verdict(True, 0, None)
