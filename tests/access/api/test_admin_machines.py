"""Administration of machines over the API: rights, audit, and what pages get back."""

from __future__ import annotations

from typing import Any

from panelgate.pki import Role, make_csr, make_key
from tests.access.test_adhoc import at_level
from tests.fakes.access_machines import NONCE_HASH, Plant
from tests.fakes.access_world import Api

SERVICE: dict[str, Any] = {
    "slug": "web", "name": "Web", "host": "192.168.0.30", "port": 8080, "protocol": "http", "path": "/start",
    "visible": True, "password": "panel-pw", "tls_verify": "none", "tls_pin": None,
}  # fmt: skip


async def test_a_machine_from_entry_to_removal(api: Api, plant: Plant) -> None:
    session = plant.session
    made = await api.post(
        "/admin/v1/devices", {"slug": "mixer", "name": "Mixer", "site": "A", "description": "", "lan": ["10.0.0.0/24"]},
        session=session,
    )  # fmt: skip
    device = made["device"]
    assert (device["slug"], device["status"], device["lan"]) == ("mixer", "never", ["10.0.0.0/24"])
    path = f"/admin/v1/devices/{device['id']}"
    changed = await api.call("PATCH", path, {"name": "Mixer 2"}, session=session)
    assert changed.json()["device"]["name"] == "Mixer 2"
    key = await api.post(f"{path}/activation-key", session=session)
    assert key["command"] == f"panelgate agent enrol --key {key['key']} --access https://127.0.0.1:8441"
    body = {"key": key["key"], "csr": make_csr(make_key()), "serial": "SN-5", "version": "1", "lan": []}
    await api.as_role(None).post("/agent/v1/enrol", body)
    await api.post(f"{path}/release", session=session)
    assert await api.refused("POST", f"{path}/release", session=session) == (409, "not_enrolled")
    assert (await api.call("DELETE", path, session=session)).status_code == 200
    assert await api.refused("DELETE", path, session=session) == (404, "not_found")
    actions = {row["action"] for row in (await api.get("/admin/v1/audit?q=mixer", session=session))["rows"]}
    wanted = {"create", "change", "activation_key", "enrol", "release", "delete"}
    assert actions == {f"device.{word}" for word in wanted}
    assert (await api.get("/admin/v1/audit/verify", session=session))["ok"] is True


async def test_a_service_has_a_port_where_services_have_ports(api: Api, plant: Plant) -> None:
    plant.kernel.settings.origins, plant.kernel.settings.origin_ports = "ports", "20000-20001"
    path = f"/admin/v1/devices/{plant.device_id}/services"
    made = await api.post(path, SERVICE, session=plant.session)
    assert made["service"]["public_port"] == 20000
    link = {"account": "acme", "device": "press", "service": "hmi"}
    found = await api.post("/webproxy/v1/resolve", link, session=plant.session)
    assert found["service"]["public_port"] == 20001, "the first opening gives what the making did not"
    assert await api.get("/webproxy/v1/ports/20001") == {"host_label": "hmi--press--acme"}
    assert await api.get("/webproxy/v1/ports/20002") == {"host_label": ""}
    code = await api.post(
        "/webproxy/v1/handoff", {"public_port": 20001, "nonce_hash": NONCE_HASH}, session=plant.session
    )
    assert code["host_label"] == "hmi--press--acme"
    more = SERVICE | {"slug": "more"}
    assert await api.refused("POST", path, more, session=plant.session) == (409, "no_port_left")
    devices = await api.get("/webproxy/v1/devices/press", session=plant.session)
    assert "more" not in {row["slug"] for row in devices["services"]}


