import pytest

from panelgate.clock import FakeClock
from panelgate.errors import Refused, Unavailable
from relay.limits import Admission, Budget, LimitValues

VALUES = LimitValues(handshakes=3, handshakes_per_address=2, per_address_rate=1, per_address_burst=4, addresses=2)


def test_handshakes_of_one_address_and_of_all() -> None:
    admission = Admission(VALUES, FakeClock())
    assert [admission.begin("a") for _ in range(3)] == [True, True, False]
    assert admission.begin("b")
    assert not admission.begin("c")
    admission.finish("a")
    assert admission.begin("c")
    assert (admission.in_progress, admission.refused) == (3, 2)


def test_a_bucket_empties_and_fills_again() -> None:
    clock = FakeClock()
    admission = Admission(VALUES, clock)

    def attempt() -> bool:
        allowed = admission.begin("a")
        if allowed:
            admission.finish("a")
        return allowed

    assert [attempt() for _ in range(5)] == [True] * 4 + [False]
    clock.advance(2)
    assert [attempt() for _ in range(3)] == [True, True, False]


def test_only_so_many_addresses_are_remembered() -> None:
    admission = Admission(VALUES, FakeClock())
    for address in ("a", "b", "c"):
        assert admission.begin(address)
        admission.finish(address)
    assert len(admission._buckets) == 2


def test_circuits_per_device_and_in_all() -> None:
    budget = Budget(LimitValues(circuits_per_device=2, circuits=3))
    budget.take_circuit("a")
    budget.take_circuit("a")
    with pytest.raises(Refused) as refused:
        budget.take_circuit("a")
    assert (refused.value.code, refused.value.status) == ("too_many_circuits", 429)
    budget.take_circuit("b")
    with pytest.raises(Unavailable):
        budget.take_circuit("c")
    budget.give_circuit("a")
    budget.give_circuit("b")
    assert (budget.circuits, budget.circuits_of("a"), budget.circuits_of("b")) == (1, 1, 0)


def test_early_bytes_are_bounded_for_one_and_for_all() -> None:
    budget = Budget(LimitValues(early_bytes=10, early_bytes_total=15))
    assert budget.may_buffer(9)
    assert not budget.may_buffer(10)
    budget.early_bytes = 15
    assert not budget.may_buffer(0)
