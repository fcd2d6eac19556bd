"""Sessions at services: children of the portal session, looked at anew each time."""

from __future__ import annotations

import pytest

from access import devices, service_sessions, services
from access.models.audit import AuditRow
from access.models.machines import ServiceSession
from access.models.people import User
from panelgate.clock import FakeClock, iso
from panelgate.errors import Refused
from tests.fakes.access_machines import PANEL_PASSWORD, Plant
from tests.fakes.access_world import ACTOR


def gone(plant: Plant, token: str) -> bool:
    with pytest.raises(Refused) as caught:
        plant.look(token, plant.hmi)
    return (caught.value.code, caught.value.status) == ("no_session", 401)


def test_the_answer_names_everything_and_no_password(plant: Plant, clock: FakeClock) -> None:
    held = plant.look(plant.open(plant.panel), plant.panel)
    found = service_sessions.as_json(held)
    assert found["account"]["slug"] == "acme"
    assert found["user"]["name"] == "anna"
    assert found["device"] == {"id": plant.device_id, "slug": "press", "name": "Press 4"}
    assert found["service"]["port"] == 5900
    assert (found["permission"], found["idle_seconds"]) == ("operate", 1800)
    assert found["expires"] == iso(clock.now() + 12 * 3600)
    assert PANEL_PASSWORD not in str(found)
    assert "sealed" not in str(found)


def test_who_manages_the_device_is_told_apart(plant: Plant) -> None:
    user_id, session = plant.member(level="manage")
    token = plant.open(plant.hmi, session)
    assert service_sessions.as_json(plant.look(token, plant.hmi))["manages"] is True
    plant.revoke_grants(user_id)
    plant.grant(user_id, "operate")
    assert service_sessions.as_json(plant.look(token, plant.hmi))["manages"] is False


def test_a_token_counts_at_its_own_host_only(plant: Plant) -> None:
    token = plant.open(plant.hmi)
    with pytest.raises(Refused) as caught:
        plant.look(token, plant.panel)
    assert caught.value.code == "no_session"
    assert plant.look(token, plant.hmi)
    assert gone(plant, "")
    assert gone(plant, "x" * 43)


def test_it_ends_with_the_portal_session(plant: Plant) -> None:
    token = plant.open(plant.hmi)
    plant.end_session()
    assert gone(plant, token)
    with plant.reading() as unit:
        assert unit.all(ServiceSession)[0].ended is not None


def test_a_permission_taken_while_it_lives_counts_at_the_next_look(plant: Plant) -> None:
    user_id, session = plant.member(level="operate")
    token = plant.open(plant.hmi, session)
    plant.revoke_grants(user_id)
    plant.grant(user_id, "watch")
    assert plant.look(token, plant.hmi).permission == "watch"
    plant.revoke_grants(user_id)
    plant.grant(user_id, "see")
    assert gone(plant, token)
    plant.grant(user_id, "operate")
    assert gone(plant, token)  # ended is ended: a new hand-off makes a new one


def test_a_disabled_user_a_hidden_service_and_a_deleted_device_end_it(plant: Plant) -> None:
    user_id, session = plant.member()
    first = plant.open(plant.hmi, session)
    with plant.writing() as unit:
        device, service = services.need(unit, plant.hmi.id)
        services.change(unit, plant.kernel.keyring, ACTOR, device, service, {"visible": False})
    assert gone(plant, first)
    with plant.writing() as unit:
        device, service = services.need(unit, plant.hmi.id)
        services.change(unit, plant.kernel.keyring, ACTOR, device, service, {"visible": True})
    second = plant.open(plant.hmi, session)
    with plant.writing() as unit:
        unit.need(User, user_id).disabled = True
    assert gone(plant, second)
    third = plant.open(plant.hmi)
    with plant.writing() as unit:
        devices.delete(unit, ACTOR, devices.need(unit, plant.device_id))
    assert gone(plant, third)


def test_idle_ends_it_and_use_keeps_it(plant: Plant, clock: FakeClock) -> None:
    token, unused = plant.open(plant.hmi), plant.open(plant.hmi)
    for _ in range(4):
        clock.advance(20 * 60)
        plant.look(token, plant.hmi, active=True)
    assert gone(plant, unused)
    clock.advance(20 * 60)
    plant.look(token, plant.hmi, active=False)
    clock.advance(10 * 60)
    assert gone(plant, token)


def test_a_shift_is_the_longest(plant: Plant, clock: FakeClock) -> None:
    token = plant.open(plant.hmi)
    for _ in range(35):
        clock.advance(20 * 60)
        plant.look(token, plant.hmi)
    clock.advance(20 * 60)
    assert gone(plant, token)


def test_use_of_a_service_is_use_of_the_portal_session(plant: Plant, clock: FakeClock) -> None:
    token = plant.open(plant.hmi)
    for _ in range(30):
        clock.advance(20 * 60)
        plant.look(token, plant.hmi)
    assert plant.who().last_seen == clock.now()


def test_old_rows_are_dropped(plant: Plant, clock: FakeClock) -> None:
    plant.open(plant.hmi)
    clock.advance(12 * 3600)
    assert service_sessions.sweep(plant.kernel.store) == 0
    clock.advance(86401)
    assert service_sessions.sweep(plant.kernel.store) == 1


def test_signing_out_of_one_service_ends_that_session_only(plant: Plant) -> None:
    token, other = plant.open(plant.hmi), plant.open(plant.panel)
    told: list[dict[str, object]] = []
    plant.kernel.hub.listen(told.append)
    store, limits = plant.kernel.store, plant.kernel.limits
    held = plant.look(token, plant.hmi)
    assert not service_sessions.end(store, limits, token, plant.panel.host_label)
    assert not service_sessions.end(store, limits, "x" * 43, plant.hmi.host_label)
    assert service_sessions.end(store, limits, token, plant.hmi.host_label)
    assert not service_sessions.end(store, limits, token, plant.hmi.host_label)
    assert gone(plant, token)
    assert plant.look(other, plant.panel)
    assert told == [{"type": "service_session.ended", "service_session_id": held.row.id}]
    with plant.reading() as unit:
        rows = unit.all(AuditRow, AuditRow.action == "service.sign_out")
    assert [(row.user, row.device, row.service) for row in rows] == [("anna", "press", "hmi")]


def test_siblings_are_the_other_web_services_that_the_user_may_use(plant: Plant) -> None:
    _, session = plant.member(level="operate")
    token = plant.open(plant.hmi, session)
    assert service_sessions.as_json(plant.look(token, plant.hmi))["siblings"] == []  # the panel speaks VNC
    fields = services.Fields(slug="trend", name="Trend", host="192.168.0.12", protocol="https", visible=True)
    hidden = services.Fields(slug="boot", name="Boot loader", host="192.168.0.13", protocol="http")
    with plant.writing() as unit:
        device = devices.need(unit, plant.device_id)
        made, _ = [services.create(unit, plant.kernel.keyring, ACTOR, device, given) for given in (fields, hidden)]
    trend = {
        "id": made.id, "slug": "trend", "name": "Trend", "host": "192.168.0.12", "port": 443, "protocol": "https",
        "label": "trend--press--acme", "permission": "operate", "options": {}, "public_port": None,
    }  # fmt: skip
    assert service_sessions.as_json(plant.look(token, plant.hmi))["siblings"] == [trend]
    rival = Plant(plant.kernel, "rival")
    assert service_sessions.as_json(rival.look(rival.open(rival.hmi), rival.hmi))["siblings"] == []
