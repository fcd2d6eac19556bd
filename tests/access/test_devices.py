"""Devices: entries, their LAN, keys, release, and addresses that are never given twice."""

from __future__ import annotations

import pytest

from access import authority, devices, services
from access.models.machines import Service
from access.models.people import Grant
from panelgate.errors import BadInput, PanelgateError, Refused
from panelgate.pki import peer_of
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR


def test_a_device_is_created_with_a_slug_from_its_name_and_audited(plant: Plant) -> None:
    heard = plant.heard()
    with plant.writing() as unit:
        device = devices.create(unit, ACTOR, slug="", name="  Mixer   Größe 2 ", lan=["10.0.0.0/24"])
    assert (device.slug, device.name) == ("mixer-grosse-2", "Mixer Größe 2")
    assert plant.audit("device.create")[-1]["device"] == "mixer-grosse-2"
    assert {"type": "access.changed", "account_id": plant.account_id} in heard


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"slug": "press", "name": "Again"}, "slug_taken"),
        ({"slug": "Not OK", "name": "x"}, "bad_slug"),
        ({"slug": "", "name": "!!!"}, "bad_slug"),
        ({"slug": "long", "name": "x" * 101}, "bad_name"),
        ({"slug": "odd", "name": "a\x00b"}, "bad_name"),
        ({"slug": "lan", "name": "x", "lan": ["everything"]}, "bad_lan"),
        ({"slug": "loop", "name": "x", "lan": ["127.0.0.0/24"]}, "bad_lan"),
        ({"slug": "desc", "name": "x", "description": "y" * 1001}, "bad_description"),
    ],
)
def test_bad_entries_are_refused(plant: Plant, fields: dict[str, str], code: str) -> None:
    with plant.writing() as unit, pytest.raises(BadInput) as caught:
        devices.create(unit, ACTOR, **fields)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_changed_lan_makes_a_new_configuration_and_other_changes_do_not(plant: Plant) -> None:
    before = plant.device().config_version
    with plant.writing() as unit:
        device = devices.need(unit, plant.device_id)
        devices.change(unit, ACTOR, device, devices.Change(name="Press four", site="Hall 3"))
        assert device.config_version == before
        devices.change(unit, ACTOR, device, devices.Change(lan=["192.168.0.0/24", "10.0.0.0/24"]))
        assert device.config_version == before + 1
        devices.change(unit, ACTOR, device, devices.Change(name="Press four"))
    assert [sorted(row["facts"]) for row in plant.audit("device.change")] == [["name", "site"], ["lan"]]


def test_a_lan_cannot_leave_a_service_outside(plant: Plant) -> None:
    with plant.writing() as unit, pytest.raises(BadInput) as caught:
        devices.change(unit, ACTOR, devices.need(unit, plant.device_id), devices.Change(lan=["10.0.0.0/24"]))
    assert caught.value.code == "lan_in_use"
    assert caught.value.facts["services"] == ["HMI", "Panel"]


def test_a_deleted_device_is_cut_off_and_its_name_is_never_given_again(plant: Plant) -> None:
    agent = plant.enrol()
    user_id, _ = plant.member()
    heard = plant.heard()
    with plant.writing() as unit:
        devices.delete(unit, ACTOR, devices.need(unit, plant.device_id))
    assert authority.is_revoked(plant.kernel.store, peer_of(agent.certificate))
    assert {"type": "device.cut", "device_id": plant.device_id, "reason": "revoked"} in heard
    with plant.reading() as unit:
        assert unit.count(Service) == 0
        assert unit.count(Grant, Grant.user_id == user_id) == 0
        for look_up in (lambda: devices.need(unit, plant.device_id), lambda: devices.by_slug(unit, "press")):
            with pytest.raises(Refused) as caught:
                look_up()
            assert caught.value.code == "not_found"
    with plant.writing() as unit, pytest.raises(BadInput) as taken:
        devices.create(unit, ACTOR, slug="press", name="Another")
    assert taken.value.code == "slug_taken"


def test_release_frees_the_serial_and_voids_the_keys(plant: Plant) -> None:
    agent = plant.enrol("SN-1")
    key = plant.key()
    with plant.writing() as unit:
        devices.release(unit, ACTOR, devices.need(unit, plant.device_id))
    assert plant.device().serial is None
    assert authority.is_revoked(plant.kernel.store, peer_of(agent.certificate))
    assert plant.audit("device.release")[-1]["facts"] == {"reason": "released", "serial": "SN-1"}
    with pytest.raises(PanelgateError) as caught:
        plant.enrol("SN-1", key)
    assert caught.value.code == "key_withdrawn"
    with plant.writing() as unit, pytest.raises(BadInput) as nothing:
        devices.release(unit, ACTOR, devices.need(unit, plant.device_id))
    assert nothing.value.code == "not_enrolled"


def test_another_accounts_device_is_not_found(plant: Plant) -> None:
    other = Plant(plant.kernel, "rival")
    with other.reading() as unit, pytest.raises(Refused) as caught:
        devices.need(unit, plant.device_id)
    assert (caught.value.code, caught.value.status) == ("not_found", 404)
    with other.reading() as unit, pytest.raises(Refused):
        services.need(unit, plant.hmi.id)
