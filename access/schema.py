"""The database's schema: bringing it up to date, and refusing to work on another one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from access.db import WRITE, Store, translate
from panelgate.errors import BadInput, Broken, PanelgateError

FOLDER = Path(__file__).parent / "migrations"
COMMAND = "panelgate access migrate"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def newest() -> str:
    """The revision that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise Broken("no_migrations", "The installation is incomplete: its database migrations are missing.")
    return head


def present(engine: Engine) -> str | None:
    """The revision that the database has; None when it is empty."""
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except Exception as error:
        problem = translate(error)
        if isinstance(problem, PanelgateError):
            raise problem from error
        raise


def save_copy(store: Store) -> Path | None:
    """Copy an SQLite database beside itself before it is changed; the copy, or None when there is nothing to change.

    BadInput for PostgreSQL, which brings its own backup.
    """
    have = present(store.engine)
    if have is None or have == newest():
        return None
    name = store.engine.url.database
    if store.engine.url.get_backend_name() != "sqlite" or not name:
        raise BadInput("no_copy", "Only an SQLite database can be copied here. Make a backup with pg_dump.")
    copy = Path(f"{name}.before-{newest()}")
    with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.chmod(0o600)
    return copy


def migrate(store: Store) -> tuple[str | None, str]:
    """Bring the database up to date; (revision before, revision now). Running servers must be stopped first."""
    before = present(store.engine)
    config = _config()
    # SQLite changes tables in one transaction as well, when it is begun explicitly (access.db does).
    with store.engine.execution_options(**{WRITE: True}).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, newest()


def check(store: Store) -> None:
    """Broken unless the database has exactly the schema of this code; the message names the command."""
    have, need = present(store.engine), newest()
    if have == need:
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if have is not None and have not in known:
        raise Broken(
            "schema_too_new",
            "The database was written by a newer version of Panelgate. Install that version, or restore a backup.",
            {"have": have, "need": need},
        )
    what = "is empty" if have is None else "has the schema of an older version"
    raise Broken(
        "schema_old",
        f"The database {what}. Stop all access servers, make a backup, then run: {COMMAND}",
        {"have": have, "need": need},
    )


def is_empty(store: Store) -> bool:
    """Whether the database has no table yet."""
    return not inspect(store.engine).get_table_names()
