"""The relay's API: registering, reporting, presence with its fence, events."""

from __future__ import annotations

from typing import Any

from access import devices
from access.api.relay import CIRCUITS_LIMIT
from access.kernel import Kernel
from access.models.machines import Relay
from panelgate.pki import Role
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR, Api, make_identity


def relay_of(api: Api, kernel: Kernel, ident: str = "relay-1") -> Api:
    return api.as_role(make_identity(kernel, Role.RELAY, ident))


def device(plant: Plant, counter: int) -> dict[str, Any]:
    return {
        "device_id": plant.device_id, "counter": counter, "address": "198.51.100.4", "since": "2027-01-15T08:00:00Z"
    }  # fmt: skip


def news(plant: Plant, counter: int, state: str) -> dict[str, Any]:
    return {"device_id": plant.device_id, "counter": counter, "state": state, "address": "198.51.100.4"}


async def test_register_report_and_presence(api: Api, plant: Plant) -> None:
    relay = relay_of(api, plant.kernel)
    empty: dict[str, Any] = {"circuits": 0, "devices": [], "bytes": 0}
    assert await relay.refused("POST", "/relay/v1/report", empty) == (400, "not_registered")
    await relay.post("/relay/v1/register", {"url": "wss://127.0.0.1:8442", "version": "0.1.0"})
    plant.enrol()
    ident, counter = plant.connect()
    assert ident == "relay-1"
    await relay.post("/relay/v1/report", {"circuits": 3, "devices": [device(plant, counter)], "bytes": 12345})
    assert plant.presence().online
    with plant.kernel.store.operator() as unit:
        row = unit.need(Relay, "relay-1")
        assert (row.circuits, row.devices, row.bytes) == (3, 1, 12345)
    assert await relay.post("/relay/v1/presence", news(plant, counter, "down")) == {"accepted": True}
    assert not plant.presence().online


async def test_a_late_report_is_not_accepted(api: Api, plant: Plant) -> None:
    one, two = relay_of(api, plant.kernel, "relay-1"), relay_of(api, plant.kernel, "relay-2")
    await one.post("/relay/v1/register", {"url": "wss://one", "version": "0"})
    plant.enrol()
    plant.connect()
    await one.post("/relay/v1/presence", news(plant, 1, "up"))
    await two.post("/relay/v1/register", {"url": "wss://two", "version": "0"})
    with plant.writing() as unit:
        from access import devices, relays

        relays.move(unit, devices.need(unit, plant.device_id), "relay-2")
    assert plant.connect() == ("relay-2", 2)
    assert await two.post("/relay/v1/presence", news(plant, 2, "up")) == {"accepted": True}
    assert await one.post("/relay/v1/presence", news(plant, 1, "down")) == {"accepted": False}
    await one.post("/relay/v1/report", {"circuits": 0, "devices": [device(plant, 1)], "bytes": 0})
    assert (plant.presence().online, plant.presence().up_relay_id) == (True, "relay-2")


async def test_the_answer_to_a_report_repeats_what_was_missed(api: Api, plant: Plant) -> None:
    relay = relay_of(api, plant.kernel)
    await relay.post("/relay/v1/register", {"url": "wss://one", "version": "0"})
    plant.enrol()
    _, counter = plant.connect()
    body: dict[str, Any] = {"circuits": 1, "circuit_ids": ["gone"], "devices": [device(plant, counter)], "bytes": 0}
    assert await relay.post("/relay/v1/report", body) == {"cut": ["gone"], "revoked": []}
    with plant.writing() as unit:
        devices.release(unit, ACTOR, devices.need(unit, plant.device_id))
    assert await relay.post("/relay/v1/report", body) == {"cut": ["gone"], "revoked": [plant.device_id]}
    many = [f"{number:032x}" for number in range(CIRCUITS_LIMIT + 1)]
    assert (await relay.refused("POST", "/relay/v1/report", body | {"circuit_ids": many}))[1] == "bad_input"


async def test_a_large_report_fits(api: Api, plant: Plant) -> None:
    relay = relay_of(api, plant.kernel)
    await relay.post("/relay/v1/register", {"url": "wss://one", "version": "0"})
    many = [device(plant, 1) | {"device_id": f"{number:032x}"} for number in range(600)]
    await relay.post("/relay/v1/report", {"circuits": 0, "devices": many, "bytes": 0})


async def test_only_relays_may_call(api: Api, plant: Plant) -> None:
    for method, path in (("POST", "/relay/v1/register"), ("GET", "/relay/v1/events")):
        assert (await api.refused(method, path, {"url": "wss://x", "version": "0"}))[1] == "wrong_role"
    assert (await api.as_role(None).refused("GET", "/relay/v1/events"))[1] == "bad_assertion"
    relay = relay_of(api, plant.kernel)
    assert (await relay.refused("POST", "/relay/v1/register", {"url": "http://x", "version": "0"}))[1] == "bad_url"


async def test_the_event_stream_carries_cuts_and_configurations(plant: Plant) -> None:
    lines = plant.kernel.hub.ndjson("relay", ping_seconds=5)
    assert b'"ping"' in await anext(lines)
    plant.add_service("new")
    text = (await anext(lines)).decode()
    assert '"config.changed"' in text
    assert "access.changed" not in text
    await lines.aclose()  # type: ignore[attr-defined]
