"""Accounts, users, and how users prove who they are."""

from __future__ import annotations

from sqlalchemy import Double, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from access.models.base import ID_LENGTH, AccountBound, Base, Row

HASH_LENGTH = 64  # SHA-256 in hex


class Account(Row, Base):
    """A tenant."""

    __tablename__ = "accounts"

    slug: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    created: Mapped[float] = mapped_column(Double)


class User(Row, AccountBound, Base):
    """A person of an account. `role` is administrator or member."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    name: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(200))
    disabled: Mapped[bool] = mapped_column(default=False)
    created: Mapped[float] = mapped_column(Double)


class Factor(Row, AccountBound, Base):
    """A TOTP secret, sealed for context "totp:<user id>". `confirmed` is None until a code proved that it arrived.

    INVARIANT: `last_step` only grows; a code of that step or an older one is a replay.
    """

    __tablename__ = "factors"

    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("users.id", ondelete="CASCADE"), index=True)
    sealed: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column(Double)
    confirmed: Mapped[float | None] = mapped_column(Double)
    last_step: Mapped[int] = mapped_column(Integer, default=0)


class RecoveryCode(Row, AccountBound, Base):
    """A single-use code for who lost the authenticator; keyed digest only."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("users.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    used: Mapped[float | None] = mapped_column(Double)


class UserSession(Row, AccountBound, Base):
    """A sign-in. `stage` is factor, enrol or full; `ended` is None while it may be used."""

    __tablename__ = "sessions"

    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    stage: Mapped[str] = mapped_column(String(8))
    created: Mapped[float] = mapped_column(Double)
    last_seen: Mapped[float] = mapped_column(Double, index=True)
    address: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(300))
    ended: Mapped[float | None] = mapped_column(Double)
    end_reason: Mapped[str | None] = mapped_column(String(32))


class Grant(Row, AccountBound, Base):
    """A level given to a user: for all devices, for one device, or for one service of one device."""

    __tablename__ = "grants"
    __table_args__ = (Index("ix_grants_scope", "user_id", "device_id", "service_id"),)

    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("users.id", ondelete="CASCADE"))
    device_id: Mapped[str | None] = mapped_column(String(ID_LENGTH), ForeignKey("devices.id", ondelete="CASCADE"))
    service_id: Mapped[str | None] = mapped_column(String(ID_LENGTH), ForeignKey("services.id", ondelete="CASCADE"))
    level: Mapped[str] = mapped_column(String(8))


class LoginFailure(Base):
    """Wrong passwords and codes in a row, by the digest of account and user name: names nobody has count as well."""

    __tablename__ = "login_failures"

    subject: Mapped[str] = mapped_column(String(HASH_LENGTH), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last: Mapped[float] = mapped_column(Double, index=True)
    locked_until: Mapped[float | None] = mapped_column(Double)


class SetupCode(Base):
    """The one-time code that may create the first account."""

    __tablename__ = "setup_codes"

    digest: Mapped[str] = mapped_column(String(HASH_LENGTH), primary_key=True)
    created: Mapped[float] = mapped_column(Double)
    used: Mapped[float | None] = mapped_column(Double)
