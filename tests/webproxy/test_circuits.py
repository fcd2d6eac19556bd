from __future__ import annotations

import asyncio
from typing import Any

import pytest

from panelgate.clock import FakeClock
from panelgate.errors import Refused, Unavailable
from tests.fakes.access_stub import AccessStub
from tests.fakes.circuit import FakeCircuit
from webproxy import circuits as module
from webproxy.circuits import IDLE_SECONDS, Circuits
from webproxy.sessions import ServiceSession


class World:
    def __init__(self) -> None:
        self.access = AccessStub()
        self.clock = FakeClock()
        self.made: list[FakeCircuit] = []
        self.error: Exception | None = None
        self.circuits = Circuits(self.access, self.open, self.clock)  # type: ignore[arg-type]

    async def open(self, **arguments: Any) -> FakeCircuit:
        assert arguments["relay_url"] == "wss://relay"
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.made.append(FakeCircuit({}))
        return self.made[-1]

    def session(self, token: str = "tok", **more: Any) -> ServiceSession:
        label = self.access.add_session(token, **more)
        return ServiceSession.of(self.access.sessions[token, label])


async def test_opened_once_for_all_who_ask() -> None:
    world = World()
    one, other = world.session(), world.session(service="cam", service_id="svc2")
    found = await asyncio.gather(*(world.circuits.http(s, "tok") for s in (one, other, one, one)))
    assert len(set(found)) == 1
    assert world.access.circuits == 1
    assert world.circuits.current(one) is found[0]
    assert world.circuits.circuit_id(one) == "c1"


async def test_sessions_and_devices_have_their_own() -> None:
    world = World()
    await world.circuits.http(world.session(), "tok")
    await world.circuits.http(world.session("two", session_id="s2"), "two")
    await world.circuits.http(world.session(device="oven"), "tok")
    assert len(world.made) == 3


async def test_opened_again_after_a_loss() -> None:
    world = World()
    session = world.session()
    first = await world.circuits.http(session, "tok")
    first.close()
    assert world.circuits.current(session) is None
    assert await world.circuits.http(session, "tok") is not first


async def test_after_a_loss_the_agent_gets_time_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECOVER_STEP_SECONDS", 0.01)
    world = World()
    session = world.session()
    (await world.circuits.http(session, "tok")).close()
    await asyncio.sleep(0)
    world.access.offline = {"since": "x"}
    waiting = asyncio.gather(world.circuits.http(session, "tok"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    world.access.offline = None
    async with asyncio.timeout(2):
        await waiting
    assert len(world.made) == 2


async def test_errors_carry_facts() -> None:
    world = World()
    session = world.session()
    world.access.offline = {"since": "2026"}
    with pytest.raises(Unavailable) as offline:
        await world.circuits.http(session, "tok")
    assert (offline.value.code, offline.value.facts) == ("device_offline", {"since": "2026"})
    world.access.offline = None
    for error, code in (
        (Refused("ticket"), "circuit_refused"), (Unavailable("circuit_timeout"), "relay_lost"), (OSError("no"),
        "relay_lost"),
        (TimeoutError(), "relay_lost"),
    ):  # fmt: skip
        world.error = error
        with pytest.raises(Unavailable) as found:
            await world.circuits.http(session, "tok")
        assert found.value.code == code


async def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    world = World()
    session = world.session()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await world.circuits.http(session, "tok")
    assert await world.circuits.http(session, "tok") is world.made[0]
    assert len(world.made) == 1


async def test_viewers_have_their_own_with_the_password() -> None:
    world = World()
    session = world.session(protocol="vnc")
    world.access.password = "panel"
    viewer = await world.circuits.viewer(session, "tok")
    assert viewer.password is not None
    assert viewer.password.reveal() == "panel"
    assert "panel" not in repr(viewer)
    assert world.circuits.current(session) is None
    world.access.password = None
    assert (await world.circuits.viewer(session, "tok")).password is None


async def test_the_session_ends() -> None:
    world = World()
    session = world.session()
    circuit = await world.circuits.http(session, "tok")
    world.circuits.event({"type": "session.ended", "session_id": "other"})
    assert circuit.is_open
    world.circuits.event({"type": "session.ended", "session_id": "s1"})
    assert not circuit.is_open


async def test_a_change_of_access_makes_a_new_one_and_leaves_open_streams() -> None:
    world = World()
    session = world.session()
    first = await world.circuits.http(session, "tok")
    world.circuits.event({"type": "access.changed", "account_id": "id-acme"})
    assert first.is_open
    assert await world.circuits.http(session, "tok") is not first
    world.circuits.sweep(set(), {first})
    assert first.is_open
    world.circuits.sweep(set(), set())
    assert not first.is_open


async def test_unused_ones_are_closed() -> None:
    world = World()
    session = world.session()
    circuit = await world.circuits.http(session, "tok")
    world.clock.advance(IDLE_SECONDS + 1)
    world.circuits.sweep({("s1", "id-press")}, set())
    assert circuit.is_open
    world.clock.advance(IDLE_SECONDS + 1)
    world.circuits.sweep(set(), set())
    assert not circuit.is_open
    again = await world.circuits.http(session, "tok")
    world.circuits.close_all()
    assert not again.is_open


async def test_a_circuit_that_is_too_old_is_replaced_once_in_a_while() -> None:
    world = World()
    session = world.session()
    first = await world.circuits.http(session, "tok")
    assert world.circuits.renew(session, first)
    assert first.is_open
    second = await world.circuits.http(session, "tok")
    assert second is not first
    assert world.circuits.renew(session, first)  # of those who were refused on the first one
    assert world.circuits.current(session) is second
    assert not world.circuits.renew(session, second)
    world.clock.advance(module.RENEW_SECONDS)
    assert world.circuits.renew(session, second)


async def test_after_a_gap_in_the_events_new_requests_get_a_new_ticket() -> None:
    world = World()
    session = world.session()
    first = await world.circuits.http(session, "tok")
    world.circuits.event({"type": "resync"})
    assert world.circuits.current(session) is None
    assert first.is_open
    world.circuits.sweep(set(), set())
    assert not first.is_open


async def test_credentials_come_with_the_circuit_and_go_with_it() -> None:
    world = World()
    session, other = world.session(), world.session(service="cam", service_id="svc2")
    assert world.circuits.credentials(session) is None
    world.access.credentials = {"svc1": {"user": "operator", "password": "top-secret"}, "svc9": {"user": "x"}}
    circuit = await world.circuits.http(session, "tok")
    found = world.circuits.credentials(session)
    assert found is not None
    assert (found[0], found[1].reveal()) == ("operator", "top-secret")
    assert world.circuits.credentials(other) is None
    assert "top-secret" not in repr(vars(world.circuits))
    # A corrected password comes with the circuit that follows.
    world.access.credentials["svc1"]["password"] = "better"
    world.circuits.event({"type": "access.changed", "account_id": "id-acme"})
    assert world.circuits.credentials(session) is None
    await world.circuits.http(session, "tok")
    found = world.circuits.credentials(session)
    assert found is not None
    assert found[1].reveal() == "better"
    circuit.close()
