"""What all tables share."""

from __future__ import annotations

from access.models.base import ID_LENGTH, Base, new_id


def test_ids() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == ID_LENGTH and set(one) <= set("0123456789abcdef") for one in ids)


def test_every_constraint_has_a_name_that_a_migration_can_use() -> None:
    for table in Base.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name
        assert all(len(str(thing.name)) <= 63 for thing in (*table.constraints, *table.indexes)), table.name
