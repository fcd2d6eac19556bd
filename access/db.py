"""The database: engine, transactions, and units of work bound to one account.

A `Store` hands out units. A unit of `store.account(id)` sees and writes rows of that account only: every query made
through its session gets the account's condition added, every flush is checked, and statements the check can't see
through (raw SQL, bulk inserts) are refused. `store.operator()` is the one way to look across accounts.

A unit is one transaction: it commits at the end of the `with` block, rolls back when the block raises. Events given to
`unit.publish` go out after the commit, and only then. Never hold a writing unit open while hashing a password or
talking to a network: on SQLite it is the only writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import InstrumentedAttribute, ORMExecuteState, Session, UOWTransaction, with_loader_criteria

from access.models.base import AccountBound, Base
from access.models.machines import Device  # noqa: F401 - grants name its table
from access.models.people import Account
from panelgate.clock import Clock
from panelgate.errors import Broken, PanelgateError, Refused, Unavailable
from panelgate.log import get_logger

log = get_logger("access.db")

BUSY_SECONDS = 5.0  # how long a writer waits for another one; longer than any transaction of ours should take
POOL_SIZE = 10  # connections kept; FastAPI's thread pool has 40 threads, most of them not in a transaction
POOL_OVERFLOW = 40
POOL_WAIT_SECONDS = 10.0  # a request that waits longer for a connection is answered "busy"
WRITE = "panelgate_write"

T = TypeVar("T", bound=Base)
Publisher = Callable[[dict[str, Any]], None]


class BoundSession(Session):
    """A session whose `info["account_id"]`, when there, limits everything it reads and writes."""


@event.listens_for(BoundSession, "do_orm_execute")
def _limit_to_account(state: ORMExecuteState) -> None:
    account_id = state.session.info.get("account_id")
    if account_id is None:
        return
    if not state.is_orm_statement or not (state.is_select or state.is_update or state.is_delete):
        raise Broken("unbound_statement", "this statement can't be limited to one account")
    if state.is_column_load or state.is_relationship_load:
        return  # the condition travels with the objects already loaded
    state.statement = state.statement.options(
        with_loader_criteria(AccountBound, lambda cls: cls.account_id == account_id, include_aliases=True),
        with_loader_criteria(Account, lambda cls: cls.id == account_id, include_aliases=True),
    )


@event.listens_for(BoundSession, "before_flush")
def _check_account(session: Session, _context: UOWTransaction, _instances: object) -> None:
    account_id = session.info.get("account_id")
    if account_id is None:
        return
    for row in session.new:
        if isinstance(row, AccountBound) and row.account_id is None:
            row.account_id = account_id
    for row in (*session.new, *session.dirty, *session.deleted):
        owner = row.id if isinstance(row, Account) else getattr(row, "account_id", account_id)
        if owner != account_id:
            raise Broken("foreign_row", "a row of another account was about to be written")


class Unit:
    """One transaction. `account_id` is the account it is bound to, None for the operator; `now` is unix seconds."""

    def __init__(self, session: Session, account_id: str | None, now: float) -> None:
        self.session = session
        self.account_id = account_id
        self.now = now
        self.events: list[dict[str, Any]] = []

    @property
    def account(self) -> str:
        """The id of the account this unit is bound to; Broken for the operator's."""
        if self.account_id is None:
            raise Broken("no_account", "this needs a unit bound to an account")
        return self.account_id

    def bind(self, account_id: str) -> Unit:
        """Limit this unit (the operator's) to one account from here on, in the same transaction; the same unit."""
        if self.account_id not in (None, account_id):
            raise Broken("bound_already", "this unit belongs to another account")
        self.session.flush()
        self.session.info["account_id"] = self.account_id = account_id
        _hold(self.session, account_id)
        return self

    def find(self, model: type[T], *where: Any) -> T | None:
        """The one row that matches, or None."""
        return self.session.scalars(select(model).where(*where).limit(2)).one_or_none()

    def get(self, model: type[T], row_id: str) -> T | None:
        """The row with this id, or None: also None when it belongs to another account."""
        return self.find(model, model.id == row_id)  # type: ignore[attr-defined]

    def need(self, model: type[T], row_id: str) -> T:
        """The row with this id; the neutral `not_found` when there is none here, whoever else may own it."""
        row = self.get(model, row_id)
        if row is None:
            raise not_found()
        return row

    def all(self, model: type[T], *where: Any, order: Any = None, limit: int | None = None) -> Sequence[T]:
        """All rows that match, in the order of the column(s) `order`."""
        query = select(model).where(*where)
        if order is not None:
            query = query.order_by(*order) if isinstance(order, tuple) else query.order_by(order)
        return self.session.scalars(query.limit(limit)).all()

    def select(self, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        """The rows of a query of your own (joins, columns); limited to the account like any other."""
        return self.session.execute(query).all()

    def count(self, model: type[T], *where: Any) -> int:
        """How many rows match."""
        return self.session.scalar(select(func.count()).select_from(model).where(*where)) or 0

    def add(self, row: T) -> T:
        """Write a new row at once, so that a broken rule shows here; it gets the unit's account if it needs one."""
        self.session.add(row)
        self.session.flush()
        return row

    def delete(self, row: Base) -> None:
        """Delete a row at once."""
        self.session.delete(row)
        self.session.flush()

    def lock(self) -> Account:
        """Let no other writer work on this account until the unit ends (SQLite: already so); the account."""
        # key_share: rows that only name the account may still be added by others.
        query = select(Account).where(Account.id == self.account).with_for_update(key_share=True)
        row = self.session.scalars(query).one_or_none()
        if row is None:
            raise not_found()
        return row

    def publish(self, what: dict[str, Any]) -> None:
        """Send an event to subscribers once this unit has committed."""
        self.events.append(what)


def not_found() -> Refused:
    """The one neutral answer for what is unknown, foreign or not to be seen."""
    return Refused("not_found", "There is nothing here for you under this name.", status=404)


class Store:
    """The database behind units of work. `url` is an SQLAlchemy URL, or a path of an SQLite file."""

    def __init__(self, url: str, clock: Clock, publish: Publisher | None = None) -> None:
        self.url = database_url(url)
        self.clock = clock
        self.engine = make_engine(self.url)
        self._writer = self.engine.execution_options(**{WRITE: True})
        self._publish = publish

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def account(self, account_id: str, *, write: bool = False) -> Iterator[Unit]:
        """A unit bound to one account. Unavailable when the database can't be used now."""
        with self._unit(account_id, write) as unit:
            yield unit

    @contextmanager
    def operator(self, *, write: bool = False) -> Iterator[Unit]:
        """A unit across accounts: for the operator, and for rows that belong to the installation."""
        with self._unit(None, write) as unit:
            yield unit

    def account_of(self, column: InstrumentedAttribute[Any], value: object) -> str | None:
        """The account of the row whose unique `column` is `value` (a secret's hash): asked before one is known."""
        model = column.class_
        owner = model.id if model is Account else model.account_id
        with self._unit(None, False) as unit:
            return unit.session.scalar(select(owner).where(column == value))

    @contextmanager
    def _unit(self, account_id: str | None, write: bool) -> Iterator[Unit]:
        engine = self._writer if write else self.engine
        session = BoundSession(engine, expire_on_commit=False, autoflush=True)
        session.info["write"] = write
        unit = Unit(session, account_id, self.clock.now())
        try:
            if account_id is not None:
                session.info["account_id"] = account_id
                _hold(session, account_id)
            yield unit
            if write:
                session.commit()
            elif session.new or session.dirty or session.deleted:
                raise Broken("read_only_unit", "a reading unit was about to write")
        except PanelgateError:
            session.rollback()
            raise
        except (DBAPIError, PoolTimeout) as error:
            _quietly(session.rollback)
            raise translate(error) from error
        except BaseException:
            _quietly(session.rollback)
            raise
        finally:
            _quietly(session.close)
        if self._publish is not None:
            for what in unit.events:
                self._publish(what)


def _hold(session: Session, account_id: str) -> None:
    """On PostgreSQL let one writer at a time work on an account, as SQLite does by itself for the whole file.

    Without it two units that lock the same rows in another order (a session, the audit's head) would deadlock.
    """
    if session.info["write"] and session.get_bind().dialect.name == "postgresql":
        key = int(account_id[:15], 16)  # 60 bits of the id: a collision costs a wait, nothing else
        session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))


