"""Connections: begun, reported, ended; one audit row each."""

from __future__ import annotations

import pytest

from access import connections
from access.connections import Report
from access.models.machines import Connection, Service
from access.sessions import Client
from panelgate.clock import FakeClock, iso
from panelgate.errors import BadInput, Refused
from panelgate.pki import Peer, Role
from tests.access.test_circuits import WEBPROXY, authorise
from tests.fakes.access_machines import Plant

CLIENT = Client("203.0.113.7", "Firefox")


def begin(plant: Plant, token: str = "", circuit: str = "", peer: Peer = WEBPROXY, companion: str | None = None) -> str:
    token = token or plant.open(plant.hmi)
    circuit = circuit or authorise(plant, plant.hmi, token).circuit_id
    return connections.begin(
        plant.kernel.store, plant.kernel.limits, peer,
        token=token, host_label=plant.hmi.host_label, circuit_id=circuit, client=CLIENT,
        companion=companion,
    )  # fmt: skip


def report(plant: Plant, ident: str, *, up: int, down: int, ended: str | None = None, peer: Peer = WEBPROXY) -> None:
    row = Report(ident, up, down, plant.kernel.clock.now(), ended)
    connections.report(plant.kernel.store, peer, [row])


def row(plant: Plant, ident: str) -> Connection:
    with plant.reading() as unit:
        return unit.need(Connection, ident)


def test_twelve_seconds_of_use_are_one_row_of_twelve_seconds(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    ident = begin(plant)
    start = clock.now()
    for _ in range(6):
        clock.advance(2)
        report(plant, ident, up=100, down=2000)
    clock.advance(3)
    connections.report(plant.kernel.store, WEBPROXY, [Report(ident, 150, 2500, start + 12, "tab closed")])
    (audited,) = plant.audit("connection")
    assert (audited["user"], audited["device"], audited["service"]) == ("anna", "press", "hmi")
    assert (audited["address"], audited["duration"]) == ("203.0.113.7", 12.0)
    assert (audited["bytes_up"], audited["bytes_down"]) == (150, 2500)
    assert audited["facts"]["reason"] == "tab closed"
    assert (audited["facts"]["started"], audited["facts"]["ended"]) == (iso(start), iso(start + 15))
    assert audited["facts"]["protocol"] == "http"


def test_pages_hear_of_begin_and_end(plant: Plant) -> None:
    plant.online()
    heard = plant.heard()
    ident = begin(plant)
    report(plant, ident, up=1, down=1, ended="closed")
    changed = {"type": "connection.changed", "account_id": plant.account_id, "device_id": plant.device_id}
    assert heard.count(changed) == 2


def test_a_companions_connection_is_in_its_own_name_and_only_a_companions(plant: Plant) -> None:
    plant.online()
    socket, other = plant.add_service("socket"), plant.add_service("other")
    with plant.writing() as unit:
        unit.need(Service, plant.hmi.id).options = {"companions": ["socket"]}
    token = plant.open(plant.hmi)
    circuit = authorise(plant, plant.hmi, token).circuit_id
    ident = begin(plant, token, circuit, companion=socket.id)
    assert (row(plant, ident).service, row(plant, ident).service_id) == ("socket", socket.id)
    for wrong in (other.id, plant.hmi.id, "0" * 32):
        with pytest.raises(Refused) as caught:
            begin(plant, token, circuit, companion=wrong)
        assert caught.value.code == "not_allowed"


def test_a_companion_that_the_user_may_not_use_has_no_connection(plant: Plant) -> None:
    plant.online()
    socket = plant.add_service("socket")
    with plant.writing() as unit:
        unit.need(Service, plant.hmi.id).options = {"companions": ["socket"]}
    user, session = plant.member(level=None)
    plant.grant(user, "operate", service_id=plant.hmi.id)
    token = plant.open(plant.hmi, session)
    circuit = authorise(plant, plant.hmi, token).circuit_id
    with pytest.raises(Refused) as caught:
        begin(plant, token, circuit, companion=socket.id)
    assert caught.value.code == "not_allowed"


def test_a_report_after_the_end_changes_nothing(plant: Plant) -> None:
    plant.online()
    ident = begin(plant)
    report(plant, ident, up=5, down=6, ended="closed")
    report(plant, ident, up=50, down=60, ended="closed again")
    assert (row(plant, ident).bytes_up, row(plant, ident).end_reason) == (5, "closed")
    assert len(plant.audit("connection")) == 1


def test_counters_only_grow_and_activity_is_never_in_the_future(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    ident = begin(plant)
    report(plant, ident, up=50, down=60)
    connections.report(plant.kernel.store, WEBPROXY, [Report(ident, 5, 6, clock.now() + 900, None)])
    assert (row(plant, ident).bytes_up, row(plant, ident).bytes_down) == (50, 60)
    assert row(plant, ident).last_activity == clock.now()


def test_a_web_proxy_that_falls_silent_loses_its_connections(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    ident = begin(plant)
    clock.advance(10)
    report(plant, ident, up=1, down=2)
    clock.advance(30)
    assert connections.sweep(plant.kernel.store) == 0
    clock.advance(1)
    assert connections.sweep(plant.kernel.store) == 1
    assert row(plant, ident).end_reason == "web proxy lost"
    (audited,) = plant.audit("connection")
    assert (audited["duration"], audited["facts"]["reason"]) == (10.0, "web proxy lost")


def test_another_web_proxy_can_neither_begin_nor_report_on_it(plant: Plant) -> None:
    plant.online()
    other = Peer(Role.WEBPROXY, "x" * 32, "e" * 64)
    token = plant.open(plant.hmi)
    circuit = authorise(plant, plant.hmi, token).circuit_id
    with pytest.raises(BadInput) as caught:
        begin(plant, token, circuit, other)
    assert caught.value.code == "wrong_circuit"
    ident = begin(plant, token, circuit)
    report(plant, ident, up=9, down=9, ended="stolen", peer=other)
    assert (row(plant, ident).bytes_up, row(plant, ident).ended) == (0, None)


def test_a_circuit_of_another_session_or_nobody_is_refused(plant: Plant) -> None:
    plant.online()
    _, session = plant.member()
    foreign = authorise(plant, plant.hmi, session=session).circuit_id
    for circuit in (foreign, "0" * 32):
        with pytest.raises(BadInput):
            begin(plant, circuit=circuit)
    with pytest.raises(Refused):
        begin(plant, "x" * 43, foreign)


def test_the_row_outlives_the_reasons_oddities(plant: Plant) -> None:
    plant.online()
    ident = begin(plant)
    report(plant, ident, up=0, down=0, ended="bad\x00\n" + "r" * 300)
    reason = row(plant, ident).end_reason
    assert reason is not None
    assert reason.startswith("badrrr")
    assert len(reason) == connections.REASON_LENGTH
    assert connections.as_json(row(plant, ident))["reason"] == reason
