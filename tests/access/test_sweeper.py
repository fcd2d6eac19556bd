"""What the server does by itself: falling silent is noticed, and what lost its permission is cut at once."""

from __future__ import annotations

import asyncio
from typing import Any

from access import circuits, devices, presence, sweeper
from access.kernel import Kernel
from access.models.machines import Circuit, Connection, Presence
from panelgate.clock import FakeClock
from tests.access.test_circuits import authorise
from tests.access.test_connections import begin
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR

WAIT_SECONDS = 10.0  # far more than a cut takes, on a loaded machine


def test_silence_is_noticed(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    begin(plant)
    clock.advance(31)
    sweeper.liveness(plant.kernel.store)
    with plant.reading() as unit:
        assert [row.online for row in unit.all(Presence)] == [False]
        assert [row.end_reason for row in unit.all(Connection)] == ["web proxy lost"]


def test_what_expired_is_dropped_and_ticket_keys_are_renewed(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    authorise(plant, plant.hmi)
    before = plant.verifier().key_ids
    clock.advance(40 * 86400)
    sweeper.tidy(plant.kernel)
    with plant.reading() as unit:
        assert unit.count(Circuit) == 0
    assert before < plant.verifier().key_ids


def test_from_key_to_audit_row_on_both_databases(both_kernel: Kernel, clock: FakeClock) -> None:
    plant = Plant(both_kernel)
    relay = plant.online()
    ident = begin(plant)
    plant.enrol("SN-1")
    plant.end_session()
    with plant.writing() as unit:
        devices.delete(unit, ACTOR, devices.need(unit, plant.device_id))
        assert circuits.cut_forbidden(unit) == 1
    clock.advance(40 * 86400)
    sweeper.liveness(both_kernel.store)
    sweeper.tidy(both_kernel)
    assert presence.sweep(both_kernel.store) == 0
    assert plant.note(relay, 1) is False
    assert plant.audit("connection")[0]["facts"]["connection"] == ident


def test_an_ended_session_cuts_its_circuits(plant: Plant) -> None:
    plant.online()
    made = authorise(plant, plant.hmi)
    session_id = plant.who().session_id
    heard = plant.heard()
    sweeper.cut(plant.kernel.store, {"type": "session.ended", "session_id": session_id})
    sweeper.cut(plant.kernel.store, {"type": "session.ended", "session_id": "unknown"})
    assert heard == [{"type": "circuit.cut", "circuit_id": made.circuit_id, "reason": "session_ended"}]


async def cut_after(plant: Plant, happening: Any) -> dict[str, Any]:
    """The first cut that the running sweeper publishes after something happened."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[dict[str, Any]] = loop.create_future()

    def hear(event: dict[str, Any]) -> None:
        if event["type"] == "circuit.cut":
            loop.call_soon_threadsafe(lambda: found.done() or found.set_result(event))

    plant.kernel.hub.listen(hear)
    async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(sweeper.run(plant.kernel))
        await asyncio.sleep(0)  # the sweeper's tasks start and listen
        await asyncio.sleep(0)
        await asyncio.to_thread(happening)
        event = await found
        running.cancel()
    return event


async def test_signing_out_cuts_while_the_server_runs(plant: Plant) -> None:
    plant.online()
    made = authorise(plant, plant.hmi)
    event = await cut_after(plant, plant.end_session)
    assert (event["circuit_id"], event["reason"]) == (made.circuit_id, "session_ended")


async def test_a_permission_that_is_taken_cuts_while_the_server_runs(plant: Plant) -> None:
    plant.online()
    user_id, session = plant.member()
    made = authorise(plant, plant.panel, purpose="viewer", session=session)

    def take() -> None:
        with plant.writing() as unit:
            unit.publish({"type": "access.changed", "account_id": plant.account_id})
            from access.models.people import Grant

            for grant in unit.all(Grant, Grant.user_id == user_id):
                unit.delete(grant)

    event = await cut_after(plant, take)
    assert (event["circuit_id"], event["reason"]) == (made.circuit_id, "access_changed")
