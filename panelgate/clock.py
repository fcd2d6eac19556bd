"""Time, behind a small class, so that tests decide what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The real clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never stepping back."""
        return time.monotonic()


class FakeClock(Clock):
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        """Unix time in seconds, as set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since this clock was made, plus a thousand."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += seconds
        self._monotonic += seconds


def iso(unix_seconds: float) -> str:
    """The API's form of a time: ISO 8601, UTC, whole seconds, with a Z."""
    return datetime.fromtimestamp(int(unix_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> float:
    """Unix time in seconds of an ISO 8601 time with zone; ValueError when there is no zone or no time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("time without zone")
    return moment.timestamp()
