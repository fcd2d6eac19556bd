import pytest

from tests.fakes.relay_carrier import FakeCarrier, FakeTimers


def test_a_closed_carrier_takes_nothing() -> None:
    carrier = FakeCarrier()
    carrier.write(b"a")
    carrier.close(1001, "x")
    carrier.close(1002, "y")
    assert (carrier.taken, carrier.closed) == (b"a", (1001, "x"))
    with pytest.raises(AssertionError):
        carrier.write(b"b")


def test_timers_run_once_unless_cancelled() -> None:
    timers, seen = FakeTimers(), []
    timers.call_later(1, lambda: seen.append("a"))
    timers.call_later(1, lambda: seen.append("b")).cancel()
    timers.pass_time()
    timers.pass_time()
    assert seen == ["a"]