def _quietly(step: Callable[[], None]) -> None:
    """Run a clean-up step whose own database error must not hide the first one."""
    try:
        step()
    except DBAPIError as error:
        log.warning("cleanup_failed", error=type(error.orig).__name__)


def database_url(text: str) -> URL:
    """An SQLAlchemy URL from a setting: a path becomes SQLite, `postgresql://` gets the psycopg driver."""
    if "://" not in text:
        return URL.create("sqlite", database=text)
    url = make_url(text)
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise Broken("bad_database", "the database must be SQLite or PostgreSQL", {"driver": url.drivername})
    return url


def make_engine(url: URL) -> Engine:
    """An engine with our rules: SQLite in WAL mode with foreign keys and immediate writers, PostgreSQL as it is."""
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=not sqlite, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False} if sqlite else {},
    )  # fmt: skip
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: _begin_sqlite does
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
        "journal_mode = WAL",  # readers go on while someone writes
        "synchronous = FULL",  # a used activation key stays used after a power cut
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred writer that read first fails at once when another one wrote in between: take the lock at the start.
    writer = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


def _prepare_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{int(BUSY_SECONDS * 1000)}ms'")
        cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
    connection.commit()


_SQLITE_CODES = {
    "SQLITE_FULL": "disk_full", "SQLITE_IOERR": "disk_error", "SQLITE_BUSY": "database_busy",
    "SQLITE_LOCKED": "database_busy", "SQLITE_READONLY": "database_read_only", "SQLITE_CANTOPEN": "database_gone",
    "SQLITE_CORRUPT": "database_damaged", "SQLITE_NOTADB": "database_damaged",
}  # fmt: skip
_POSTGRES_CODES = {
    "53100": "disk_full", "55P03": "database_busy", "40P01": "database_busy", "40001": "database_busy",
    "53300": "database_busy", "25006": "database_read_only", "58030": "disk_error",
}  # fmt: skip
WORDS = {
    "disk_full": "The access server's disk is full: nothing was changed. Free some space on it, then try again.",
    "disk_error": "The access server could not read or write its disk: nothing was changed. Check the disk.",
    "database_busy": "The database is locked by another process: nothing was changed. Try again in a moment.",
    "database_read_only": "The database can only be read now: nothing was changed. Check the rights of its file.",
    "database_gone": "The access server can't reach its database. Check that it is running and the address is right.",
    "database_damaged": "The database file is damaged. Stop the access server and restore the last backup.",
}


def translate(error: Exception) -> Exception:
    """A database error in clear words: Unavailable when it is about now, Refused when a rule of the data said no."""
    if isinstance(error, IntegrityError):
        # Callers check before they write; what is left is a race that somebody else won.
        return Unavailable("conflict", "Somebody else changed this at the same moment. Load it again.", status=409)
    code = "database_busy"
    if isinstance(error, DBAPIError):
        code = _code_of(error)
        if not code:
            return error
    log.error("database_unusable", code=code)
    return Unavailable(code, WORDS[code])


def _code_of(error: DBAPIError) -> str:
    """Our code for a driver's error, "" when it says nothing about the state of the database."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "") or ""
        return next((code for prefix, code in _SQLITE_CODES.items() if name.startswith(prefix)), "")
    state = getattr(original, "sqlstate", None) or ""
    if state in _POSTGRES_CODES:
        return _POSTGRES_CODES[state]
    lost = error.connection_invalidated or state[:2] in ("08", "57") or not state
    return "database_gone" if lost else ""
