"""Connections: one user's open use of one service. Web proxies report them; each ends as one audit row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from access import audit, service_sessions
from access.db import Store, Unit
from access.models.machines import Circuit, Connection, Service
from access.service_sessions import Held
from access.sessions import Client, Limits
from panelgate.clock import iso
from panelgate.errors import BadInput, Refused
from panelgate.pki import Peer

LOST_SECONDS: Final = 30.0  # six reports of a web proxy
REASON_LENGTH: Final = 100
LOST: Final = "web proxy lost"


@dataclass(frozen=True, slots=True)
class Report:
    """What a web proxy says of one connection: bytes since its start, last activity in unix seconds.

    `up` is towards the device. `ended` is the reason of the end, None while it is open.
    """

    id: str
    bytes_up: int
    bytes_down: int
    last_activity: float
    ended: str | None


def begin(
    store: Store, limits: Limits, peer: Peer, *, token: str, host_label: str, circuit_id: str, client: Client,
    companion: str | None = None,
) -> str:  # fmt: skip
    """Note that a user began to use a service over a circuit; the connection's id.

    `companion` is the id of another service, which the pages of the first one use. Refused(no_session, not_allowed);
    BadInput(wrong_circuit) when the circuit was not given to this web proxy for this session.
    """
    held = service_sessions.look_up(store, limits, token, host_label, active=True)
    service = held.service if companion is None else _companion(held, companion)
    with store.account(held.account.id, write=True) as unit:
        circuit = unit.get(Circuit, circuit_id)
        wanted = (held.row.session_id, held.device.id, peer.id)
        if (
            circuit is None
            or (circuit.session_id, circuit.device_id, circuit.webproxy_id) != wanted
            or service.id not in circuit.services
        ):
            raise BadInput(
                "wrong_circuit", "This circuit was not opened for this session.", {"circuit": circuit_id[:64]}
            )
        row = unit.add(
            Connection(
                account_id=held.account.id, user_id=held.user.id, user=held.user.name,
                session_id=held.row.session_id, service_session_id=held.row.id, device_id=held.device.id,
                device=held.device.slug, service_id=service.id, service=service.slug,
                protocol=service.protocol, circuit_id=circuit.id, webproxy_id=peer.id,
                address=client.address[:64], user_agent=client.user_agent[:300], started=unit.now,
                last_activity=unit.now, last_report=unit.now, bytes_up=0, bytes_down=0,
            )
        )  # fmt: skip
        _tell(unit, row)
    return row.id


def _companion(held: Held, ident: str) -> Service:
    for other, _ in held.siblings:
        if other.id == ident and other.slug in held.service.options.get("companions", ()):
            return other
    raise Refused("not_allowed", "That service is no companion of this one.", {"service": ident[:64]})


def _tell(unit: Unit, row: Connection) -> None:
    unit.publish({"type": "connection.changed", "account_id": row.account_id, "device_id": row.device_id})


def report(store: Store, peer: Peer, reports: Sequence[Report]) -> None:
    """Take a web proxy's report into account; connections that are not its own, or have ended, are passed over."""
    wanted = {item.id: item for item in reports}
    with store.operator() as unit:
        found = unit.all(Connection, Connection.id.in_(list(wanted)), Connection.webproxy_id == peer.id)
    by_account: dict[str, list[str]] = defaultdict(list)
    for row in found:
        if row.ended is None:
            by_account[row.account_id].append(row.id)
    for account_id, ids in by_account.items():
        with store.account(account_id, write=True) as unit:
            for row in unit.all(Connection, Connection.id.in_(ids), Connection.ended.is_(None)):
                _apply(unit, row, wanted[row.id])


def _apply(unit: Unit, row: Connection, item: Report) -> None:
    row.last_report = unit.now
    # Counters only grow: a report that was overtaken on its way changes nothing.
    row.bytes_up = max(row.bytes_up, item.bytes_up)
    row.bytes_down = max(row.bytes_down, item.bytes_down)
    row.last_activity = max(row.last_activity, min(item.last_activity, unit.now))
    if item.ended is not None:
        end(unit, row, item.ended)


def end(unit: Unit, row: Connection, reason: str) -> None:
    """End a connection and write its audit row; the duration runs to the last activity."""
    if row.ended is not None:
        return
    printable = "".join(character for character in reason if character.isprintable())
    row.ended, row.end_reason = unit.now, printable[:REASON_LENGTH] or "closed"
    audit.append(
        unit, "connection", user_id=row.user_id, user=row.user, device_id=row.device_id, device=row.device,
        service=row.service, address=row.address or None, duration=max(0.0, row.last_activity - row.started),
        bytes_up=row.bytes_up, bytes_down=row.bytes_down,
        facts={
            "connection": row.id, "started": iso(row.started), "ended": iso(row.ended), "reason": row.end_reason,
            "protocol": row.protocol, "user_agent": row.user_agent,
        },
    )  # fmt: skip
    _tell(unit, row)


def sweep(store: Store) -> int:
    """End the connections of web proxies that fell silent; how many."""
    with store.operator() as unit:
        before = unit.now - LOST_SECONDS
        lost = unit.all(Connection, Connection.ended.is_(None), Connection.last_report < before)
    for found in lost:
        with store.account(found.account_id, write=True) as unit:
            row = unit.get(Connection, found.id)
            if row is not None and row.last_report < before:
                end(unit, row, LOST)
    return len(lost)


def as_json(row: Connection) -> dict[str, Any]:
    """The API's ConnectionRow; `duration` in seconds, to the last activity."""
    return {
        "id": row.id, "user": row.user, "service": row.service, "protocol": row.protocol, "address": row.address,
        "started": iso(row.started), "ended": iso(row.ended) if row.ended is not None else None,
        "duration": round(max(0.0, row.last_activity - row.started), 1), "reason": row.end_reason,
        "bytes_up": row.bytes_up, "bytes_down": row.bytes_down,
    }  # fmt: skip
