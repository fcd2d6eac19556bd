from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.access_stub import AccessStub
from tests.fakes.front import until
from webproxy import events as module
from webproxy.events import Events


async def test_everybody_hears_and_one_failure_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    events = Events(AccessStub())
    heard: list[str] = []

    def bad(_: Mapping[str, Any]) -> None:
        raise ValueError("bad subscriber")

    events.subscribe(bad)
    end = events.subscribe(lambda event: heard.append(event["type"]))
    events.emit({"type": "one"})
    end()
    end()
    events.emit({"type": "two"})
    assert heard == ["one"]


async def test_reconnects_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    access = AccessStub()
    events = Events(access)
    heard: list[str] = []
    events.subscribe(lambda event: heard.append(event["type"]))
    task = asyncio.get_running_loop().create_task(events.run())
    try:
        async with asyncio.timeout(3):
            access.push({"type": "a"})
            await until(lambda: heard == ["a"])
            assert events.connected
            access.break_events()
            await until(lambda: heard == ["a", "resync"])
            access.push({"type": "b"})
            await until(lambda: heard == ["a", "resync", "b"])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
