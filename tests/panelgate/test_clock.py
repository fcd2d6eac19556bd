import time

import pytest

from panelgate.clock import Clock, FakeClock, from_iso, iso


def test_the_real_clock_is_the_systems() -> None:
    assert abs(Clock().now() - time.time()) < 5
    assert Clock().monotonic() <= Clock().monotonic()


def test_a_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(100.0)
    before = clock.monotonic()
    assert clock.now() == clock.now() == 100.0
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic() - before) == (102.5, 2.5)


def test_times_go_through_the_api_and_back() -> None:
    assert iso(0.9) == "1970-01-01T00:00:00Z"
    assert from_iso(iso(1_800_000_000.7)) == 1_800_000_000


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        from_iso("2026-01-01T00:00:00")
