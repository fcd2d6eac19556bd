"""What the agent checks for itself, whatever a relay passes on. The living circuits are in tests/flows."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from agent.circuit import MAX_CIRCUITS, Circuits, Invitation
from agent.forward import Forwarder
from agent.policy import OwnerPolicy
from agent.targets import Targets
from panelgate.clock import FakeClock
from panelgate.errors import Refused
from panelgate.pki import Authority, Role
from panelgate.tickets import CIRCUIT_SECONDS, CircuitTicket, Signer, TicketRefused, Verifier, new_signing_key

KEY = new_signing_key()
SIGNER = Signer(KEY)


class Table:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.keys = Verifier.of(KEY)
        self.refused: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.refreshed = 0
        identity = Authority.create().new_identity(Role.AGENT, "d1")
        forwarder = Forwarder(Targets("d1"), OwnerPolicy(), frozenset)
        self.circuits = Circuits(
            "d1", forwarder, lambda: identity, lambda: self.keys, self.clock, refresh_keys=self.refresh
        )

    async def refresh(self) -> None:
        self.refreshed += 1
        self.keys = Verifier.of(KEY)

    def invitation(self, signer: Signer = SIGNER, circuit_id: str = "c1", **changes: Any) -> Invitation:
        ticket = CircuitTicket(
            "c1", "a1", "u1", "s1", "d1", ("hmi",), False, "w1", "ff", "r1", self.clock.now() + CIRCUIT_SECONDS
        )
        return Invitation(circuit_id, signer.circuit(replace(ticket, **changes), self.clock.now()), "join")

    def refuse(self, circuit_id: str, code: str) -> None:
        self.refused.put_nowait((circuit_id, code))


def test_a_good_ticket() -> None:
    table = Table()
    assert table.circuits.check(table.invitation(), "r1").services == ("hmi",)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"device_id": "d2"}, "wrong_device"),
        ({"relay_id": "r2"}, "wrong_relay"),
        ({"circuit_id": "c2"}, "wrong_circuit"),
    ],
)
def test_a_ticket_for_something_else(changes: dict[str, Any], code: str) -> None:
    table = Table()
    if "circuit_id" in changes:
        invitation = replace(table.invitation(), circuit_id="c2")
    else:
        invitation = table.invitation(**changes)
    with pytest.raises(TicketRefused) as refused:
        table.circuits.check(invitation, "r1")
    assert refused.value.code == code


def test_an_expired_ticket() -> None:
    table = Table()
    invitation = table.invitation()
    table.clock.advance(CIRCUIT_SECONDS + 60)
    with pytest.raises(TicketRefused) as refused:
        table.circuits.check(invitation, "r1")
    assert refused.value.code == "ticket_expired"


def test_a_ticket_counts_once() -> None:
    table = Table()
    invitation = table.invitation()
    table.circuits.check(invitation, "r1")
    with pytest.raises(TicketRefused) as refused:
        table.circuits.check(invitation, "r1")
    assert refused.value.code == "ticket_used"


def test_used_tickets_are_forgotten_when_they_have_expired() -> None:
    table = Table()
    table.circuits.check(table.invitation(), "r1")
    table.clock.advance(3600)
    table.circuits.check(table.invitation(), "r1")
    assert len(table.circuits._used) == 1


def test_too_many_circuits() -> None:
    table = Table()
    table.circuits._open = cast("Any", dict.fromkeys(range(MAX_CIRCUITS)))
    with pytest.raises(Refused) as refused:
        table.circuits.check(table.invitation(), "r1")
    assert refused.value.code == "too_many_circuits"


async def test_a_refusal_is_answered() -> None:
    table = Table()
    table.circuits.invite(table.invitation(Signer(new_signing_key())), "r1", "wss://r", table.refuse)
    assert await asyncio.wait_for(table.refused.get(), 5) == ("c1", "unknown_key")
    assert table.refreshed == 1


async def test_a_new_signing_key_is_fetched() -> None:
    table = Table()
    table.keys = Verifier.of(new_signing_key())
    # Nobody listens there: it gets as far as dialling.
    table.circuits.invite(table.invitation(), "r1", "wss://127.0.0.1:1", table.refuse)
    circuit_id, code = await asyncio.wait_for(table.refused.get(), 5)
    assert (circuit_id, table.refreshed) == ("c1", 1)
    assert code not in ("unknown_key", "bad_ticket")
