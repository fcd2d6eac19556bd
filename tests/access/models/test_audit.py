"""The audit's table: a number is given once in a chain, and big counts fit."""

from __future__ import annotations

import pytest

from access.db import Store
from access.models.audit import AuditRow
from access.models.people import Account
from panelgate.errors import Unavailable


def row(number: int, **more: object) -> AuditRow:
    values = {"chain": "c", "time": 1.5, "action": "setup", "result": "ok", "facts": "{}", "previous": "", "hash": ""}
    return AuditRow(number=number, **(values | more))


def test_numbers_are_unique_in_a_chain(store: Store) -> None:
    with store.operator(write=True) as unit:
        unit.add(row(1))
        unit.add(row(1, chain="other"))
    with pytest.raises(Unavailable, match="same moment"), store.operator(write=True) as unit:
        unit.add(row(1))


def test_a_row_may_belong_to_an_account_or_to_none(store: Store) -> None:
    with store.operator(write=True) as unit:
        account = unit.add(Account(slug="acme", name="Acme", created=1.0)).id
        unit.add(row(1))
    with store.account(account, write=True) as unit:
        unit.add(row(2, bytes_up=2**50, time=1_800_000_000.123456))
    with store.account(account) as unit:
        (found,) = unit.all(AuditRow)
        assert (found.account_id, found.bytes_up, found.time) == (account, 2**50, 1_800_000_000.123456)
