"""The web proxy's API on machines: from the list of devices to the audit row of a connection."""

from __future__ import annotations

from typing import Any

from access.kernel import Kernel
from access.throttle import ADDRESSES_PER_MINUTE, Throttle
from panelgate.clock import FakeClock, iso
from panelgate.log import Secret
from tests.access.test_adhoc import at_level
from tests.fakes.access_machines import NONCE_HASH, PANEL_PASSWORD, Plant
from tests.fakes.access_world import CLIENT, Api

HMI = "hmi--press--acme"
PANEL = "panel--press--acme"


async def open_service(api: Api, plant: Plant, label: str = HMI, session: str = "") -> dict[str, str]:
    """Go through the hand-off: what every later call at the service carries."""
    body = {"host_label": label, "nonce_hash": NONCE_HASH}
    code = (await api.post("/webproxy/v1/handoff", body, session=session or plant.session))["code"]
    answer = await api.post("/webproxy/v1/handoff/redeem", body | {"code": code})
    return {"service_token": answer["service_token"], "host_label": label}


async def test_the_list_and_a_devices_page(api: Api, plant: Plant) -> None:
    found = await api.get("/webproxy/v1/devices?q=hall&status=never", session=plant.session)
    assert [row["slug"] for row in found["devices"]] == ["press"]
    page = await api.get("/webproxy/v1/devices/press", session=plant.session)
    assert (page["lan"], page["recent"]) == (["192.168.0.0/24"], [])
    missing = ("GET", "/webproxy/v1/devices/nothing")
    assert await api.refused(*missing, session=plant.session) == (404, "not_found")
    assert await api.refused("GET", "/webproxy/v1/devices") == (401, "no_session")


async def test_a_foreign_device_and_an_unknown_one_answer_alike(api: Api, plant: Plant) -> None:
    rival = Plant(plant.kernel, "rival")
    answers = []
    for parts in (
        {"account": "acme", "device": "press", "service": "hmi"},
        {"account": "acme", "device": "nothing", "service": "hmi"},
        {"account": "nobody", "device": "press"},
    ):
        answer = await api.call("POST", "/webproxy/v1/resolve", parts, session=rival.session)
        answers.append((answer.status_code, answer.text))
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    body = {"host_label": HMI, "nonce_hash": NONCE_HASH}
    assert await api.refused("POST", "/webproxy/v1/handoff", body, session=rival.session) == (404, "not_found")


async def test_nobody_buries_the_history_under_refusals(api: Api, plant: Plant, kernel: Kernel) -> None:
    kernel.refusals = Throttle(per_minute=3)
    _, session = plant.member("olga", "operate")
    for number in range(5):
        link = {"account": "acme", "device": f"nothing-{number}"}
        assert await api.refused("POST", "/webproxy/v1/resolve", link, session=session) == (404, "not_found")
        path = f"/admin/v1/devices/{plant.device_id}"
        assert await api.refused("PATCH", path, {"name": "x"}, session=session) == (403, "not_allowed")
    assert len(plant.audit("refused")) == 3
    link = {"account": "acme", "device": "nothing"}
    await api.refused("POST", "/webproxy/v1/resolve", link, session=plant.session)
    assert len(plant.audit("refused")) == 4  # another person's are noted all the same


async def test_the_three_forms_of_deep_links(api: Api, plant: Plant) -> None:
    link = {"account": "acme", "device": "press"}
    for more, label in (({}, None), ({"service": "hmi"}, HMI), ({"ip": "192.168.0.11", "port": 5900}, PANEL)):
        found = await api.post("/webproxy/v1/resolve", link | more, session=plant.session)
        assert found["host_label"] == label


async def test_a_code_is_good_once_for_one_host_and_one_browser(api: Api, plant: Plant, clock: FakeClock) -> None:
    async def code() -> str:
        body = {"host_label": HMI, "nonce_hash": NONCE_HASH}
        text: str = (await api.post("/webproxy/v1/handoff", body, session=plant.session))["code"]
        return text

    async def refused(text: str, label: str = HMI, nonce: str = NONCE_HASH) -> tuple[int, str]:
        body = {"code": text, "host_label": label, "nonce_hash": nonce}
        return await api.refused("POST", "/webproxy/v1/handoff/redeem", body)

    used = await code()
    await api.post("/webproxy/v1/handoff/redeem", {"code": used, "host_label": HMI, "nonce_hash": NONCE_HASH})
    late = await code()
    found = [await refused(used), await refused(await code(), PANEL), await refused(await code(), nonce="b" * 64)]
    clock.advance(60)
    found.append(await refused(late))
    assert set(found) == {(403, "bad_code")}


async def test_a_session_at_a_service_is_looked_at_anew(api: Api, plant: Plant) -> None:
    user_id, session = plant.member()
    at = await open_service(api, plant, session=session)
    found = (await api.post("/webproxy/v1/service-session", at | {"active": True}))["service_session"]
    assert (found["permission"], found["service"]["slug"]) == ("operate", "hmi")
    plant.revoke_grants(user_id)
    assert await api.refused("POST", "/webproxy/v1/service-session", at | {"active": False}) == (401, "no_session")
    assert await api.refused("POST", "/webproxy/v1/circuits", at | {"purpose": "http"}) == (401, "no_session")