async def test_a_service_from_entry_to_removal(api: Api, plant: Plant) -> None:
    session = plant.session
    made = await api.post(f"/admin/v1/devices/{plant.device_id}/services", SERVICE, session=session)
    service = made["service"]
    assert (service["host_label"], service["has_password"]) == ("web--press--acme", True)
    assert "password" not in service
    path = f"/admin/v1/services/{service['id']}"
    cleared = (await api.call("PATCH", path, {"password": "", "port": 81}, session=session)).json()["service"]
    assert (cleared["has_password"], cleared["port"], cleared["path"]) == (False, 81, "/start")
    assert (await api.call("DELETE", path, session=session)).status_code == 200
    assert await api.refused("PATCH", path, {"port": 82}, session=session) == (404, "not_found")


async def test_options_are_replaced_as_a_whole_and_checked(api: Api, plant: Plant) -> None:
    session = plant.session
    body = SERVICE | {"options": {"host": "hmi.example", "companions": ["hmi"]}}
    made = (await api.post(f"/admin/v1/devices/{plant.device_id}/services", body, session=session))["service"]
    assert made["options"] == {"host": "hmi.example", "companions": ["hmi"]}
    path = f"/admin/v1/services/{made['id']}"
    kept = (await api.call("PATCH", path, {"name": "W"}, session=session)).json()["service"]
    assert kept["options"] == made["options"]
    replaced = (await api.call("PATCH", path, {"options": {"cache": False}}, session=session)).json()["service"]
    assert replaced["options"] == {"cache": False}
    bad = await api.call("PATCH", path, {"options": {"auth": "basic"}}, session=session)
    error = bad.json()["error"]
    assert (bad.status_code, error["code"], error["facts"]["option"]) == (400, "bad_option", "user")
    assert await api.refused("PATCH", path, {"options": {"rewrite": "yes"}}, session=session) == (400, "bad_option")


async def test_targets_that_lead_elsewhere_are_refused(api: Api, plant: Plant) -> None:
    path = f"/admin/v1/devices/{plant.device_id}/services"
    for host in ("127.0.0.1", "169.254.169.254", "::1", "0x7f000001", "2130706433", "localhost", "::ffff:127.0.0.1"):
        status, code = await api.refused("POST", path, SERVICE | {"host": host}, session=plant.session)
        assert (status, code) in ((400, "host_forbidden"), (400, "host_not_ip")), host
    other = await api.refused("POST", path, SERVICE | {"host": "8.8.8.8"}, session=plant.session)
    assert other == (400, "host_outside_lan")
    lan = {"name": "x", "lan": ["127.0.0.0/24"]}
    assert await api.refused("POST", "/admin/v1/devices", lan, session=plant.session) == (400, "bad_lan")


async def test_rights_are_checked_for_the_very_device_and_refusals_audited(api: Api, plant: Plant) -> None:
    _, operator = plant.member("olga", "operate")
    _, manager = plant.member("mia", "manage")
    _, stranger = plant.member("nina", None)
    path = f"/admin/v1/devices/{plant.device_id}"
    assert await api.refused("PATCH", path, {"name": "x"}, session=operator) == (403, "not_allowed")
    assert await api.refused("POST", f"{path}/activation-key", session=operator) == (403, "not_allowed")
    assert await api.refused("PATCH", path, {"name": "x"}, session=stranger) == (404, "not_found")
    assert (await api.call("PATCH", path, {"name": "By Mia"}, session=manager)).status_code == 200
    assert await api.refused("DELETE", path, session=manager) == (403, "not_allowed")
    assert await api.refused("POST", "/admin/v1/devices", {"name": "x"}, session=manager) == (403, "not_allowed")
    rows = plant.audit("refused")
    assert [(row["user"], row["facts"]["what"]) for row in rows] == [
        ("olga", "device.change"), ("olga", "device.activation_key"),
        ("mia", "device.delete"), ("mia", "device.create"),
    ]  # fmt: skip


