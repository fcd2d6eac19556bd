"""Relays: which one a device is sent to, and moving it."""

from __future__ import annotations

import pytest

from access import devices, relays
from access.models.machines import Relay
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, Unavailable
from tests.fakes.access_machines import Plant

NOW = 1000.0


def relay(ident: str, *, silent: float = 0.0, circuits: int = 0, held: int = 0) -> Relay:
    return Relay(id=ident, url="", joined=0.0, last_report=NOW - silent, circuits=circuits, devices=held)


def chosen(*rows: Relay, **how: str) -> str | None:
    found = relays.choose(rows, NOW, **how)
    return found.id if found else None


def test_the_least_loaded_live_relay_is_chosen() -> None:
    assert chosen(relay("a", circuits=3), relay("b", circuits=1), relay("c", circuits=2)) == "b"
    assert chosen(relay("a", held=50), relay("b", circuits=1)) == "b"
    assert chosen(relay("a", silent=15.0), relay("b", circuits=99)) == "b"
    assert chosen(relay("a", silent=15.0)) is None
    assert chosen() is None


def test_a_late_or_failed_relay_is_the_last_resort() -> None:
    assert chosen(relay("a", silent=8.0), relay("b", circuits=9)) == "b"
    assert chosen(relay("a"), relay("b", circuits=9), avoid="a") == "b"
    assert chosen(relay("a"), avoid="a") == "a"


def test_a_wanted_relay_goes_before_load() -> None:
    assert chosen(relay("a"), relay("b", circuits=9), wanted="b") == "b"
    assert chosen(relay("a"), relay("b", silent=20.0), wanted="b") == "a"


@pytest.mark.parametrize(
    "url", ["https://r", "wss://", "wss://u@r", "wss://r/?x=1", "r.example.com", "wss://" + "r" * 300]
)
def test_odd_addresses_are_refused(plant: Plant, url: str) -> None:
    with plant.kernel.store.operator(write=True) as unit, pytest.raises(BadInput) as caught:
        relays.register(unit, "r" * 32, url, "1")
    assert caught.value.code == "bad_url"


def test_every_connect_gets_a_higher_counter_and_may_go_elsewhere(plant: Plant) -> None:
    plant.relay("relay-1")
    plant.relay("relay-2")
    first, one = plant.connect()
    second, two = plant.connect()
    assert (one, two) == (1, 2)
    # The first try came to nothing: nobody reported it. So it is sent to the other one.
    assert {first, second} == {"relay-1", "relay-2"}


def test_without_a_live_relay_the_agent_is_told_so(plant: Plant, clock: FakeClock) -> None:
    plant.relay("relay-1")
    clock.advance(relays.DEAD_SECONDS)
    with pytest.raises(Unavailable) as caught:
        plant.connect()
    assert (caught.value.code, caught.value.status) == ("no_relay", 503)


def test_a_report_counts_only_after_registering(plant: Plant) -> None:
    with plant.kernel.store.operator(write=True) as unit:
        unit.add(Relay(id="new", joined=unit.now, url="", version="", circuits=0, devices=0, bytes=0))
        with pytest.raises(BadInput) as caught:
            relays.report(unit, "new", circuits=0, devices=0, transferred=0)
    assert caught.value.code == "not_registered"


def test_a_device_is_moved_and_its_agent_told_once_it_is_not_connecting(plant: Plant) -> None:
    here = plant.online()
    plant.relay("relay-2")
    heard = plant.heard()
    with plant.writing() as unit:
        relays.move(unit, devices.need(unit, plant.device_id), "relay-2")
    assert relays.push_moves(plant.kernel.store) == 1
    assert heard == [{"type": "device.cut", "device_id": plant.device_id, "reason": "moved"}]
    target, counter = plant.connect()
    assert (here, target) == ("relay-1", "relay-2")
    assert relays.push_moves(plant.kernel.store) == 0
    assert plant.note(target, counter)
    assert plant.presence().wanted_relay_id is None
    assert plant.audit("device.move")[0]["facts"] == {"relay": "wss://relay-2.example.com"}


def test_nothing_moves_to_a_dead_relay(plant: Plant, clock: FakeClock) -> None:
    plant.relay("relay-2")
    clock.advance(60)
    with plant.writing() as unit, pytest.raises(BadInput) as caught:
        relays.move(unit, devices.need(unit, plant.device_id), "relay-2")
    assert caught.value.code == "relay_dead"
