"""Devices and what they offer, the servers between them and browsers, and who uses what at the moment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from access.models.base import ID_LENGTH, AccountBound, Base, Row

HASH_LENGTH = 64  # SHA-256 in hex
LABEL_LENGTH = 63  # one DNS label
SLUG_LENGTH = 32
NAME_LENGTH = 100
ADDRESS_LENGTH = 64


class Device(Row, AccountBound, Base):
    """A machine's agent. A deleted one keeps its row: its slug, and with it its host names, are never given again.

    INVARIANT: `serial` is set exactly while an agent is bound; no two devices of the installation have the same.
    INVARIANT: `config_version` only grows.
    """

    __tablename__ = "devices"
    __table_args__ = (UniqueConstraint("account_id", "slug"),)

    slug: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    site: Mapped[str] = mapped_column(String(NAME_LENGTH), default="")
    description: Mapped[str] = mapped_column(String(1000), default="")
    lan: Mapped[list[str]] = mapped_column(JSON, default=list)
    level: Mapped[str] = mapped_column(String(10), default="enforced")
    config_version: Mapped[int] = mapped_column(Integer, default=1)
    serial: Mapped[str | None] = mapped_column(String(NAME_LENGTH), unique=True)
    hostname: Mapped[str] = mapped_column(String(NAME_LENGTH), default="")
    agent_version: Mapped[str] = mapped_column(String(32), default="")
    agent_lan: Mapped[list[str]] = mapped_column(JSON, default=list)
    fingerprint: Mapped[str | None] = mapped_column(String(HASH_LENGTH))
    enrolled: Mapped[float | None] = mapped_column(Double)
    created: Mapped[float] = mapped_column(Double)
    deleted: Mapped[float | None] = mapped_column(Double)


class Service(Row, AccountBound, Base):
    """One target on a device's LAN (kind "lan"), or of the agent itself ("agent")."""

    __tablename__ = "services"
    __table_args__ = (UniqueConstraint("device_id", "slug"),)

    device_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    slug: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    host: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    port: Mapped[int] = mapped_column(Integer)
    protocol: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(512), default="/")
    visible: Mapped[bool] = mapped_column(default=False)
    kind: Mapped[str] = mapped_column(String(8), default="lan")
    host_label: Mapped[str] = mapped_column(String(LABEL_LENGTH), unique=True)
    sealed_password: Mapped[str | None] = mapped_column(Text)
    tls_verify: Mapped[str] = mapped_column(String(8), default="none")
    tls_pin: Mapped[str | None] = mapped_column(String(HASH_LENGTH))
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # panelgate.options, what differs from defaults
    public_port: Mapped[int | None] = mapped_column(Integer, unique=True)  # where services have a port each, not a name
    created: Mapped[float] = mapped_column(Double)


class PublicPort(Base):
    """A port that a service has or had as its origin. It outlives the service: `freed` says since when nobody has it.

    INVARIANT: `freed` is None while a service has the port.
    """

    __tablename__ = "public_ports"

    port: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    freed: Mapped[float | None] = mapped_column(Double)


class ActivationKey(Row, AccountBound, Base):
    """A one-time key for a device's enrolment. Kept after use, so that a second use is told apart from a wrong key."""

    __tablename__ = "activation_keys"

    device_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    created: Mapped[float] = mapped_column(Double)
    expires: Mapped[float] = mapped_column(Double)
    used: Mapped[float | None] = mapped_column(Double)
    withdrawn: Mapped[float | None] = mapped_column(Double)


class Certificate(Row, AccountBound, Base):
    """Every certificate that was issued. One that is not in this table, or is revoked here, opens nothing."""

    __tablename__ = "certificates"
    __table_args__ = (Index("ix_certificates_subject", "role", "subject_id"),)

    account_id: Mapped[str | None] = mapped_column(  # type: ignore[assignment]
        String(ID_LENGTH), ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    fingerprint: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    issued: Mapped[float] = mapped_column(Double)
    not_after: Mapped[float] = mapped_column(Double)
    revoked_at: Mapped[float | None] = mapped_column(Double)
    revoked_reason: Mapped[str | None] = mapped_column(String(32))


class JoinToken(Row, Base):
    """A one-time token with which a relay or a web proxy joins the installation."""

    __tablename__ = "join_tokens"

    role: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    created: Mapped[float] = mapped_column(Double)
    expires: Mapped[float] = mapped_column(Double)
    used: Mapped[float | None] = mapped_column(Double)


class Relay(Row, Base):
    """A relay that has joined. `last_report` is None until it registered; its url is empty until then."""

    __tablename__ = "relays"

    url: Mapped[str] = mapped_column(String(255), default="")
    version: Mapped[str] = mapped_column(String(32), default="")
    joined: Mapped[float] = mapped_column(Double)
    registered: Mapped[float | None] = mapped_column(Double)
    last_report: Mapped[float | None] = mapped_column(Double)
    circuits: Mapped[int] = mapped_column(Integer, default=0)
    devices: Mapped[int] = mapped_column(Integer, default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)


class Presence(AccountBound, Base):
    """Where a device's control connection is. `counter` and `relay_id` are what the last connect was given;
    `up_counter` and `up_relay_id` what a relay last reported as connected.

    INVARIANT: a report with a counter below `up_counter` changes nothing.
    """

    __tablename__ = "presence"

    device_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True
    )
    counter: Mapped[int] = mapped_column(BigInteger, default=0)
    relay_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    wanted_relay_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    up_counter: Mapped[int] = mapped_column(BigInteger, default=0)
    up_relay_id: Mapped[str | None] = mapped_column(String(ID_LENGTH), index=True)
    online: Mapped[bool] = mapped_column(default=False)
    since: Mapped[float | None] = mapped_column(Double)
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH), default="")


