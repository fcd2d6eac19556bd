from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import AT_ONCE_SECONDS, FIRST_SECONDS, LONGEST_SECONDS, STABLE_SECONDS, Backoff


def highest(low: float, high: float) -> float:
    return high


def test_doubles_up_to_a_minute() -> None:
    backoff = Backoff(highest)
    assert [backoff.failed() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_stable_minute_starts_over() -> None:
    backoff = Backoff(highest)
    for _ in range(6):
        backoff.failed()
    assert backoff.failed(STABLE_SECONDS) == AT_ONCE_SECONDS
    assert backoff.failed() == FIRST_SECONDS


def test_a_short_connection_does_not() -> None:
    backoff = Backoff(highest)
    for _ in range(3):
        backoff.failed()
    assert backoff.failed(STABLE_SECONDS - 1) == 4


def test_longest_stays_long_until_reset() -> None:
    backoff = Backoff(highest)
    assert backoff.longest() == LONGEST_SECONDS
    assert backoff.failed() == LONGEST_SECONDS
    backoff.reset()
    assert backoff.failed() == FIRST_SECONDS


@given(st.lists(st.floats(0, 59)))
def test_never_zero_and_never_above_a_minute(lasted: list[float]) -> None:
    backoff = Backoff()
    for seconds in lasted:
        assert FIRST_SECONDS / 2 <= backoff.failed(seconds) <= LONGEST_SECONDS
