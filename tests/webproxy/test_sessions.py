from __future__ import annotations

import asyncio

import pytest

from panelgate.clock import FakeClock
from panelgate.errors import Refused, Unavailable
from tests.fakes.access_stub import AccessStub
from webproxy.sessions import FRESH_SECONDS, STALE_SECONDS, ServiceSession, ServiceSessions


def made() -> tuple[ServiceSessions, AccessStub, FakeClock, str]:
    access, clock = AccessStub(), FakeClock()
    return ServiceSessions(access, clock), access, clock, access.add_session("tok")


async def test_asked_once_a_minute() -> None:
    sessions, access, clock, label = made()
    assert sessions.cached("tok", label) is None
    session = await sessions.get("tok", label)
    assert (session.label, session.permission, session.service["slug"]) == (label, "operate", "hmi")
    for _ in range(5):
        await sessions.get("tok", label)
    assert access.count("service-session") == 1
    clock.advance(FRESH_SECONDS + 1)
    assert sessions.cached("tok", label) is None
    await sessions.get("tok", label)
    assert access.count("service-session") == 2


async def test_renewed_in_the_background_before_it_is_due() -> None:
    sessions, access, clock, label = made()
    await sessions.get("tok", label)
    clock.advance(FRESH_SECONDS - 10)
    assert sessions.cached("tok", label) is not None
    await asyncio.sleep(0.01)
    assert access.count("service-session") == 2


async def test_many_ask_at_once_and_access_hears_one() -> None:
    sessions, access, clock, label = made()
    await sessions.get("tok", label)
    clock.advance(FRESH_SECONDS + 1)
    await asyncio.gather(*(sessions.get("tok", label) for _ in range(10)))
    assert access.count("service-session") == 2


async def test_access_down() -> None:
    sessions, access, clock, label = made()
    await sessions.get("tok", label)
    access.down = True
    clock.advance(STALE_SECONDS - 1)
    assert (await sessions.get("tok", label)).label == label
    calls = access.count("service-session")
    await sessions.get("tok", label)
    assert access.count("service-session") == calls
    with pytest.raises(Unavailable):
        await sessions.get("unseen", label)
    clock.advance(10)
    with pytest.raises(Unavailable):
        await sessions.get("tok", label)


async def test_expiry_counts_even_when_cached() -> None:
    access, clock = AccessStub(), FakeClock()
    sessions = ServiceSessions(access, clock)
    label = access.add_session("tok", expires=clock.now() + 30)
    await sessions.get("tok", label)
    clock.advance(31)
    assert sessions.cached("tok", label) is None
    gone: list[str] = []
    sessions.on_gone(lambda _token, _label, reason: gone.append(reason))
    sessions.sweep(set())
    assert gone == ["session_expired"]


async def test_refusals_are_remembered_for_a_moment() -> None:
    sessions, access, clock, label = made()
    for _ in range(5):
        with pytest.raises(Refused):
            await sessions.get("bad", label)
    assert access.count("service-session") == 1
    clock.advance(6)
    with pytest.raises(Refused):
        await sessions.get("bad", label)
    assert access.count("service-session") == 2


async def test_an_ended_session_is_gone_at_once() -> None:
    sessions, access, _, label = made()
    await sessions.get("tok", label)
    gone: list[tuple[str, str, str]] = []
    sessions.on_gone(lambda *what: gone.append(what))
    sessions.event({"type": "session.ended", "session_id": "s1"})
    assert gone == [("tok", label, "session_ended")]
    assert sessions.cached("tok", label) is None
    calls = access.count("service-session")
    with pytest.raises(Refused):
        await sessions.get("tok", label)
    assert access.count("service-session") == calls


async def test_changes_of_access_are_asked_about_at_once() -> None:
    sessions, access, _, label = made()
    await sessions.get("tok", label)
    changed: list[str] = []
    sessions.on_changed(lambda _token, session: changed.append(session.permission))
    access.add_session("tok", permission="watch")
    sessions.event({"type": "access.changed", "account_id": "id-acme"})
    assert sessions.cached("tok", label) is None
    await asyncio.sleep(0.01)
    assert changed == ["watch"]
    access.sessions.clear()
    gone: list[str] = []
    sessions.on_gone(lambda _token, _label, reason: gone.append(reason))
    sessions.event({"type": "resync"})
    await asyncio.sleep(0.01)
    assert gone == ["no_session"]


async def test_open_sessions_are_renewed_and_old_ones_forgotten() -> None:
    sessions, access, clock, label = made()
    await sessions.get("tok", label)
    clock.advance(FRESH_SECONDS)
    sessions.sweep({("tok", label)})
    await asyncio.sleep(0.01)
    assert access.count("service-session") == 2
    clock.advance(STALE_SECONDS + 1)
    sessions.sweep(set())
    access.down = True
    with pytest.raises(Unavailable):
        await sessions.get("tok", label)


async def test_a_token_of_another_host_is_refused() -> None:
    sessions, access, _, label = made()
    access.sessions["tok", "cam--press--acme"] = access.sessions["tok", label]
    with pytest.raises(Refused):
        await sessions.get("tok", "cam--press--acme")


def test_odd_answers() -> None:
    with pytest.raises(Unavailable):
        ServiceSession.of({"id": "x"})


async def test_a_service_session_that_ended_elsewhere_is_gone_here() -> None:
    sessions, _, _, label = made()
    gone: list[tuple[str, str, str]] = []
    sessions.on_gone(lambda *what: gone.append(what))
    session = await sessions.get("tok", label)
    sessions.event({"type": "service_session.ended", "service_session_id": "another"})
    assert gone == []
    sessions.event({"type": "service_session.ended", "service_session_id": session.id})
    assert gone == [("tok", label, "session_ended")]
    assert sessions.cached("tok", label) is None


async def test_siblings_that_change_are_told_and_cut_nothing() -> None:
    sessions, access, clock, label = made()
    told: list[tuple[str, ServiceSession]] = []
    sessions.on_siblings(lambda *what: told.append(what))
    sessions.on_changed(lambda *_: told.append(("cut", session)))
    session = await sessions.get("tok", label)
    cam = {"host": "10.0.0.5", "port": 9000, "protocol": "http", "label": "cam--press--acme"}
    access.sessions["tok", label]["siblings"] = [cam]
    clock.advance(FRESH_SECONDS + 1)
    assert (await sessions.get("tok", label)).siblings == (cam,)
    assert [(token, found.siblings) for token, found in told] == [("tok", (cam,))]