class SigningKey(Base):
    """A ticket key. It is published from `created` on and signs from `signs_from` on, until a newer one does."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    public: Mapped[dict[str, str]] = mapped_column(JSON)
    sealed_private: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column(Double)
    signs_from: Mapped[float] = mapped_column(Double)


class Handoff(Row, AccountBound, Base):
    """A one-time code that carries a sign-in from the portal to one service's origin in one browser."""

    __tablename__ = "handoffs"

    code_hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    session_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("sessions.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("users.id", ondelete="CASCADE"))
    service_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("services.id", ondelete="CASCADE"))
    host_label: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    nonce_hash: Mapped[str] = mapped_column(String(HASH_LENGTH))
    expires: Mapped[float] = mapped_column(Double, index=True)
    used: Mapped[float | None] = mapped_column(Double)


class ServiceSession(Row, AccountBound, Base):
    """One browser's sign-in at one service's origin: a child of the portal session.

    INVARIANT: it is never alive when its portal session is not.
    """

    __tablename__ = "service_sessions"

    token_hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    session_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("users.id", ondelete="CASCADE"))
    device_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    service_id: Mapped[str] = mapped_column(String(ID_LENGTH), ForeignKey("services.id", ondelete="CASCADE"))
    host_label: Mapped[str] = mapped_column(String(LABEL_LENGTH))
    created: Mapped[float] = mapped_column(Double)
    last_seen: Mapped[float] = mapped_column(Double)
    expires: Mapped[float] = mapped_column(Double, index=True)
    ended: Mapped[float | None] = mapped_column(Double)


class Circuit(Row, AccountBound, Base):
    """A circuit that a web proxy was allowed to open; what must be cut when the permission behind it goes."""

    __tablename__ = "circuits"

    session_id: Mapped[str] = mapped_column(String(ID_LENGTH), index=True)
    user_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    device_id: Mapped[str] = mapped_column(String(ID_LENGTH), index=True)
    services: Mapped[list[str]] = mapped_column(JSON)
    purpose: Mapped[str] = mapped_column(String(8))
    read_only: Mapped[bool] = mapped_column(default=False)
    relay_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    webproxy_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    created: Mapped[float] = mapped_column(Double, index=True)
    cut: Mapped[float | None] = mapped_column(Double)


class Connection(Row, AccountBound, Base):
    """One user's open use of one service. Names are copied: the row outlives user, device and service.

    INVARIANT: `ended` is set once, together with the audit row.
    """

    __tablename__ = "connections"
    __table_args__ = (Index("ix_connections_open", "ended", "last_report"),)

    user_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    user: Mapped[str] = mapped_column(String(NAME_LENGTH))
    session_id: Mapped[str] = mapped_column(String(ID_LENGTH), index=True)
    service_session_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    device_id: Mapped[str] = mapped_column(String(ID_LENGTH), index=True)
    device: Mapped[str] = mapped_column(String(NAME_LENGTH))
    service_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    service: Mapped[str] = mapped_column(String(NAME_LENGTH))
    protocol: Mapped[str] = mapped_column(String(8))
    circuit_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    webproxy_id: Mapped[str] = mapped_column(String(ID_LENGTH), index=True)
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    user_agent: Mapped[str] = mapped_column(String(300))
    started: Mapped[float] = mapped_column(Double, index=True)
    last_activity: Mapped[float] = mapped_column(Double)
    last_report: Mapped[float] = mapped_column(Double)
    ended: Mapped[float | None] = mapped_column(Double)
    end_reason: Mapped[str | None] = mapped_column(String(100))
    bytes_up: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes_down: Mapped[int] = mapped_column(BigInteger, default=0)
