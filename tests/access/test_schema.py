"""The migrations make what the models say, on both databases, and an old schema is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from access import schema
from access.db import Store
from access.models.tables import metadata
from panelgate.clock import FakeClock
from panelgate.errors import Broken, Unavailable


@pytest.fixture
def store(empty_url: str) -> Store:
    return Store(empty_url, FakeClock())


def test_migrations_and_models_agree(store: Store) -> None:
    assert schema.is_empty(store)
    assert schema.migrate(store) == (None, schema.newest())
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
    assert differences == [], "the models changed: write a migration"
    assert not schema.is_empty(store)
    assert schema.migrate(store) == (schema.newest(), schema.newest())
    schema.check(store)
    store.close()


def test_migrations_can_be_undone(store: Store) -> None:
    schema.migrate(store)
    config = schema._config()
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(store.engine).get_table_names() == ["alembic_version"]
    store.close()


def test_an_empty_or_older_database_names_the_command(store: Store) -> None:
    with pytest.raises(Broken, match="panelgate access migrate") as caught:
        schema.check(store)
    assert caught.value.facts == {"have": None, "need": schema.newest()}
    store.close()


def test_a_newer_database_is_left_alone(store: Store) -> None:
    schema.migrate(store)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Broken, match="newer version") as caught:
        schema.check(store)
    assert caught.value.code == "schema_too_new"
    store.close()


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "no" / "x.sqlite"), FakeClock())
    with pytest.raises(Unavailable):
        schema.check(store)
    store.close()
