from __future__ import annotations

from tests.fakes.front import running


async def test_the_parts_hear_of_events() -> None:
    async with running() as front:
        await front.ask(front.head())
        front.web.events.emit({
            "type": "device.status", "device_id": "d", "status": "offline", "since": "2026-01-31T12:00:00Z"
        })  # fmt: skip
        assert front.web.offline_since("d") == 1769860800.0
        assert front.web.offline_since("unknown") is None
        front.web.events.emit({"type": "resync"})
        assert front.web.device_status == {}
        front.web.events.emit({"type": "session.ended", "session_id": "s1"})
        assert list(front.web.visits) == []
        await front.web.connections.flush()
        assert front.access.reports["con1"]["ended"] is not None


async def test_a_sweep_ends_idle_circuits() -> None:
    async with running() as front:
        await front.ask(front.head())
        front.web.sweep()
        assert front.circuits[0].is_open
        front.clock.advance(1000)
        front.web.sweep()
        assert not front.circuits[0].is_open


async def test_stopping_reports_what_was_open() -> None:
    async with running() as front:
        await front.ask(front.head())
    assert front.access.reports["con1"]["ended"] is not None
    assert not front.circuits[0].is_open
