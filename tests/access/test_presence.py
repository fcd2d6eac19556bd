"""Presence: reported by relays, fenced by the connect counter, lost with a relay."""

from __future__ import annotations

from access import presence, relays
from access.presence import Seen
from panelgate.clock import FakeClock, iso
from tests.fakes.access_machines import Plant


def state(plant: Plant) -> tuple[str, str | None]:
    return presence.status(plant.presence())


def test_up_and_down_are_told_and_audited(plant: Plant, clock: FakeClock) -> None:
    heard = plant.heard()
    relay = plant.online()
    up = {
        "type": "device.status", "account_id": plant.account_id, "device_id": plant.device_id, "slug": "press",
        "status": "online", "since": iso(clock.now()),
    }  # fmt: skip
    assert up in heard
    clock.advance(90)
    assert plant.note(relay, 1, up=False)
    assert state(plant) == ("offline", iso(clock.now()))
    assert up | {"status": "offline", "since": iso(clock.now())} in heard
    (row,) = plant.audit("device.offline")
    assert (row["duration"], row["address"]) == (90.0, "198.51.100.4")


def test_a_device_that_never_connected_is_never(plant: Plant) -> None:
    assert presence.status(None) == ("never", None)


def test_a_late_report_of_the_old_relay_changes_nothing(plant: Plant) -> None:
    plant.relay("relay-1")
    plant.enrol()
    old, one = plant.connect()
    assert plant.note(old, one)
    plant.relay("relay-2")
    with plant.writing() as unit:
        from access import devices

        relays.move(unit, devices.need(unit, plant.device_id), "relay-2")
    new, two = plant.connect()
    assert (old, new) == ("relay-1", "relay-2")
    assert plant.note(new, two)
    assert plant.note(old, one, up=False) is False
    assert plant.note(old, one, up=True) is False
    assert state(plant)[0] == "online"
    assert plant.presence().up_relay_id == "relay-2"


def test_counters_that_were_not_given_and_other_relays_are_turned_away(plant: Plant) -> None:
    relay = plant.online()
    plant.relay("relay-2")
    assert plant.note(relay, 99) is False
    assert plant.note("relay-2", 1) is False
    assert plant.note("relay-2", 1, up=False) is False
    assert presence.note(plant.kernel.store, relay, Seen("nobody", 1, ""), up=True) is False
    assert state(plant)[0] == "online"


def test_a_down_for_a_counter_that_never_was_up_is_turned_away(plant: Plant) -> None:
    relay = plant.online()
    _, counter = plant.connect()
    assert plant.note(relay, counter, up=False) is False
    assert state(plant)[0] == "online"


def test_a_full_report_brings_up_and_down_and_writes_nothing_without_change(plant: Plant, clock: FakeClock) -> None:
    plant.relay("relay-1")
    plant.enrol()
    relay, counter = plant.connect()
    seen = Seen(plant.device_id, counter, "198.51.100.4")
    store = plant.kernel.store
    presence.reconcile(store, relay, [seen])
    assert state(plant)[0] == "online"
    heard = plant.heard()
    presence.reconcile(store, relay, [seen])
    assert heard == []
    presence.reconcile(store, relay, [])  # written down before the device came up
    assert state(plant)[0] == "online"
    clock.advance(6)
    presence.reconcile(store, relay, [])
    assert state(plant)[0] == "offline"


def test_devices_of_a_silent_relay_go_offline_with_it(plant: Plant, clock: FakeClock) -> None:
    relay = plant.online()
    clock.advance(14)
    assert presence.sweep(plant.kernel.store) == 0
    plant.keep_alive(relay)
    clock.advance(14)
    assert presence.sweep(plant.kernel.store) == 0
    clock.advance(1)
    assert presence.sweep(plant.kernel.store) == 1
    assert state(plant)[0] == "offline"
    assert plant.audit("device.offline")[0]["facts"] == {"why": "relay lost"}
    assert presence.sweep(plant.kernel.store) == 0


def test_a_reconnect_through_another_relay_is_online_again(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    clock.advance(20)
    presence.sweep(plant.kernel.store)
    plant.relay("relay-2")
    relay, counter = plant.connect()
    assert (relay, counter) == ("relay-2", 2)
    assert plant.note(relay, counter)
    assert state(plant)[0] == "online"


def test_a_revoked_device_goes_offline_at_once(plant: Plant) -> None:
    relay = plant.online()
    plant.enrol()
    assert state(plant)[0] == "offline"
    assert plant.note(relay, 1) is False  # a relay that has not cut it yet
    assert plant.connect() == (relay, 3)
    assert plant.note(relay, 3)
    assert state(plant)[0] == "online"
