"""The audit trail: rows chained by hash, one chain per account and one for the installation."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from access.models.base import ID_LENGTH, AccountBound, Base, Row

HASH_LENGTH = 64


class AuditRow(Row, AccountBound, Base):
    """One event. Names are copied, so that a row still says something when its user or device is gone.

    INVARIANT: written once, never changed; `hash` covers every other column and the previous row's hash.
    """

    __tablename__ = "audit"
    __table_args__ = (UniqueConstraint("chain", "number"),)

    account_id: Mapped[str | None] = mapped_column(  # type: ignore[assignment]
        String(ID_LENGTH), ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
    chain: Mapped[str] = mapped_column(String(ID_LENGTH))
    number: Mapped[int] = mapped_column(Integer)
    time: Mapped[float] = mapped_column(Double)
    action: Mapped[str] = mapped_column(String(40), index=True)
    result: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    user: Mapped[str | None] = mapped_column(String(100))
    device_id: Mapped[str | None] = mapped_column(String(ID_LENGTH), index=True)
    device: Mapped[str | None] = mapped_column(String(100))
    service: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(64))
    facts: Mapped[str] = mapped_column(Text)
    duration: Mapped[float | None] = mapped_column(Double)
    bytes_up: Mapped[int | None] = mapped_column(BigInteger)
    bytes_down: Mapped[int | None] = mapped_column(BigInteger)
    previous: Mapped[str] = mapped_column(String(HASH_LENGTH))
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))


class AuditHead(Base):
    """Where a chain ends: taken with a row lock by who appends, and what shows that the newest rows were removed."""

    __tablename__ = "audit_heads"

    chain: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))
