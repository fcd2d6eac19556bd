"""Services: checked when written down, passwords sealed, addresses for life."""

from __future__ import annotations

from typing import Any

import pytest

from access import devices, levels, services
from access.models.machines import Device, Service
from access.permissions import Level, Rights
from panelgate.errors import BadInput
from panelgate.log import Secret
from tests.fakes.access_machines import PANEL_PASSWORD, Plant
from tests.fakes.access_world import ACTOR


def change(plant: Plant, of: str, **fields: Any) -> None:
    with plant.writing() as unit:
        device, service = services.need(unit, plant.service(of).id)
        services.change(unit, plant.kernel.keyring, ACTOR, device, service, fields)


def test_a_service_has_its_own_label_and_the_protocols_port(plant: Plant) -> None:
    assert plant.hmi.host_label == "hmi--press--acme"
    assert (plant.hmi.port, plant.panel.port) == (80, 5900)
    assert (plant.hmi.kind, plant.hmi.path) == ("lan", "/")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"slug": "hmi"}, "slug_taken"),
        ({"slug": "xn"}, "bad_slug"),
        ({"slug": "a--b"}, "bad_slug"),
        ({"slug": "proxy"}, "bad_slug"),
        ({"host": "plc.local"}, "host_not_ip"),
        ({"host": "127.0.0.1"}, "host_forbidden"),
        ({"host": "169.254.169.254"}, "host_forbidden"),
        ({"host": "10.0.0.1"}, "host_outside_lan"),
        ({"protocol": "ssh"}, "bad_protocol"),
        ({"path": "//evil"}, "bad_path"),
        ({"password": Secret("x" * 129)}, "bad_password"),
        ({"protocol": "https", "tls_verify": "pin", "tls_pin": "ab"}, "bad_tls_pin"),
        ({"options": {"auth": "basic"}}, "bad_option"),
    ],
)
def test_what_cannot_be_dialled_safely_is_not_written_down(plant: Plant, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as caught:
        plant.add_service(**({"slug": "new"} | fields))
    assert caught.value.code == code
    with plant.reading() as unit:
        assert {row.slug for row in unit.all(services.Service)} == {"hmi", "panel"}


def test_labels_that_are_too_long_are_hashed_and_stay_one_dns_label(plant: Plant) -> None:
    with plant.writing() as unit:
        device = devices.create(unit, ACTOR, slug="a" * 32, name="Long", lan=["10.0.0.0/24"])
        fields = services.Fields("b" * 32, "Long", "10.0.0.5", "http")
        made = services.create(unit, plant.kernel.keyring, ACTOR, device, fields)
    assert len(made.host_label) <= 63
    assert made.host_label.startswith("b" * 20)


def test_the_password_is_sealed_and_opens_for_its_service_only(plant: Plant) -> None:
    stored = plant.service("panel")
    assert stored.sealed_password is not None
    assert PANEL_PASSWORD not in stored.sealed_password
    assert services.password(plant.kernel.keyring, stored) == Secret(PANEL_PASSWORD)
    assert services.password(plant.kernel.keyring, plant.service("hmi")) is None
    assert PANEL_PASSWORD not in str([row["facts"] for row in plant.audit("service.create")])


def test_null_keeps_the_password_an_empty_one_clears_it(plant: Plant) -> None:
    change(plant, "panel", name="Operator panel")
    assert services.password(plant.kernel.keyring, plant.service("panel")) == Secret(PANEL_PASSWORD)
    change(plant, "panel", password=Secret("other"))
    assert services.password(plant.kernel.keyring, plant.service("panel")) == Secret("other")
    change(plant, "panel", password=Secret(""))
    assert plant.service("panel").sealed_password is None
    facts = [row["facts"] for row in plant.audit("service.change")]
    assert facts == [{"name": ["Panel", "Operator panel"]}, {"password": "set"}, {"password": "cleared"}]


def test_every_change_the_agent_must_know_makes_a_newer_configuration(plant: Plant) -> None:
    heard = plant.heard()
    before = plant.device().config_version
    change(plant, "hmi", port=8080)
    change(plant, "hmi", port=8080)
    assert plant.device().config_version == before + 1
    assert {"type": "config.changed", "device_id": plant.device_id, "version": before + 1} in heard
    with plant.writing() as unit:
        device, service = services.need(unit, plant.hmi.id)
        services.delete(unit, ACTOR, device, service)
    assert plant.device().config_version == before + 2


def test_the_slug_stays(plant: Plant) -> None:
    with pytest.raises(BadInput) as caught:
        change(plant, "hmi", slug="other")
    assert caught.value.code == "slug_fixed"


def test_a_new_protocol_brings_its_own_port_and_certificate_check(plant: Plant) -> None:
    change(plant, "hmi", protocol="https")
    service = plant.service("hmi")
    assert (service.port, service.tls_verify) == (443, "ca")


def test_another_kind_of_protocol_takes_no_options_and_no_password_along(plant: Plant) -> None:
    change(plant, "hmi", options={"auth": "basic", "user": "op"}, password=Secret("s3"))
    change(plant, "hmi", protocol="https")
    assert plant.service("hmi").options["user"] == "op"  # still a web page
    change(plant, "hmi", protocol="vnc")
    stored = plant.service("hmi")
    assert (stored.options, stored.sealed_password) == ({}, None)
    change(plant, "panel", protocol="http", password=Secret("given with the change"))
    assert services.password(plant.kernel.keyring, plant.service("panel")) == Secret("given with the change")


def test_a_password_is_for_the_panel_it_was_given_for(plant: Plant) -> None:
    """Who may change a panel, but does not know its password, could lead it to a computer of his own."""
    change(plant, "panel", host="192.168.0.11", port=5901, password=None)
    assert services.password(plant.kernel.keyring, plant.service("panel")) == Secret(PANEL_PASSWORD)
    change(plant, "panel", host="192.168.0.99", password=None)
    assert plant.service("panel").sealed_password is None
    assert plant.audit("service.change")[-1]["facts"]["password"] == "cleared"
    change(plant, "panel", host="192.168.0.98", password=Secret("its own"))
    assert services.password(plant.kernel.keyring, plant.service("panel")) == Secret("its own")


def test_credentials_are_only_those_that_somebody_chose_to_send(plant: Plant) -> None:
    keyring = plant.kernel.keyring
    change(plant, "hmi", password=Secret("s3"))
    assert services.credentials(keyring, plant.service("hmi")) is None
    change(plant, "hmi", options={"auth": "digest", "user": "op"})
    assert services.credentials(keyring, plant.service("hmi")) == ("op", Secret("s3"))
    change(plant, "hmi", password=Secret(""))
    assert services.credentials(keyring, plant.service("hmi")) == ("op", Secret(""))
    assert services.credentials(keyring, plant.service("panel")) is None


def test_a_change_replaces_the_options_as_a_whole_and_the_audit_shows_which(plant: Plant) -> None:
    change(plant, "hmi", options={"host": "hmi.example", "rewrite": True})
    change(plant, "hmi", name="HMI 2")
    change(plant, "hmi", options={"rewrite": True, "headers": [["X-A", "1"]]})
    assert plant.service("hmi").options == {"rewrite": True, "headers": [["X-A", "1"]]}
    assert [row["facts"] for row in plant.audit("service.change")] == [
        {"options": {"host": ["", "hmi.example"], "rewrite": [False, True]}},
        {"name": ["HMI", "HMI 2"]},
        {"options": {"headers": [[], ["X-A: 1"]], "host": ["hmi.example", ""]}},
    ]
    made = plant.add_service("trend", options={"cache": False})
    assert made.options == {"cache": False}
    assert plant.audit("service.create")[-1]["facts"]["options"] == {"cache": False}


def test_a_companion_that_goes_is_named_no_more(plant: Plant) -> None:
    plant.add_service("socket", port=8080)
    plant.add_service("files", port=8081)
    change(plant, "hmi", options={"companions": ["socket", "files"]})
    change(plant, "files", protocol="vnc")
    assert plant.audit("service.change")[-1]["facts"]["no_companion_of"] == ["hmi"]
    assert plant.service("hmi").options == {"companions": ["socket"]}
    with plant.writing() as unit:
        device, service = services.need(unit, plant.service("socket").id)
        services.delete(unit, ACTOR, device, service)
    assert plant.service("hmi").options == {}
    assert plant.audit("service.delete")[-1]["facts"]["no_companion_of"] == ["hmi"]
    change(plant, "hmi", port=8000)  # and the service can still be changed


def test_permission_is_the_higher_of_what_applies_and_hidden_services_are_for_managers(plant: Plant) -> None:
    device, shown = plant.device(), plant.service("hmi")
    hidden = plant.add_service("hidden", visible=False)
    watcher = Rights(devices={device.id: Level.WATCH})
    assert services.permission(watcher, device, shown) == "watch"
    assert services.permission(Rights(everything=Level.OPERATE), device, shown) == "operate"
    assert services.permission(Rights(devices={device.id: Level.SEE}), device, shown) is None
    assert services.permission(Rights(everything=Level.OPERATE), device, hidden) is None
    assert services.permission(Rights(administrator=True), device, hidden) == "operate"


def test_what_a_link_made_opens_by_level_and_by_rights_on_the_whole_device() -> None:
    """Beside `levels.prune`, which removes what the level forbids, and the API, which grants nobody such a service."""
    made = Service(id="s1", device_id="d1", slug="ip-10-0-0-5-80", kind=levels.ADHOC, visible=True)
    operator = Rights(devices={"d1": Level.OPERATE})
    for level, word in (("standard", "operate"), ("high", "operate"), ("enforced", None), ("ultra", None), ("", None)):
        assert services.permission(operator, Device(id="d1", level=level), made) == word
    for rights in (Rights(devices={"d1": Level.WATCH}), Rights(services={"s1": Level.MANAGE}), Rights()):
        assert services.permission(rights, Device(id="d1", level="standard"), made) is None


def test_a_device_has_a_limited_number_of_services(plant: Plant) -> None:
    for number in range(services.SERVICES_LIMIT - 2):
        plant.add_service(f"s{number}")
    with pytest.raises(BadInput) as caught:
        plant.add_service("one-more")
    assert caught.value.code == "too_many_services"