async def test_signing_out_ends_the_services(api: Api, plant: Plant) -> None:
    at = await open_service(api, plant)
    await api.post("/webproxy/v1/sign-out", session=plant.session)
    assert await api.refused("POST", "/webproxy/v1/service-session", at | {"active": True}) == (401, "no_session")


async def test_an_offline_device_answers_since_when(api: Api, plant: Plant, clock: FakeClock) -> None:
    relay = plant.online()
    at = await open_service(api, plant)
    plant.note(relay, 1, up=False)
    answer = await api.call("POST", "/webproxy/v1/circuits", at | {"purpose": "http"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "device_offline")
    assert (error["facts"]["since"], error["facts"]["last_address"]) == (iso(clock.now()), "198.51.100.4")


async def test_a_circuit_comes_with_ticket_relay_and_agent(api: Api, plant: Plant, clock: FakeClock) -> None:
    plant.online()
    made = await api.post("/webproxy/v1/circuits", await open_service(api, plant) | {"purpose": "http"})
    ticket = plant.verifier().circuit(made["ticket"], clock.now())
    assert api.identity is not None
    assert (ticket.webproxy_id, ticket.webproxy_fingerprint) == (api.identity.id, api.identity.fingerprint)
    assert made["relay"] == {"id": "relay-1", "url": "wss://relay-1.example.com"}
    assert made["agent"] == {"id": plant.device_id, "fingerprint": plant.device().fingerprint}
    assert made["credentials"] is None


async def test_a_panels_password_is_in_no_answer_but_circuits(api: Api, plant: Plant) -> None:
    plant.online()
    at = await open_service(api, plant, PANEL)
    session = plant.session
    link = {"account": "acme", "device": "press", "service": "panel"}
    texts = [
        (await api.call("GET", "/webproxy/v1/devices", session=session)).text,
        (await api.call("GET", "/webproxy/v1/devices/press", session=session)).text,
        (await api.call("POST", "/webproxy/v1/resolve", link, session=session)).text,
        (await api.call("POST", "/webproxy/v1/service-session", at | {"active": True})).text,
        (await api.call("PATCH", f"/admin/v1/services/{plant.panel.id}", {"name": "P"}, session=session)).text,
        (await api.call("GET", "/admin/v1/audit", session=session)).text,
    ]
    assert all("Panel" in text or "panel" in text for text in texts)
    assert not any(PANEL_PASSWORD in text for text in texts)
    made = await api.post("/webproxy/v1/circuits", at | {"purpose": "viewer"})
    assert made["credentials"] == {"password": PANEL_PASSWORD}


async def test_sign_ins_at_panels_are_in_no_answer_but_circuits(api: Api, plant: Plant) -> None:
    plant.online()
    options = {"auth": "basic", "user": "hmi-user-7"}
    web = plant.add_service("web", options=options, password=Secret("web-secret-9"))
    user_id, member = plant.member("olga", "operate")
    del user_id
    at = await open_service(api, plant, web.host_label)
    link = {"account": "acme", "device": "press", "service": "web"}
    service = f"/admin/v1/services/{web.id}"
    texts = [
        (await api.call("GET", "/webproxy/v1/devices", session=plant.session)).text,
        (await api.call("GET", "/webproxy/v1/devices/press", session=plant.session)).text,
        (await api.call("POST", "/webproxy/v1/resolve", link, session=plant.session)).text,
        (await api.call("POST", "/webproxy/v1/service-session", at | {"active": True})).text,
        (await api.call("PATCH", service, {"password": "web-secret-9"}, session=plant.session)).text,
        (await api.call("PATCH", service, {"options": options | {"user": "hmi-user-7"}}, session=plant.session)).text,
        (await api.call("GET", "/admin/v1/audit", session=plant.session)).text,
        (
            await api.call(
                "POST", "/webproxy/v1/circuits", await open_service(api, plant, PANEL) | {"purpose": "viewer"}
            )
        ).text,
    ]
    assert not any("web-secret-9" in text for text in texts)
    page = await api.call("GET", "/webproxy/v1/devices/press", session=member)
    assert "hmi-user-7" not in page.text
    for label in (web.host_label, HMI):  # the circuit is shared by all web services of the device
        made = await api.post("/webproxy/v1/circuits", await open_service(api, plant, label) | {"purpose": "http"})
        assert made["credentials"] == {"services": {web.id: {"user": "hmi-user-7", "password": "web-secret-9"}}}
    single, session = plant.member("sam", None)
    plant.grant(single, "operate", service_id=plant.hmi.id)
    at = await open_service(api, plant, session=session)
    assert (await api.post("/webproxy/v1/circuits", at | {"purpose": "http"}))["credentials"] is None


async def test_a_look_at_a_certificate_is_for_managers(api: Api, plant: Plant) -> None:
    plant.online()
    tls = plant.add_service("tls", protocol="https", options={"auth": "basic", "user": "op"}, password=Secret("pw"))
    made = await api.post(f"/webproxy/v1/services/{tls.id}/look", session=plant.session)
    assert set(made) == {"circuit_id", "ticket", "relay", "agent"}
    _, operator = plant.member("olga", "operate")
    path = f"/webproxy/v1/services/{tls.id}/look"
    assert await api.refused("POST", path, session=operator) == (403, "not_allowed")
    assert await api.refused("POST", path) == (401, "no_session")


async def test_a_refused_certificate_becomes_an_event(api: Api, plant: Plant) -> None:
    tls = plant.add_service("tls", protocol="https", tls_verify="pin", tls_pin="ab" * 32)
    _, operator = plant.member("olga", "operate")
    at = await open_service(api, plant, tls.host_label, operator)
    session = (await api.post("/webproxy/v1/service-session", at | {"active": True}))["service_session"]
    assert (session["service"]["tls_verify"], session["service"]["tls_pin"], session["manages"]) == (
        "pin", "ab" * 32, False,
    )  # fmt: skip
    for _ in range(2):
        assert await api.post("/webproxy/v1/certificate-refused", at | {"fingerprint": "cd" * 32}) == {}
    rows = (await api.get("/admin/v1/audit?action=service.certificate_refused", session=plant.session))["rows"]
    assert [row["facts"] for row in rows] == [{"shown": "cd" * 32, "pinned": "ab" * 32, "verify": "pin"}]
    bad = at | {"fingerprint": "no"}
    assert await api.refused("POST", "/webproxy/v1/certificate-refused", bad) == (400, "bad_fingerprint")


async def test_a_connection_from_begin_to_audit(api: Api, plant: Plant, clock: FakeClock) -> None:
    plant.online()
    at = await open_service(api, plant)
    circuit = (await api.post("/webproxy/v1/circuits", at | {"purpose": "http"}))["circuit_id"]
    begun = await api.post("/webproxy/v1/connections", at | {"circuit_id": circuit, "client": CLIENT})
    clock.advance(12)
    row: dict[str, Any] = {
        "id": begun["connection_id"], "bytes_up": 10, "bytes_down": 2000, "last_activity": iso(clock.now()),
        "ended": {"reason": "tab closed"},
    }  # fmt: skip
    await api.post("/webproxy/v1/connections/report", {"connections": [row]})
    found = (await api.get("/admin/v1/audit?action=connection", session=plant.session))["rows"]
    assert [(one["user"], one["device"], one["service"], one["address"]) for one in found] == [
        ("anna", "press", "hmi", CLIENT["address"])
    ]
    assert (found[0]["duration"], found[0]["bytes_up"], found[0]["bytes_down"]) == (12.0, 10, 2000)
    page = await api.get("/webproxy/v1/devices/press", session=plant.session)
    assert page["recent"][0]["reason"] == "tab closed"
    bad = {"connections": [row | {"last_activity": "yesterday"}]}
    assert await api.refused("POST", "/webproxy/v1/connections/report", bad) == (400, "bad_time")


async def test_other_roles_are_turned_away(api: Api, plant: Plant) -> None:
    relay = api.as_role(plant.relay("relay-1"))
    answer = await relay.refused("GET", "/webproxy/v1/devices", session=plant.session)
    assert answer == (403, "wrong_role")


async def test_signing_out_of_a_service_over_the_api(api: Api, plant: Plant) -> None:
    at = await open_service(api, plant)
    assert (await api.post("/webproxy/v1/service-session", at | {"active": True}))["service_session"]["siblings"] == []
    for _ in range(2):  # the answer doesn't say whether there was a session
        assert await api.post("/webproxy/v1/service-session/end", at) == {}
    assert await api.refused("POST", "/webproxy/v1/service-session", at | {"active": True}) == (401, "no_session")
    assert await api.refused("POST", "/webproxy/v1/circuits", at | {"purpose": "http"}) == (401, "no_session")


async def test_an_address_is_opened_when_the_person_asked_for_it_and_not_too_often(api: Api, plant: Plant) -> None:
    at_level(plant, "standard")
    link = {"account": "acme", "device": "x", "names": ["Press 4"], "ip": "192.168.0.10", "port": 8080}
    asked = await api.post("/webproxy/v1/resolve", link, session=plant.session)
    assert (asked["host_label"], asked["offer"]["protocol"]) == (None, "http")
    assert plant.audit("service.adhoc") == []
    made = await api.post("/webproxy/v1/resolve", link | {"open": True}, session=plant.session)
    assert made["host_label"] == "ip-192-168-0-10-8080--press--acme"
    for port in range(9200, 9200 + ADDRESSES_PER_MINUTE):
        answer = await api.call(
            "POST", "/webproxy/v1/resolve", link | {"open": True, "port": port}, session=plant.session
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_calls")
    # What is there already opens as before.
    again = await api.post("/webproxy/v1/resolve", link | {"open": True}, session=plant.session)
    assert again["service"] == made["service"]
