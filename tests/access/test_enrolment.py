"""Enrolment: one key, one use, one serial, one account; the identity is the server's."""

from __future__ import annotations

import pytest

from access import authority, devices, enrolment
from access.kernel import Kernel
from access.models.machines import Device
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, PanelgateError, Refused
from panelgate.pki import Role, make_csr, make_key, peer_of
from tests.access.test_authority import csr_naming
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR


def test_a_key_makes_an_agent_of_the_device_once(plant: Plant) -> None:
    key = plant.key()
    agent = plant.enrol("SN-1", key)
    device = plant.device()
    assert (agent.role, agent.id) == (Role.AGENT, device.id)
    assert (device.serial, device.fingerprint, device.hostname) == ("SN-1", agent.fingerprint, "box")
    with pytest.raises(Refused) as caught:
        plant.enrol("SN-1", key)
    assert caught.value.code == "key_used"
    assert [row["result"] for row in plant.audit("device.enrol")] == ["ok", "refused"]
    assert plant.audit("device.enrol")[1]["facts"]["why"] == "key_used"


def test_wrong_expired_and_withdrawn_keys_have_a_code_and_words_of_their_own(plant: Plant, clock: FakeClock) -> None:
    first, second = plant.key(), plant.key()
    wrong = "pgk-" + "a" * 26 + second[-33:]
    found: dict[str, str] = {}
    for key in (wrong, first, "pgk-half"):
        with pytest.raises(PanelgateError) as caught:
            plant.enrol("SN-1", key)
        found[caught.value.code] = caught.value.message
    clock.advance(devices.KEY_SECONDS)
    with pytest.raises(Refused) as caught:
        plant.enrol("SN-1", second)
    found[caught.value.code] = caught.value.message
    assert list(found) == ["wrong_key", "key_withdrawn", "bad_key", "key_expired"]
    assert len(set(found.values())) == 4
    assert plant.device().serial is None


def test_a_refused_certificate_request_leaves_the_key_usable(plant: Plant) -> None:
    key = plant.key()
    with pytest.raises(BadInput) as caught:
        plant.enrol("SN-1", key, csr="junk")
    assert caught.value.code == "bad_csr"
    assert plant.enrol("SN-1", key).id == plant.device_id


def test_a_foreign_name_in_the_request_changes_nothing_and_is_audited(plant: Plant) -> None:
    agent = plant.enrol("SN-1", csr=csr_naming("agent:victim"))
    assert peer_of(agent.certificate).id == plant.device_id
    (claim,) = plant.audit("device.claim")
    assert claim["result"] == "refused"
    assert claim["facts"]["claimed"] == "agent:victim"


def test_the_same_serial_again_revokes_the_old_certificate_and_cuts_its_tunnel(plant: Plant) -> None:
    old = plant.enrol("SN-1")
    heard = plant.heard()
    new = plant.enrol("SN-1")
    store = plant.kernel.store
    assert authority.is_revoked(store, peer_of(old.certificate))
    assert not authority.is_revoked(store, peer_of(new.certificate))
    assert {"type": "device.cut", "device_id": plant.device_id, "reason": "revoked"} in heard
    assert plant.audit("device.enrol")[-1]["facts"]["replaced"] == "SN-1"


def test_a_serial_that_moves_to_another_entry_leaves_the_first(plant: Plant) -> None:
    old = plant.enrol("SN-1")
    with plant.writing() as unit:
        other = devices.create(unit, ACTOR, slug="press-5", name="Press 5")
        key, _ = devices.new_activation_key(unit, ACTOR, other, plant.kernel.authority.certificate)
    agent = plant.enrol("SN-1", key)
    assert agent.id == other.id
    assert plant.device().serial is None
    assert authority.is_revoked(plant.kernel.store, peer_of(old.certificate))
    (release,) = plant.audit("device.release")
    assert release["device"] == "press"
    assert release["facts"] == {"by": "press-5", "reason": "replaced", "serial": "SN-1"}


