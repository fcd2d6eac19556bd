"""Ports as origins: one for each service, for its life, and the longest unused one first."""

from __future__ import annotations

import pytest

from access import devices, handoffs, public_ports, services, sessions
from access.kernel import Kernel
from access.models.machines import PublicPort, Service
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, Refused
from panelgate.ports import PortRange
from tests.fakes.access_machines import NONCE_HASH, Plant
from tests.fakes.access_world import ACTOR

PORTS = PortRange(20000, 20003)


def give(plant: Plant, slug: str, ports: PortRange | None = PORTS) -> int | None:
    with plant.writing() as unit:
        service = unit.need(Service, plant.service(slug).id)
        public_ports.give(unit, ports, service)
        return service.public_port


def delete(plant: Plant, slug: str) -> None:
    with plant.writing() as unit:
        device, service = services.need(unit, plant.service(slug).id)
        services.delete(unit, ACTOR, device, service)


def test_where_services_have_names_they_get_no_port(plant: Plant) -> None:
    assert give(plant, "hmi", None) is None
    public_ports.sweep(plant.kernel.store, None)
    assert plant.service("panel").public_port is None


def test_a_port_is_kept_for_life(plant: Plant) -> None:
    assert give(plant, "hmi") == 20000
    assert give(plant, "panel") == 20001
    assert give(plant, "hmi") == 20000


def test_a_freed_port_rests_the_longest(plant: Plant, clock: FakeClock) -> None:
    for slug in ("a", "b"):
        plant.add_service(slug)
    assert [give(plant, slug) for slug in ("hmi", "a", "b")] == [20000, 20001, 20002]
    delete(plant, "b")
    clock.advance(100)
    delete(plant, "a")
    plant.add_service("c")
    plant.add_service("d")
    assert give(plant, "c") == 20003, "one that nobody had comes first"
    assert give(plant, "d") == 20002, "then the one that is free for the longest time"
    plant.add_service("e")
    assert give(plant, "e") == 20001


def test_a_range_that_is_used_up_is_said_and_nothing_is_taken_from_anybody(plant: Plant) -> None:
    for slug in ("a", "b", "c"):
        plant.add_service(slug)
    for slug in ("hmi", "panel", "a", "b"):
        give(plant, slug)
    with pytest.raises(BadInput, match="20000 to 20003") as caught:
        give(plant, "c")
    assert caught.value.code == "no_port_left"
    assert plant.service("c").public_port is None
    delete(plant, "a")
    assert give(plant, "c") == 20002


def test_a_deleted_device_frees_its_ports(plant: Plant) -> None:
    give(plant, "hmi")
    with plant.writing() as unit:
        devices.delete(unit, ACTOR, devices.need(unit, plant.device_id))
    with plant.kernel.store.operator() as unit:
        row = unit.find(PublicPort, PublicPort.port == 20000)
        assert row is not None
        assert row.freed is not None


def test_the_sweep_completes_moves_and_frees(plant: Plant) -> None:
    store = plant.kernel.store
    public_ports.sweep(store, PORTS)
    assert {plant.service("hmi").public_port, plant.service("panel").public_port} == {20000, 20001}
    moved = PortRange(30000, 30000)
    public_ports.sweep(store, moved)  # one port for two services: the rest stays as it is, and is logged
    assert sorted(filter(None, (plant.service(slug).public_port for slug in ("hmi", "panel")))) in (
        [20000, 30000], [20001, 30000],
    )  # fmt: skip
    with plant.writing() as unit:  # as an account's removal does it: without telling
        unit.delete(unit.need(Service, plant.service("hmi").id))
    public_ports.sweep(store, PORTS)
    with store.operator() as unit:
        taken = {row.port for row in unit.all(PublicPort, PublicPort.freed.is_(None))}
        assert taken == {plant.service("panel").public_port}


def test_a_service_gets_its_port_when_it_is_first_opened(plant: Plant) -> None:
    found = {"service": {"id": plant.hmi.id, "public_port": None}}
    done = public_ports.complete(plant.kernel.store, PORTS, plant.account_id, found)
    assert done["service"]["public_port"] == 20000 == plant.service("hmi").public_port
    assert public_ports.label_at(plant.kernel.store, 20000) == plant.hmi.host_label
    assert public_ports.label_at(plant.kernel.store, 20001) == ""
    assert public_ports.complete(plant.kernel.store, PORTS, plant.account_id, done) is done
    panel = {"id": plant.panel.id, "public_port": None}
    device = {"service": None, "device": {"services": [panel]}}
    public_ports.complete(plant.kernel.store, PORTS, plant.account_id, device)
    assert panel["public_port"] == 20001
    public_ports.complete(plant.kernel.store, None, plant.account_id, device)


def test_a_port_of_another_account_is_nothing_here(plant: Plant) -> None:
    other = Plant(plant.kernel, "other")
    give(other, "hmi")
    with plant.reading() as unit:
        assert public_ports.label_in(unit, 20000) == ""
        who = sessions.check(plant.kernel.store, plant.kernel.limits, plant.session)
        with pytest.raises(Refused) as caught:
            handoffs.create(unit, who, "", NONCE_HASH)
    assert caught.value.code == "not_found"
    give(plant, "hmi")
    with plant.reading() as unit:
        assert public_ports.label_in(unit, 20001) == plant.hmi.host_label


def test_two_accounts_share_the_range_on_both_databases(both_kernel: Kernel) -> None:
    plants = Plant(both_kernel), Plant(both_kernel, "other")
    assert [give(plant, "hmi") for plant in plants] == [20000, 20001]
    delete(plants[0], "hmi")
    assert [give(plant, "panel") for plant in plants] == [20002, 20003]
    public_ports.sweep(both_kernel.store, PORTS)
