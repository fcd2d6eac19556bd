"""Ports as services' origins: each service gets one of the range for its life.

A port is not given to another service soon: an old bookmark, or what a browser keeps for that origin, must not meet
another machine. So a port that nobody ever had is chosen first, then the one that has been free for the longest time.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select

from access.db import Store, Unit
from access.models.machines import PublicPort, Service
from panelgate.errors import BadInput
from panelgate.log import get_logger
from panelgate.ports import PortRange

log = get_logger("access.public_ports")

LOCK: Final = 0x706F727473  # "ports": the advisory lock under which PostgreSQL's writers choose one after the other


def give(unit: Unit, ports: PortRange | None, service: Service) -> None:
    """Give `service` a port unless it has one of the range already; nothing where services have names.

    BadInput(no_port_left) when every port of the range is some service's.
    """
    if ports is None or service.public_port in ports:
        return
    _alone(unit)
    rows = unit.all(PublicPort, PublicPort.port >= ports.first, PublicPort.port <= ports.last)
    used = {row.port for row in rows}
    fresh = next((port for port in ports if port not in used), None)
    if fresh is None:
        free = [row for row in rows if row.freed is not None]
        if not free:
            raise BadInput(
                "no_port_left",
                f"All {len(ports)} ports from {ports.first} to {ports.last} belong to services. Remove services, or "
                "let the installation's operator widen PANELGATE_ORIGIN_PORTS.",
                {"ports": str(ports)}, status=409,
            )  # fmt: skip
        row = min(free, key=lambda row: (row.freed or 0.0, row.port))
        row.freed = None
        log.info("port_given_again", port=row.port)
        fresh = row.port
    else:
        unit.add(PublicPort(port=fresh, freed=None))
    release(unit, service)
    service.public_port = fresh
    unit.session.flush()


def _alone(unit: Unit) -> None:
    """Choose a port while nobody else does. SQLite has one writer anyway."""
    if unit.session.get_bind().dialect.name == "postgresql":
        unit.session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))


def release(unit: Unit, service: Service) -> None:
    """The service goes, or moves to another port: note since when nobody has this one."""
    if service.public_port is None:
        return
    row = unit.find(PublicPort, PublicPort.port == service.public_port)
    if row is not None:
        row.freed = unit.now
    service.public_port = None
    unit.session.flush()


def complete(store: Store, ports: PortRange | None, account_id: str, found: dict[str, Any]) -> dict[str, Any]:
    """Give what a deep link names its port when it is opened for the first time; `found` with it.

    BadInput(no_port_left).
    """
    named = [found["service"]] if found.get("service") else found["device"]["services"]
    lacking = [row for row in named if row["public_port"] not in ports] if ports is not None else []
    if not lacking:
        return found
    with store.account(account_id, write=True) as unit:
        for row in lacking:
            service = unit.get(Service, row["id"])
            if service is not None:
                give(unit, ports, service)
                row["public_port"] = service.public_port
    return found


def label_at(store: Store, port: int) -> str:
    """The host label of the service at a port, "" when there is none."""
    with store.operator() as unit:
        return label_in(unit, port)


def label_in(unit: Unit, port: int) -> str:
    """The same within a unit: where it is bound to an account, ports of others are nobody's."""
    service = unit.find(Service, Service.public_port == port)
    return service.host_label if service is not None else ""


def sweep(store: Store, ports: PortRange | None) -> None:
    """Give every service a port (the range may be new), and note ports whose service went with its account."""
    if ports is None:
        return
    with store.operator(write=True) as unit:
        lacking = [row for row in unit.all(Service, order=Service.created) if row.public_port not in ports]
        _alone(unit)
        had = set(unit.session.scalars(select(Service.public_port).where(Service.public_port.is_not(None))))
        for row in unit.all(PublicPort, PublicPort.freed.is_(None)):
            if row.port not in had:
                row.freed = unit.now
        unit.session.flush()
        for service in lacking:
            try:
                give(unit, ports, service)
            except BadInput as error:
                log.error("no_port_left", ports=str(ports), services=len(lacking), said=error.message)
                return