def test_a_second_account_cannot_take_a_bound_machine_until_it_is_released(plant: Plant) -> None:
    plant.enrol("SN-1")
    other = Plant(plant.kernel, "rival")
    key = other.key()
    with pytest.raises(Refused) as caught:
        other.enrol("SN-1", key)
    assert caught.value.code == "serial_bound"
    assert "acme" not in caught.value.message + str(caught.value.facts)
    with plant.writing() as unit:
        devices.release(unit, ACTOR, devices.need(unit, plant.device_id))
    assert other.enrol("SN-1", key).id == other.device_id


def test_a_replacement_with_another_serial_keeps_the_entry(plant: Plant) -> None:
    old = plant.enrol("SN-1")
    new = plant.enrol("SN-2")
    assert new.id == plant.device_id
    assert plant.device().serial == "SN-2"
    assert authority.is_revoked(plant.kernel.store, peer_of(old.certificate))


def test_an_empty_lan_takes_what_the_agent_reports_but_never_loopback(plant: Plant) -> None:
    with plant.writing() as unit:
        bare = devices.create(unit, ACTOR, slug="bare", name="Bare")
        key, _ = devices.new_activation_key(unit, ACTOR, bare, plant.kernel.authority.certificate)
    lan = ["127.0.0.0/24", "10.1.0.0/16"]
    newcomer = enrolment.Newcomer(make_csr(make_key()), "SN-7", "1", "h", lan, "198.51.100.4")
    made = enrolment.enrol(plant.kernel.store, plant.kernel.authority, key, newcomer)
    assert made.device.lan == ["10.1.0.0/16"]
    assert made.device.config_version == 2


@pytest.mark.parametrize("serial", ["", "   ", "x" * 101, "SN\n1", "Sérial"])
def test_odd_serials_are_refused(plant: Plant, serial: str) -> None:
    with pytest.raises(BadInput) as caught:
        plant.enrol(serial)
    assert caught.value.code == "bad_serial"


def test_a_renewed_certificate_counts_when_the_agent_shows_it(plant: Plant, clock: FakeClock) -> None:
    agent = plant.enrol()
    clock.advance(60)
    key = make_key()
    old = peer_of(agent.certificate)
    with plant.writing() as unit:
        certificate = enrolment.renew(unit, plant.kernel.authority, old, make_csr(key), "198.51.100.4")
    new = peer_of(certificate)
    assert not authority.is_revoked(plant.kernel.store, old)
    with plant.writing() as unit:
        enrolment.settle(unit, enrolment.device_of(unit, new), new)
    assert plant.device().fingerprint == new.fingerprint
    assert authority.is_revoked(plant.kernel.store, old)
    assert not authority.is_revoked(plant.kernel.store, new)


def test_showing_the_old_certificate_does_not_revoke_the_new_one(plant: Plant, clock: FakeClock) -> None:
    agent = plant.enrol()
    clock.advance(60)
    old = peer_of(agent.certificate)
    with plant.writing() as unit:
        new = peer_of(enrolment.renew(unit, plant.kernel.authority, old, make_csr(make_key()), ""))
        enrolment.settle(unit, enrolment.device_of(unit, old), old)
    assert not authority.is_revoked(plant.kernel.store, new)


def test_a_released_device_is_told_so(plant: Plant) -> None:
    agent = plant.enrol()
    with plant.writing() as unit:
        devices.release(unit, ACTOR, devices.need(unit, plant.device_id))
    with plant.reading() as unit, pytest.raises(Refused) as caught:
        enrolment.device_of(unit, peer_of(agent.certificate))
    assert caught.value.code == "device_revoked"


def test_an_unknown_key_is_audited_for_the_installation(kernel: Kernel, plant: Plant) -> None:
    from access import audit

    wrong = "pgk-" + "a" * 26 + plant.key()[-33:]
    with pytest.raises(Refused):
        plant.enrol("SN-9", wrong)
    with kernel.store.operator() as unit:
        rows, _ = audit.page(unit, action="device.enrol")
        assert [(row.result, row.address) for row in rows] == [("refused", "198.51.100.4")]
        assert unit.find(Device, Device.serial == "SN-9") is None