async def test_another_accounts_machines_are_not_found(api: Api, plant: Plant) -> None:
    rival = Plant(plant.kernel, "rival")
    for method, path, body in (
        ("PATCH", f"/admin/v1/devices/{plant.device_id}", {"name": "x"}),
        ("DELETE", f"/admin/v1/devices/{plant.device_id}", None),
        ("POST", f"/admin/v1/devices/{plant.device_id}/activation-key", None),
        ("POST", f"/admin/v1/devices/{plant.device_id}/release", None),
        ("POST", f"/admin/v1/devices/{plant.device_id}/services", SERVICE),
        ("PATCH", f"/admin/v1/services/{plant.hmi.id}", {"port": 1}),
        ("DELETE", f"/admin/v1/services/{plant.hmi.id}", None),
    ):
        assert await api.refused(method, path, body, session=rival.session) == (404, "not_found")


async def test_a_field_that_does_not_exist_is_refused(api: Api, plant: Plant) -> None:
    path = f"/admin/v1/devices/{plant.device_id}"
    assert await api.refused("PATCH", path, {"slug": "x"}, session=plant.session) == (400, "bad_input")
    agent = api.as_role(plant.enrol())
    assert agent.identity is not None
    assert agent.identity.role is Role.AGENT
    assert await agent.refused("PATCH", path, {"name": "x"}, session=plant.session) == (403, "wrong_role")


async def test_who_manages_one_service_makes_no_door_of_it_to_the_others(api: Api, plant: Plant) -> None:
    plant.add_service("socket", port=8080)
    user_id, session = plant.member("sam", None)
    plant.grant(user_id, "manage", service_id=plant.hmi.id)
    path = f"/admin/v1/services/{plant.hmi.id}"
    for change in (
        {"host": "192.168.0.99"}, {"port": 8081}, {"protocol": "vnc"}, {"options": {"companions": ["socket"]}},
    ):  # fmt: skip
        assert await api.refused("PATCH", path, change, session=session) == (403, "not_allowed")
    kept = {"name": "Sam's", "host": "192.168.0.10", "options": {"forwarded": True}}
    assert (await api.call("PATCH", path, kept, session=session)).status_code == 200
    for odd in ([["socket"]], 5, None):
        assert (await api.refused("PATCH", path, {"options": {"companions": odd}}, session=session))[1] != "broken"


async def test_the_firewall_level_is_for_managers_and_in_the_audit(api: Api, plant: Plant) -> None:
    path = f"/admin/v1/devices/{plant.device_id}"
    _, operator = plant.member("olga", "operate")
    assert await api.refused("PATCH", path, {"level": "standard"}, session=operator) == (403, "not_allowed")
    wrong = await api.refused("PATCH", path, {"level": "open"}, session=plant.session)
    assert wrong == (400, "bad_firewall_level")
    _, manager = plant.member("mia", "manage")
    changed = (await api.call("PATCH", path, {"level": "standard"}, session=manager)).json()["device"]
    assert changed["level"] == "standard"
    assert plant.audit("device.change")[-1]["facts"] == {"level": ["enforced", "standard"]}
    assert plant.device().config_version == 4


async def test_what_a_link_made_is_kept_by_managers_and_granted_to_nobody(api: Api, plant: Plant) -> None:
    at_level(plant, "standard")
    link = {"account": "acme", "device": "press", "ip": "192.168.0.10", "port": 8080, "open": True}
    made = (await api.post("/webproxy/v1/resolve", link, session=plant.session))["service"]
    user_id, operator = plant.member("olga", "operate")
    grants = {"all": None, "devices": {}, "services": {made["id"]: "operate"}}
    path = f"/admin/v1/users/{user_id}/grants"
    assert await api.refused("PUT", path, grants, session=plant.session) == (404, "not_found")
    keep = f"/admin/v1/services/{made['id']}/keep"
    assert await api.refused("POST", keep, session=operator) == (403, "not_allowed")
    assert (await api.post(keep, session=plant.session))["service"]["kind"] == "lan"
    assert await api.refused("POST", keep, session=plant.session) == (409, "not_adhoc")
    assert (await api.call("PUT", path, grants, session=plant.session)).status_code == 200
