import pytest

from relay.limits import Budget, LimitValues
from relay.splice import AGENT_TIMEOUT, ENDED, PEER_LOST, Splice
from tests.fakes.relay_carrier import FakeCarrier


class Table:
    """A splice with both carriers at hand."""

    def __init__(self, early_bytes: int = 100) -> None:
        self.ends: list[str] = []
        self.budget = Budget(LimitValues(early_bytes=early_bytes))
        self.splice = Splice("c1", "d1", self.budget, lambda _, reason: self.ends.append(reason))
        self.left, self.right = FakeCarrier(), FakeCarrier()
        self.webproxy = self.splice.first(self.left)

    def join(self) -> None:
        self.agent = self.splice.second(self.right)
        self.splice.start()


def test_early_bytes_go_first_and_in_order() -> None:
    table = Table()
    table.webproxy.carrier_data(b"hello ")
    table.webproxy.carrier_data(b"agent")
    assert table.budget.early_bytes == 11
    table.join()
    table.webproxy.carrier_data(b"!")
    table.agent.carrier_data(b"hi")
    assert table.right.taken == b"hello agent!"
    assert table.left.taken == b"hi"
    assert table.budget.early_bytes == 0
    assert table.splice.bytes == 14


def test_early_bytes_are_bounded_by_not_reading() -> None:
    table = Table(early_bytes=10)
    table.webproxy.carrier_data(b"123456789")
    assert table.left.reading
    table.webproxy.carrier_data(b"0")
    assert not table.left.reading
    table.join()
    assert table.left.reading


def test_a_line_filled_by_the_early_bytes_stays_paused() -> None:
    table = Table(early_bytes=1)
    table.webproxy.carrier_data(b"x")
    table.agent = table.splice.second(table.right)
    table.agent.carrier_pause()
    table.splice.start()
    assert not table.left.reading
    table.agent.carrier_resume()
    assert table.left.reading


def test_what_the_agent_says_before_the_start_is_kept() -> None:
    table = Table()
    table.agent = table.splice.second(table.right)
    table.agent.carrier_data(b"server hello")
    table.splice.start()
    assert table.left.taken == b"server hello"


def test_a_slow_side_pauses_the_other_only() -> None:
    table = Table()
    table.join()
    table.agent.carrier_pause()
    assert (table.left.reading, table.right.reading) == (False, True)
    table.agent.carrier_resume()
    assert table.left.reading
    table.webproxy.carrier_pause()
    assert (table.left.reading, table.right.reading) == (True, False)


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [(None, "agent_left", ENDED), (OSError(), "agent_lost", PEER_LOST)],
)
def test_one_side_gone_ends_the_other_once(error: Exception | None, reason: str, code: int) -> None:
    table = Table()
    table.join()
    table.agent.carrier_closed(error)
    table.webproxy.carrier_closed(None)
    assert table.left.closed == (code, reason)
    assert table.ends == [reason]


def test_ending_forgets_early_bytes() -> None:
    table = Table()
    table.webproxy.carrier_data(b"secret")
    table.splice.end("agent_timeout", AGENT_TIMEOUT)
    assert table.budget.early_bytes == 0
    assert table.left.closed == (AGENT_TIMEOUT, "agent_timeout")


def test_a_text_message_ends_the_circuit() -> None:
    table = Table()
    table.join()
    table.webproxy.carrier_message("hello")
    assert table.ends == ["text_message"]
