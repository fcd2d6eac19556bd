from __future__ import annotations

import asyncio

import pytest

from panelgate.clock import FakeClock, iso
from tests.fakes.access_stub import AccessStub
from tests.fakes.front import until
from webproxy.connections import IDLE_SECONDS, Connections
from webproxy.sessions import ServiceSession

CLIENT = {"address": "1.2.3.4", "user_agent": "x"}


def made() -> tuple[Connections, AccessStub, FakeClock, ServiceSession]:
    access, clock = AccessStub(), FakeClock()
    label = access.add_session("tok")
    return Connections(access, clock), access, clock, ServiceSession.of(access.sessions["tok", label])


async def test_announced_reported_and_ended_when_idle() -> None:
    connections, access, clock, session = made()
    connection = connections.open(session, "tok", "c1", CLIENT)
    connection.add_up(10)
    connection.add_down(20)
    await connections.flush()
    assert access.connections["con1"]["client"] == CLIENT
    row = access.reports["con1"]
    assert (row["bytes_up"], row["bytes_down"], row["ended"]) == (10, 20, None)
    clock.advance(IDLE_SECONDS - 1)
    await connections.flush()
    assert not connection.ended
    clock.advance(2)
    await connections.flush()
    assert access.reports["con1"]["ended"] == {"reason": "idle"}
    calls = len(access.calls)
    await connections.flush()
    assert len(access.calls) == calls


async def test_a_held_one_outlives_silence() -> None:
    connections, access, clock, session = made()
    connection = await connections.begin(session, "tok", "c1", CLIENT)
    await connections.flush()
    clock.advance(1000)
    await connections.flush()
    assert not connection.ended
    connection.end("closed")
    connection.end("later")
    await connections.flush()
    assert access.reports["con1"]["ended"] == {"reason": "closed"}


async def test_access_down_loses_nothing() -> None:
    connections, access, _, session = made()
    access.down = True
    connection = connections.open(session, "tok", "c1", CLIENT)
    connection.add_down(7)
    await connections.flush()
    connection.end("closed")
    access.down = False
    await connections.flush()
    assert access.reports["con1"]["bytes_down"] == 7
    assert access.reports["con1"]["ended"] == {"reason": "closed"}


async def test_the_end_of_a_session_and_of_the_process() -> None:
    connections, access, _, session = made()
    first = connections.open(session, "tok", "c1", CLIENT)
    connections.end_session("s1", "session ended")
    assert first.reason == "session ended"
    second = connections.open(session, "tok", "c1", CLIENT)
    await connections.stop()
    assert second.reason == "web proxy ends"
    assert len(access.reports) == 2


async def test_a_refused_one_is_dropped() -> None:
    connections, access, _, session = made()
    access.sessions.clear()
    connection = connections.open(session, "tok", "c1", CLIENT)
    await connections.flush()
    assert connection.reason == "no_session"
    assert access.reports == {}


async def test_announced_at_once_by_the_running_reporter() -> None:
    connections, access, _, session = made()
    task = asyncio.get_running_loop().create_task(connections.run())
    connections.open(session, "tok", "c1", CLIENT)
    async with asyncio.timeout(1):
        await until(lambda: access.connections)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_end_is_the_moment_it_ended_not_that_of_a_report() -> None:
    connections, access, clock, session = made()
    connection = await connections.begin(session, "tok", "c1", CLIENT)
    started = clock.now()
    await connections.flush()
    clock.advance(12)
    connection.end("closed")
    clock.advance(4)
    await connections.flush()
    assert access.reports["con1"]["last_activity"] == iso(started + 12)


async def test_an_open_socket_without_bytes_is_use_until_it_closes() -> None:
    connections, access, clock, session = made()
    connection = connections.open(session, "tok", "c1", CLIENT)
    connection.hold(True)
    connection.add_down(5)
    connections.look()
    started = clock.now()
    clock.advance(12)
    connection.hold(False)
    clock.advance(IDLE_SECONDS + 1)
    await connections.flush()
    assert access.reports["con1"]["ended"] == {"reason": "idle"}
    assert access.reports["con1"]["last_activity"] == iso(started + 12)


async def test_reports_are_in_time_however_much_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webproxy.connections.REPORT_SECONDS", 0.2)
    connections, access, _, session = made()
    task = asyncio.get_running_loop().create_task(connections.run())
    async with asyncio.timeout(5):
        while not access.reports:
            connections.open(session, "tok", "c1", CLIENT)
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
