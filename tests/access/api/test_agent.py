"""The agent's API: enrol, connect, configuration, renewal; a revoked certificate is refused at the next call."""

from __future__ import annotations

from typing import Any

from access import devices
from panelgate.clock import FakeClock
from panelgate.pki import Identity, Role, from_pem, make_csr, make_key, peer_of
from panelgate.tickets import Verifier
from tests.access.test_authority import csr_naming
from tests.fakes.access_machines import LAN, Plant
from tests.fakes.access_world import ACTOR, Api

CONNECT = {"version": "0.1.0", "lan": [LAN]}


def body(key: str, serial: str = "SN-1", csr: str = "") -> dict[str, Any]:
    return {
        "key": key, "csr": csr or make_csr(make_key()), "serial": serial, "version": "0.1.0", "hostname": "box",
        "lan": [LAN],
    }  # fmt: skip


async def enrolled(api: Api, plant: Plant) -> Api:
    """The API as an agent that enrolled over it calls it."""
    key = make_key()
    answer = await api.as_role(None).post("/agent/v1/enrol", body(plant.key(), csr=make_csr(key)))
    identity = Identity(Role.AGENT, answer["device_id"], key, from_pem(answer["certificate"]), from_pem(answer["ca"]))
    return api.as_role(identity)


async def test_enrolling_answers_with_everything_the_agent_keeps(api: Api, plant: Plant) -> None:
    answer = await api.as_role(None).post("/agent/v1/enrol", body(plant.key(), csr=csr_naming("agent:victim")))
    assert (answer["device_id"], answer["account"], answer["device"]) == (plant.device_id, "acme", "press")
    assert answer["name"] == "Press 4"
    assert peer_of(from_pem(answer["certificate"])).id == plant.device_id
    assert Verifier(answer["ticket_keys"]).config(answer["config"])["device_id"] == plant.device_id


async def test_enrolling_twice_with_one_key_is_refused(api: Api, plant: Plant) -> None:
    key = plant.key()
    await api.as_role(None).post("/agent/v1/enrol", body(key))
    assert await api.as_role(None).refused("POST", "/agent/v1/enrol", body(key)) == (403, "key_used")


async def test_an_expired_and_a_half_key_are_refused(api: Api, plant: Plant, clock: FakeClock) -> None:
    key = plant.key()
    clock.advance(devices.KEY_SECONDS)
    assert await api.as_role(None).refused("POST", "/agent/v1/enrol", body(key)) == (403, "key_expired")
    assert await api.as_role(None).refused("POST", "/agent/v1/enrol", body(key[:-1])) == (400, "bad_key")


async def test_a_second_account_is_refused(api: Api, plant: Plant) -> None:
    await enrolled(api, plant)
    rival = Plant(plant.kernel, "rival")
    assert await api.as_role(None).refused("POST", "/agent/v1/enrol", body(rival.key())) == (409, "serial_bound")


async def test_open_calls_are_limited_and_bounded(api: Api, plant: Plant) -> None:
    nobody = api.as_role(None)
    large = body("pgk-x") | {"csr": "x" * 70_000}
    assert await nobody.refused("POST", "/agent/v1/enrol", large) == (413, "too_large")
    assert (await nobody.refused("POST", "/agent/v1/enrol", body("x") | {"csr": "x" * 9000}))[1] == "bad_input"
    codes = [(await nobody.refused("POST", "/agent/v1/enrol", body("pgk-x")))[1] for _ in range(25)]
    assert codes[0] == "bad_key"
    assert codes[-1] == "too_many_calls"


async def test_connecting_gives_a_relay_and_a_ticket_for_it(api: Api, plant: Plant, clock: FakeClock) -> None:
    agent = await enrolled(api, plant)
    assert await agent.refused("POST", "/agent/v1/connect", CONNECT) == (503, "no_relay")
    plant.relay("relay-1")
    answer = await agent.post("/agent/v1/connect", CONNECT)
    assert answer["relay"] == {"id": "relay-1", "url": "wss://relay-1.example.com"}
    ticket = Verifier(answer["ticket_keys"]).control(answer["ticket"], clock.now())
    assert agent.identity is not None
    assert (ticket.device_id, ticket.agent_fingerprint) == (plant.device_id, agent.identity.fingerprint)
    assert (ticket.relay_id, ticket.counter, answer["counter"]) == ("relay-1", 1, 1)
    assert (await agent.post("/agent/v1/connect", CONNECT))["counter"] == 2
    assert answer["config_version"] == plant.device().config_version


async def test_the_configuration_grows_with_its_services(api: Api, plant: Plant) -> None:
    agent = await enrolled(api, plant)
    before = plant.verifier().config((await agent.get("/agent/v1/config"))["config"])
    plant.add_service("new")
    after = plant.verifier().config((await agent.get("/agent/v1/config"))["config"])
    assert after["version"] == before["version"] + 1
    assert [row["slug"] for row in after["services"]] == ["hmi", "new", "panel"]


async def test_a_released_agent_is_refused_at_its_next_call(api: Api, plant: Plant) -> None:
    agent = await enrolled(api, plant)
    await agent.get("/agent/v1/config")
    with plant.writing() as unit:
        devices.release(unit, ACTOR, devices.need(unit, plant.device_id))
    for method, path, given in (
        ("GET", "/agent/v1/config", None),
        ("POST", "/agent/v1/connect", CONNECT),
        ("POST", "/agent/v1/renew", {"csr": make_csr(make_key())}),
    ):
        assert await agent.refused(method, path, given) == (401, "device_revoked")


async def test_renewal_hands_over_without_a_gap(api: Api, plant: Plant, clock: FakeClock) -> None:
    agent = await enrolled(api, plant)
    plant.relay("relay-1")
    clock.advance(1)
    key = make_key()
    answer = await agent.post("/agent/v1/renew", {"csr": make_csr(key)})
    assert agent.identity is not None
    renewed = api.as_role(
        Identity(Role.AGENT, plant.device_id, key, from_pem(answer["certificate"]), agent.identity.ca)
    )
    await agent.get("/agent/v1/config")
    await renewed.post("/agent/v1/connect", CONNECT)
    assert await agent.refused("GET", "/agent/v1/config") == (401, "device_revoked")
    assert renewed.identity is not None
    assert plant.device().fingerprint == renewed.identity.fingerprint


async def test_other_roles_and_nobody_are_turned_away(api: Api, plant: Plant) -> None:
    assert await api.refused("POST", "/agent/v1/connect", CONNECT) == (403, "wrong_role")
    assert await api.as_role(None).refused("GET", "/agent/v1/config") == (401, "bad_assertion")
