"""What every table shares: naming, ids, and the mark that a row belongs to an account."""

from __future__ import annotations

import uuid

from sqlalchemy import ForeignKey, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Names of constraints are fixed, so that a migration can name what it drops on both databases.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

ID_LENGTH = 32  # a UUID4 in hex


def new_id() -> str:
    """A new id: UUID4 in hex, 32 characters."""
    return uuid.uuid4().hex


class Base(DeclarativeBase):
    """Base of all tables. Times are unix seconds (double precision), ids are UUID4 in hex."""

    metadata = MetaData(naming_convention=NAMING)


class Row:
    """A table whose key is an id of ours."""

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id)


class AccountBound:
    """A table whose rows belong to one account.

    INVARIANT: a unit bound to account X neither reads nor writes rows whose account_id is not X (access.db).
    """

    account_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
