"""The demonstration machine: added once, to the one account."""

from __future__ import annotations

import pytest

from access import demo, devices, services
from access.kernel import Kernel
from access.models.machines import Device, Service
from panelgate.errors import BadInput
from panelgate.log import Secret
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR, make_account


def add(kernel: Kernel) -> dict[str, str | None]:
    return demo.add(kernel.store, kernel.keyring, kernel.authority)


def test_it_has_a_web_hmi_and_a_panel_on_addresses_of_its_own(plant: Plant) -> None:
    made = add(plant.kernel)
    assert (made["account"], made["device"]) == ("acme", "demo-machine")
    with plant.reading() as unit:
        device = devices.by_slug(unit, "demo-machine")
        hmi, panel = unit.all(Service, Service.device_id == device.id, order=Service.slug)
    assert (device.name, device.lan) == ("Demonstration machine", ["127.0.80.0/24"])
    assert (hmi.host, hmi.port, hmi.protocol, hmi.name) == ("127.0.80.10", 8081, "http", "Mixer HMI")
    assert (panel.host, panel.port, panel.protocol, panel.name) == ("127.0.80.11", 5900, "vnc", "Operator panel")
    assert services.password(plant.kernel.keyring, panel) == Secret("demo1234")


def test_the_key_enrols_and_afterwards_nothing_new_is_made(plant: Plant) -> None:
    key = add(plant.kernel)["key"]
    assert key is not None
    assert add(plant.kernel)["key"] != key  # not enrolled yet: the newest counts
    newest = add(plant.kernel)["key"]
    assert newest is not None
    plant.enrol("demo", newest)
    assert add(plant.kernel) == {"account": "acme", "device": "demo-machine", "key": None}
    with plant.reading() as unit:
        assert unit.count(Device, Device.slug == "demo-machine") == 1


def test_somebody_who_deleted_it_does_not_get_it_again(plant: Plant) -> None:
    add(plant.kernel)
    with plant.writing() as unit:
        devices.delete(unit, ACTOR, devices.by_slug(unit, "demo-machine"))
    assert add(plant.kernel)["key"] is None


def test_it_needs_exactly_one_account(kernel: Kernel) -> None:
    with pytest.raises(BadInput) as caught:
        add(kernel)
    assert caught.value.code == "no_account"
    make_account(kernel, "one")
    make_account(kernel, "two")
    with pytest.raises(BadInput) as several:
        add(kernel)
    assert several.value.code == "several_accounts"
