"""The hand-off: one code, one browser, one host, one minute, one use."""

from __future__ import annotations

import hashlib

import pytest

from access import handoffs
from access.models.machines import Handoff
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, Refused
from tests.fakes.access_machines import NONCE_HASH, Plant

OTHER_NONCE = hashlib.sha256(b"another browser").hexdigest()


def redeem(plant: Plant, code: str, label: str = "hmi--press--acme", nonce: str = NONCE_HASH) -> str:
    return handoffs.redeem(plant.kernel.store, plant.kernel.limits, code, label, nonce)[0]


def refused(plant: Plant, code: str, label: str = "hmi--press--acme", nonce: str = NONCE_HASH) -> str:
    """The code of the refusal, after checking that the audit knows why."""
    with pytest.raises(Refused) as caught:
        redeem(plant, code, label, nonce)
    return caught.value.code


def why(plant: Plant) -> str:
    reason: str = plant.audit("refused")[-1]["facts"]["why"]
    return reason


def test_a_code_opens_a_session_at_its_service(plant: Plant) -> None:
    code = plant.code(plant.hmi)
    token, held = handoffs.redeem(plant.kernel.store, plant.kernel.limits, code, plant.hmi.host_label, NONCE_HASH)
    assert (held.service.slug, held.permission, held.row.session_id) == ("hmi", "operate", plant.who().session_id)
    assert plant.look(token, plant.hmi).row.id == held.row.id


def test_nothing_usable_is_stored(plant: Plant) -> None:
    code = plant.code(plant.hmi)
    with plant.reading() as unit:
        (row,) = unit.all(Handoff)
    assert code not in (row.code_hash, row.nonce_hash)
    assert len(code) >= 43  # 256 bits


def test_a_code_is_used_once(plant: Plant) -> None:
    code = plant.code(plant.hmi)
    redeem(plant, code)
    assert (refused(plant, code), why(plant)) == ("bad_code", "used")


def test_a_code_of_another_host_is_refused_and_spent(plant: Plant) -> None:
    code = plant.code(plant.hmi)
    assert (refused(plant, code, plant.panel.host_label), why(plant)) == ("bad_code", "other_host")
    assert (refused(plant, code), why(plant)) == ("bad_code", "used")


def test_a_code_in_another_browser_is_refused_and_spent(plant: Plant) -> None:
    code = plant.code(plant.hmi)
    assert (refused(plant, code, nonce=OTHER_NONCE), why(plant)) == ("bad_code", "other_browser")
    assert refused(plant, code) == "bad_code"


def test_a_code_lives_a_minute(plant: Plant, clock: FakeClock) -> None:
    code, other = plant.code(plant.hmi), plant.code(plant.hmi)
    clock.advance(59)
    redeem(plant, code)
    clock.advance(1)
    assert (refused(plant, other), why(plant)) == ("bad_code", "expired")


@pytest.mark.parametrize("code", ["", "x", "a" * 43])
def test_an_unknown_code_is_refused(plant: Plant, code: str) -> None:
    assert refused(plant, code) == "bad_code"


def test_a_code_dies_with_its_portal_session(plant: Plant) -> None:
    code = plant.code(plant.hmi)
    plant.end_session()
    assert refused(plant, code) == "bad_code"


def test_a_permission_taken_in_between_counts(plant: Plant) -> None:
    user_id, session = plant.member(level="operate")
    code = plant.code(plant.hmi, session)
    plant.revoke_grants(user_id)
    assert (refused(plant, code), why(plant)) == ("bad_code", "not_allowed_any_more")


def test_foreign_unknown_and_hidden_services_answer_alike(plant: Plant) -> None:
    rival = Plant(plant.kernel, "rival")
    plant.add_service("hidden", visible=False)
    _, operator = plant.member("olga")
    _, stranger = plant.member("nina", level=None)
    for label, session in (
        (rival.hmi.host_label, operator),
        ("nothing--press--acme", operator),
        ("hidden--press--acme", operator),
        (plant.hmi.host_label, stranger),
    ):
        with plant.writing() as unit, pytest.raises(Refused) as caught:
            handoffs.create(unit, plant.who(session), label, NONCE_HASH)
        assert (caught.value.code, caught.value.status) == ("not_found", 404)


def test_who_may_only_see_the_device_is_told_so(plant: Plant) -> None:
    _, session = plant.member(level="see")
    with plant.writing() as unit, pytest.raises(Refused) as caught:
        handoffs.create(unit, plant.who(session), plant.hmi.host_label, NONCE_HASH)
    assert (caught.value.code, caught.value.status) == ("not_allowed", 403)


@pytest.mark.parametrize("nonce", ["", "x", "g" * 64, "A" * 64])
def test_the_nonce_comes_as_a_hash(plant: Plant, nonce: str) -> None:
    with plant.writing() as unit, pytest.raises(BadInput):
        handoffs.create(unit, plant.who(), plant.hmi.host_label, nonce)


def test_old_codes_are_dropped(plant: Plant, clock: FakeClock) -> None:
    plant.code(plant.hmi)
    assert handoffs.sweep(plant.kernel.store) == 0
    clock.advance(121)
    assert handoffs.sweep(plant.kernel.store) == 1
