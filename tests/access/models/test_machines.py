"""The rules that the tables of machines hold by themselves."""

from __future__ import annotations

import pytest

from access.models.machines import Device, Service
from panelgate.errors import Unavailable
from tests.fakes.access_machines import Plant


def device(slug: str, serial: str | None = None) -> Device:
    return Device(slug=slug, name=slug, created=1.0, lan=[], agent_lan=[], serial=serial)


def test_no_two_devices_of_the_installation_have_the_same_serial(plant: Plant) -> None:
    rival = Plant(plant.kernel, "rival")
    with plant.writing() as unit:
        unit.add(device("one", "SN-1"))
        unit.add(device("two"))
        unit.add(device("three"))
    with pytest.raises(Unavailable) as caught, rival.writing() as unit:
        unit.add(device("one", "SN-1"))
    assert caught.value.code == "conflict"


def test_slugs_are_unique_within_account_and_device(plant: Plant) -> None:
    with pytest.raises(Unavailable), plant.writing() as unit:
        unit.add(device("press"))
    with pytest.raises(Unavailable), plant.writing() as unit:
        unit.add(
            Service(
                device_id=plant.device_id, slug="hmi", name="x", host="192.168.0.1", port=80, protocol="http",
                created=1.0, host_label="another",
            )
        )  # fmt: skip


def test_no_two_services_share_an_origin(plant: Plant) -> None:
    with pytest.raises(Unavailable), plant.writing() as unit:
        unit.add(
            Service(
                device_id=plant.device_id, slug="new", name="x", host="192.168.0.1", port=80, protocol="http",
                created=1.0, host_label=plant.hmi.host_label,
            )
        )  # fmt: skip
