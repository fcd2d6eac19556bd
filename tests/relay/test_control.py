import json

import pytest

from panelgate.errors import Refused, Unavailable
from panelgate.tickets import ControlTicket
from panelgate.wsframes import CloseCode
from relay.control import Controls, Presence
from relay.limits import LimitValues
from tests.fakes.relay_carrier import FakeCarrier


def ticket(counter: int, device_id: str = "d1") -> ControlTicket:
    return ControlTicket(device_id, "ff", "r1", counter, 0)


class Table:
    def __init__(self, controls: int = 10) -> None:
        self.presence: list[Presence] = []
        self.refusals: list[tuple[str, str, str]] = []
        self.controls = Controls(
            LimitValues(controls=controls), self.presence.append, lambda *row: self.refusals.append(row)
        )

    def states(self) -> list[tuple[str, int]]:
        return [(row.state, row.counter) for row in self.presence]


def test_a_device_comes_and_goes() -> None:
    table = Table()
    control = table.controls.add(ticket(1), FakeCarrier(), "192.0.2.1", 5.0)
    assert table.controls.of("d1") is control
    control.carrier_closed(None)
    assert table.presence == [Presence("d1", 1, "up", "192.0.2.1"), Presence("d1", 1, "down", "192.0.2.1")]
    assert len(table.controls) == 0


def test_a_newer_connect_replaces_an_older_one_without_a_down() -> None:
    table = Table()
    first, second = FakeCarrier(), FakeCarrier()
    older = table.controls.add(ticket(1), first, "", 0)
    newer = table.controls.add(ticket(2), second, "", 0)
    assert first.messages == [{"type": "leave", "reason": "replaced"}]
    assert first.closed == (CloseCode.POLICY, "replaced")
    older.carrier_closed(None)
    assert table.controls.of("d1") is newer
    assert table.states() == [("up", 1), ("up", 2)]


@pytest.mark.parametrize("counter", [1, 2])
def test_an_older_or_equal_connect_is_refused(counter: int) -> None:
    table = Table()
    table.controls.add(ticket(2), FakeCarrier(), "", 0)
    with pytest.raises(Refused) as refused:
        table.controls.add(ticket(counter), FakeCarrier(), "", 0)
    assert refused.value.code == "old_counter"


def test_a_full_relay_still_lets_a_device_replace_itself() -> None:
    table = Table(controls=1)
    table.controls.add(ticket(1), FakeCarrier(), "", 0)
    with pytest.raises(Unavailable):
        table.controls.add(ticket(1, "d2"), FakeCarrier(), "", 0)
    table.controls.add(ticket(2), FakeCarrier(), "", 0)


def test_messages_to_the_agent() -> None:
    table = Table()
    carrier = FakeCarrier()
    control = table.controls.add(ticket(1), carrier, "", 0)
    control.open("c1", "ticket", "join")
    control.config(7)
    control.leave("revoked")
    control.leave("shutdown")
    assert carrier.messages == [
        {"type": "open", "circuit": "c1", "ticket": "ticket", "join": "join"},
        {"type": "config", "version": 7},
        {"type": "leave", "reason": "revoked"},
    ]
    assert carrier.closed == (CloseCode.GOING_AWAY, "revoked")


def test_a_refusal_is_passed_on_with_the_device_that_made_it() -> None:
    table = Table()
    control = table.controls.add(ticket(1), FakeCarrier(), "", 0)
    control.carrier_message(json.dumps({"type": "refuse", "circuit": "c1", "code": "limit"}))
    control.carrier_message(json.dumps({"type": "from a later version"}))
    assert table.refusals == [("d1", "c1", "limit")]


@pytest.mark.parametrize("text", ["", "x", "[]", "5", "{}", '{"type":"refuse"}', '{"type":"refuse","circuit":1}'])
def test_rubbish_ends_the_connection(text: str) -> None:
    table = Table()
    carrier = FakeCarrier()
    table.controls.add(ticket(1), carrier, "", 0).carrier_message(text)
    assert carrier.closed is not None


def test_binary_data_ends_the_connection() -> None:
    carrier = FakeCarrier()
    control = Table().controls.add(ticket(1), carrier, "", 0)
    control.carrier_pause()
    control.carrier_resume()
    control.carrier_data(b"x")
    assert carrier.closed is not None


def test_shutdown_tells_everybody() -> None:
    table = Table()
    carriers = [FakeCarrier(), FakeCarrier()]
    for number, carrier in enumerate(carriers):
        table.controls.add(ticket(1, f"d{number}"), carrier, "", 0)
    table.controls.close()
    assert [carrier.messages for carrier in carriers] == [[{"type": "leave", "reason": "shutdown"}]] * 2
