"""Firewall levels: what each opens beside the listed services, and what goes when a level is tightened."""

from __future__ import annotations

import pytest

from access import devices, levels, services
from access.models.machines import Device, Service
from access.permissions import rights_of
from panelgate.errors import BadInput
from tests.access.test_adhoc import at_level, open_address
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR

LAN = ["192.168.0.0/24", "fd12:3456::/64"]


def device(level: str) -> Device:
    return Device(slug="press", name="Press", lan=LAN, level=level)


@pytest.mark.parametrize("level", ["", "open", "Standard", "enforced "])
def test_only_the_four_words(level: str) -> None:
    with pytest.raises(BadInput) as caught:
        levels.check(level)
    assert caught.value.code == "bad_firewall_level"


@pytest.mark.parametrize(
    ("level", "host", "reason"),
    [
        ("standard", "192.168.0.10", None),
        ("standard", "192.168.0.99", None),
        ("standard", "fd12:3456::9", None),
        ("standard", "192.168.1.10", "host_outside_lan"),
        ("standard", "192.168.0.0", "host_forbidden"),
        ("standard", "192.168.0.255", "host_forbidden"),
        ("high", "192.168.0.10", None),
        ("high", "192.168.0.99", "host_not_listed"),
        ("enforced", "192.168.0.10", "level"),
        ("ultra", "192.168.0.10", "level"),
        ("unheard-of", "192.168.0.10", "level"),
    ],
)
def test_what_each_level_opens(level: str, host: str, reason: str | None) -> None:
    assert levels.why_not(device(level), {"192.168.0.10"}, host) == reason


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0.0.0.0", "169.254.169.254", "::1",
        "::", "[::1]", "::ffff:127.0.0.1", "::ffff:192.168.0.10", "64:ff9b::c0a8:a", "2002:c0a8:a::1", "fe80::1",
        "fe80::1%eth0", "fd12:3456::9%eth0", "fd00:ec2::254", "255.255.255.255", "224.0.0.1", "192.168.0.010",
        "192.168.0.10.", "localhost", "plc", "", " 192.168.0.10",
    ],
)  # fmt: skip
def test_no_level_opens_an_address_that_leads_elsewhere(host: str) -> None:
    assert levels.why_not(device("standard"), {host}, host) in {"host_not_ip", "host_forbidden", "host_outside_lan"}


def left(plant: Plant) -> set[str]:
    with plant.reading() as unit:
        return {row.slug for row in unit.all(Service, Service.kind == levels.ADHOC)}


def test_a_tightened_level_takes_what_it_no_longer_allows(plant: Plant) -> None:
    at_level(plant, "standard")
    open_address(plant, "192.168.0.10", 8080)
    open_address(plant, "192.168.0.99", 80)
    at_level(plant, "high")
    assert left(plant) == {"ip-192-168-0-10-8080"}
    assert plant.audit("service.adhoc_end")[-1]["facts"] == {
        "reason": "host_not_listed", "host": "192.168.0.99", "port": 80
    }  # fmt: skip
    at_level(plant, "enforced")
    assert left(plant) == set()
    assert {row.slug for row in [plant.service("hmi"), plant.service("panel")]} == {"hmi", "panel"}


def test_under_high_the_last_listed_service_of_a_host_takes_the_others_along(plant: Plant) -> None:
    at_level(plant, "high")
    open_address(plant, "192.168.0.10", 8080)
    with plant.writing() as unit:
        services.delete(unit, ACTOR, *services.need(unit, plant.hmi.id))
    assert left(plant) == set()


def test_a_narrowed_lan_takes_what_lies_outside(plant: Plant) -> None:
    at_level(plant, "standard")
    open_address(plant, "192.168.0.99", 80)
    with plant.writing() as unit:
        devices.change(
            unit, ACTOR, devices.need(unit, plant.device_id), devices.Change(lan=["192.168.0.0/27"])
        )  # fmt: skip
    assert left(plant) == set()


def test_under_ultra_the_agents_own_pages_are_for_managers(plant: Plant) -> None:
    own = plant.add_service("status")
    user_id, _ = plant.member("olga", "operate")
    for level, word in (("enforced", "operate"), ("ultra", None)):
        at_level(plant, level)
        with plant.writing() as unit:
            row = unit.need(Service, own.id)
            row.kind = levels.OWN
            found = services.permission(rights_of(unit, user_id, "member"), devices.need(unit, plant.device_id), row)
            admin = services.permission(
                rights_of(unit, plant.admin_id, "administrator"), devices.need(unit, plant.device_id), row
            )
        assert (found, admin) == (word, "operate")
