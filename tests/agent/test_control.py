import json
from typing import Any, cast

import pytest

from agent.circuit import Invitation
from agent.control import ANSWER_SECONDS, PING_SECONDS, Control, Left
from panelgate.carrier import Carrier, CarrierClosed
from tests.fakes.relay_carrier import FakeCarrier


class Table:
    def __init__(self) -> None:
        self.invitations: list[Invitation] = []
        self.versions: list[int] = []
        self.control = Control(lambda _, invitation: self.invitations.append(invitation), self.versions.append)
        self.carrier = FakeCarrier()
        self.control.carrier = cast("Carrier", self.carrier)

    def say(self, **message: Any) -> None:
        self.control.carrier_message(json.dumps(message))


async def test_invitations_and_configurations() -> None:
    table = Table()
    table.say(type="open", circuit="c1", ticket="t", join="j")
    table.say(type="config", version=7)
    assert table.invitations == [Invitation("c1", "t", "j")]
    assert table.versions == [7]


@pytest.mark.parametrize("reason", ["moved", "replaced", "revoked", "shutdown"])
async def test_leave_closes_with_its_reason(reason: str) -> None:
    table = Table()
    table.say(type="leave", reason=reason)
    assert table.carrier.closed is not None
    table.control.carrier_closed(None)
    assert table.control.left.result() == Left(reason)


async def test_a_reason_of_a_later_version_is_a_move() -> None:
    table = Table()
    table.say(type="leave", reason="tea")
    table.control.carrier_closed(None)
    assert table.control.left.result() == Left("moved")


async def test_lost_and_closed_are_told_apart() -> None:
    lost, closed = Table(), Table()
    lost.control.carrier_closed(CarrierClosed(1006, "silent"))
    assert lost.control.left.result() == Left("lost", "1006 silent")
    closed.control.close()
    closed.control.carrier_closed(None)
    assert closed.control.left.result() == Left("closed")


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"type":"open"}', '{"type":"open","circuit":1,"ticket":2,"join":3}', '{"type":"x"}']
)
async def test_rubbish_is_left_alone(text: str) -> None:
    table = Table()
    table.control.carrier_message(text)
    assert (table.invitations, table.carrier.closed) == ([], None)


async def test_refusals_go_out_while_there_is_a_line() -> None:
    table = Table()
    table.control.refuse("c1", "limit")
    assert table.carrier.messages == [{"type": "refuse", "circuit": "c1", "code": "limit"}]
    table.carrier.close()
    table.control.refuse("c2", "limit")
    assert len(table.carrier.messages) == 1


async def test_the_handler_has_no_use_for_the_rest() -> None:
    control = Table().control
    control.carrier_data(b"x")
    control.carrier_pause()
    control.carrier_resume()


def test_an_idle_day_costs_less_than_0_3_megabytes() -> None:
    # Ping and pong: 6 and 2 bytes of WebSocket, 22 of TLS record and 52 of TCP/IP each, and one bare acknowledgement.
    exchange = (6 + 22 + 52) + (2 + 22 + 52) + 52
    assert 86400 / PING_SECONDS * exchange < 300_000
    assert PING_SECONDS + ANSWER_SECONDS < 110  # what the relay waits (relay.server)
