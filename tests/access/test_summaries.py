"""What pages see: only what the user may see, never a password."""

from __future__ import annotations

import json

import pytest

from access import audit, connections, devices, permissions, services, summaries
from access.connections import Report
from access.permissions import Rights
from panelgate.errors import BadInput
from tests.access.test_circuits import WEBPROXY
from tests.access.test_connections import begin
from tests.fakes.access_machines import PANEL_PASSWORD, Plant
from tests.fakes.access_world import ACTOR

ADMIN = Rights(administrator=True)


def slugs(plant: Plant, rights: Rights = ADMIN, **how: str | int) -> list[str]:
    with plant.reading() as unit:
        return [row["slug"] for row in summaries.device_list(unit, rights, **how)["devices"]]  # type: ignore[arg-type]


def test_the_list_has_state_services_and_who_is_on(plant: Plant) -> None:
    plant.online()
    ident = begin(plant)
    with plant.reading() as unit:
        (device,) = summaries.device_list(unit, ADMIN)["devices"]
    assert (device["status"], device["serial"], device["site"]) == ("online", "SN-1", "Hall 2")
    assert [service["slug"] for service in device["services"]] == ["hmi", "panel"]
    assert [service["has_password"] for service in device["services"]] == [False, True]
    assert device["open"][0]["connection_id"] == ident
    assert (device["open"][0]["user"], device["open"][0]["service"]) == ("Anna", "hmi")
    assert device["may"] == ["see", "watch", "operate", "manage"]
    assert PANEL_PASSWORD not in json.dumps(device)
    assert "sealed" not in json.dumps(device)


def test_search_filter_pages_and_counts(plant: Plant) -> None:
    with plant.writing() as unit:
        for number in range(3):
            devices.create(unit, ACTOR, slug=f"mixer-{number}", name=f"Mixer {number}", site="Süd")
    plant.online()
    assert slugs(plant) == ["mixer-0", "mixer-1", "mixer-2", "press"]
    assert slugs(plant, q="süd MIXER") == ["mixer-0", "mixer-1", "mixer-2"]
    assert slugs(plant, q="sn-1") == ["press"]
    assert slugs(plant, status="online") == ["press"]
    assert slugs(plant, status="never", limit=2, offset=1) == ["mixer-1", "mixer-2"]
    with plant.reading() as unit:
        found = summaries.device_list(unit, ADMIN, status="never", limit=1)
        assert (found["total"], found["counts"]) == (3, {"all": 4, "online": 1, "offline": 0, "never": 3})
        with pytest.raises(BadInput):
            summaries.device_list(unit, ADMIN, status="sleeping")


def test_a_user_sees_granted_devices_and_visible_services(plant: Plant) -> None:
    plant.add_service("hidden", visible=False)
    with plant.writing() as unit:
        devices.create(unit, ACTOR, slug="other", name="Other")
    user_id, _ = plant.member(level="watch")
    with plant.reading() as unit:
        rights = permissions.rights_of(unit, user_id, "member")
        (device,) = summaries.device_list(unit, rights)["devices"]
    assert device["may"] == ["see", "watch"]
    assert [service["slug"] for service in device["services"]] == ["hmi", "panel"]
    assert slugs(plant, Rights()) == []


def test_a_devices_page_has_its_agent_and_last_connections(plant: Plant) -> None:
    plant.online()
    ident = begin(plant)
    report = Report(ident, 1, 2, plant.kernel.clock.now(), "tab closed")
    connections.report(plant.kernel.store, WEBPROXY, [report])
    with plant.reading() as unit:
        found = summaries.device_detail(unit, ADMIN, plant.device())
    assert found["lan"] == ["192.168.0.0/24"]
    assert (found["agent"]["version"], found["agent"]["address"]) == ("0.1.0", "198.51.100.4")
    assert found["agent"]["enrolled"].endswith("Z")
    assert [(row["user"], row["service"], row["reason"]) for row in found["recent"]] == [("Anna", "hmi", "tab closed")]
    assert found["open"] == []


def test_the_record_is_told_with_present_names(plant: Plant) -> None:
    with plant.writing() as unit:
        device = plant.device()
        audit.append(unit, "service.change", user="operator", device_id=device.id, device=device.slug, service="hmi")
        audit.append(unit, "signin.password", result="failed", user="operator")
        audit.append(unit, "connection", user="gone", device="gone", service="gone")
        rows, _ = audit.page(unit, limit=3)
        gone, failed, changed = summaries.audit_names(unit, rows)
    assert changed["user"] == summaries.BY_COMMAND
    assert changed["device"] == device.name
    assert "service" in changed
    assert failed == gone == {}


def test_options_are_for_those_who_may_change_the_service(plant: Plant) -> None:
    with plant.writing() as unit:
        device, service = services.need(unit, plant.hmi.id)
        services.change(
            unit, plant.kernel.keyring, ACTOR, device, service, {"options": {"auth": "basic", "user": "op7"}}
        )
    operator, _ = plant.member("olga", "operate")
    manager, _ = plant.member("mia", "manage")
    single, _ = plant.member("sam", "see")
    plant.grant(single, "manage", service_id=plant.panel.id)
    seen = {}
    for user_id in (operator, manager, single):
        with plant.reading() as unit:
            rights = permissions.rights_of(unit, user_id, "member")
            found = summaries.device_detail(unit, rights, plant.device())["services"]
        seen[user_id] = {row["slug"]: row.get("options") for row in found}
    assert seen[operator] == {"hmi": None, "panel": None}
    assert seen[manager] == {"hmi": {"auth": "basic", "user": "op7"}, "panel": {}}
    assert seen[single] == {"panel": {}}


def test_who_was_granted_one_service_hears_nothing_of_the_others(plant: Plant) -> None:
    plant.online()
    begin(plant)
    user_id, _ = plant.member(level=None)
    plant.grant(user_id, "operate", service_id=plant.panel.id)
    with plant.reading() as unit:
        rights = permissions.rights_of(unit, user_id, "member")
        found = summaries.device_detail(unit, rights, plant.device())
        assert (found["open"], found["recent"]) == ([], [])
        assert [service["slug"] for service in found["services"]] == ["panel"]
    plant.grant(user_id, "see")
    with plant.reading() as unit:
        rights = permissions.rights_of(unit, user_id, "member")
        found = summaries.device_detail(unit, rights, plant.device())
    assert [row["service"] for row in (*found["open"], *found["recent"])] == ["hmi", "hmi"]
