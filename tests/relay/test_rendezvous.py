from dataclasses import replace

import pytest

from panelgate.clock import FakeClock
from panelgate.errors import Refused
from panelgate.tickets import CircuitTicket
from panelgate.wsframes import CloseCode
from relay.limits import Budget, LimitValues
from relay.rendezvous import Rendezvous
from relay.splice import AGENT_REFUSED, AGENT_TIMEOUT, CUT
from tests.fakes.relay_carrier import FakeCarrier, FakeTimers

TICKET = CircuitTicket("c1", "a1", "u1", "s1", "d1", ("hmi",), False, "w1", "ff", "r1", 0)


class Table:
    def __init__(self, **limits: int) -> None:
        self.timers = FakeTimers()
        self.budget = Budget(LimitValues(**limits))
        self.rendezvous = Rendezvous(self.budget, FakeClock(), self.timers.call_later)
        self.left, self.right = FakeCarrier(), FakeCarrier()

    def open(self, circuit_id: str = "c1", device_id: str = "d1", carrier: FakeCarrier | None = None) -> str:
        ticket = replace(TICKET, circuit_id=circuit_id, device_id=device_id)
        return self.rendezvous.open(ticket, carrier or self.left)[1]

    def join(self, join: str, circuit_id: str = "c1") -> None:
        self.rendezvous.arrive(circuit_id, join, self.right)
        splice = self.rendezvous.splice_of(circuit_id)
        assert splice is not None
        splice.start()


def test_both_sides_meet() -> None:
    table = Table()
    table.join(table.open())
    assert (len(table.rendezvous), table.rendezvous.waiting) == (1, 0)
    table.timers.pass_time()
    assert table.left.closed is None


def test_the_agent_does_not_come() -> None:
    table = Table()
    join = table.open()
    assert table.timers.handles[0].seconds == LimitValues().rendezvous_seconds
    table.timers.pass_time()
    assert table.left.closed == (AGENT_TIMEOUT, "agent_timeout")
    assert (len(table.rendezvous), table.rendezvous.waiting, table.budget.circuits) == (0, 0, 0)
    with pytest.raises(Refused):
        table.join(join)


@pytest.mark.parametrize(("circuit_id", "join"), [("c1", "wrong"), ("c1", ""), ("c1", "é"), ("c2", None)])
def test_a_stranger_is_refused_and_the_waiting_one_stays(circuit_id: str, join: str | None) -> None:
    table = Table()
    right = table.open()
    with pytest.raises(Refused) as refused:
        table.join(right if join is None else join, circuit_id)
    assert refused.value.code == "no_such_circuit"
    table.join(right)


def test_the_secret_works_once() -> None:
    table = Table()
    join = table.open()
    table.join(join)
    with pytest.raises(Refused):
        table.join(join)


def test_a_ticket_works_once_even_after_its_circuit_has_ended() -> None:
    table = Table()
    table.open()
    table.rendezvous.cut("c1", "test")
    with pytest.raises(Refused) as refused:
        table.open()
    assert refused.value.code == "ticket_used"


def test_too_many_circuits_leave_nothing_behind() -> None:
    table = Table(circuits_per_device=1)
    table.open("c1")
    with pytest.raises(Refused):
        table.open("c2")
    assert list(table.rendezvous.ids()) == ["c1"]


def test_an_agents_refusal_reaches_the_web_proxy() -> None:
    table = Table()
    table.open()
    table.rendezvous.refuse("d2", "c1", "not_mine")
    assert table.left.closed is None
    table.rendezvous.refuse("d1", "c1", "ticket_expired")
    assert table.left.closed == (AGENT_REFUSED, "agent_ticket_expired")


def test_a_joined_circuit_can_not_be_refused() -> None:
    table = Table()
    table.join(table.open())
    table.rendezvous.refuse("d1", "c1", "late")
    assert table.left.closed is None


def test_cutting_a_device_cuts_its_circuits_only() -> None:
    table = Table()
    other = FakeCarrier()
    table.join(table.open("c1"))
    table.open("c2", carrier=FakeCarrier())
    table.open("c3", "d2", other)
    assert table.rendezvous.cut_device("d1", "revoked") == 2
    assert table.left.closed == table.right.closed == (CUT, "cut_revoked")
    assert other.closed is None
    assert not table.rendezvous.cut("c1", "again")


def test_close_ends_everything_and_bytes_are_kept() -> None:
    table = Table()
    half, join = table.rendezvous.open(TICKET, table.left)
    half.carrier_data(b"12345")
    table.join(join)
    assert table.rendezvous.bytes == 5
    table.rendezvous.close()
    assert table.left.closed == (CloseCode.GOING_AWAY, "relay_shutdown")
    assert (table.rendezvous.bytes, table.rendezvous.opened) == (5, 1)
