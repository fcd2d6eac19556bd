"""Where the two sides of a circuit meet: a web proxy waits here until its agent has dialled back."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hmac import compare_digest
from typing import Protocol

from panelgate.assertion import SeenOnce
from panelgate.clock import Clock
from panelgate.errors import Refused
from panelgate.log import get_logger
from panelgate.tickets import CIRCUIT_SECONDS, SKEW_SECONDS, CircuitTicket
from panelgate.wsframes import CloseCode
from relay.limits import Budget
from relay.splice import AGENT_REFUSED, AGENT_TIMEOUT, CUT, Half, Pipe, Splice

log = get_logger(__name__)

JOIN_BYTES = 24  # of the one-time secret with which an agent proves that it was asked


class Handle(Protocol):
    """Something that can be cancelled, such as asyncio's timer handle."""

    def cancel(self) -> None:
        """Do not call back."""


CallLater = Callable[[float, Callable[[], None]], Handle]


@dataclass(slots=True)
class _Waiting:
    splice: Splice
    join: str
    timer: Handle


class Rendezvous:
    """Circuits by id, waiting and joined. `call_later(seconds, callback)` is the loop's."""

    def __init__(self, budget: Budget, clock: Clock, call_later: CallLater) -> None:
        self._budget = budget
        self._clock = clock
        self._call_later = call_later
        self._waiting: dict[str, _Waiting] = {}
        self._circuits: dict[str, Splice] = {}
        self._by_device: dict[str, set[str]] = {}
        self._used = SeenOnce(CIRCUIT_SECONDS + 2 * SKEW_SECONDS)
        self.ended_bytes = 0
        self.opened = 0

    def __len__(self) -> int:
        return len(self._circuits)

    @property
    def waiting(self) -> int:
        """Circuits whose agent has not arrived yet."""
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """Bytes carried since the start, of ended and open circuits."""
        return self.ended_bytes + sum(splice.bytes for splice in self._circuits.values())

    def ids(self) -> Iterator[str]:
        """Ids of the circuits that are open or waiting."""
        return iter(self._circuits)

    def open(self, ticket: CircuitTicket, pipe: Pipe) -> tuple[Half, str]:
        """A web proxy has come with `ticket` (already verified): its half, and the secret for the agent.

        Refused: `ticket_used`, `too_many_circuits`. Unavailable: `relay_full`.
        """
        if not self._used.first_time(ticket.circuit_id, self._clock.now()):
            raise Refused("ticket_used", "this ticket has been used: a circuit needs a new one")
        self._budget.take_circuit(ticket.device_id)
        splice = Splice(ticket.circuit_id, ticket.device_id, self._budget, self._ended)
        half = splice.first(pipe)
        join = secrets.token_urlsafe(JOIN_BYTES)

        def late() -> None:
            splice.end("agent_timeout", AGENT_TIMEOUT)

        timer = self._call_later(self._budget.values.rendezvous_seconds, late)
        self._waiting[ticket.circuit_id] = _Waiting(splice, join, timer)
        self._circuits[ticket.circuit_id] = splice
        self._by_device.setdefault(ticket.device_id, set()).add(ticket.circuit_id)
        self.opened += 1
        return half, join

    def arrive(self, circuit_id: str, join: str, pipe: Pipe) -> Half:
        """An agent has dialled back. Refused("no_such_circuit") when nobody waits, or the secret is wrong.

        `Splice.start` must follow once its upgrade is answered (the half's splice is `splice_of(circuit_id)`).
        """
        waiting = self._waiting.get(circuit_id)
        if waiting is None or not compare_digest(waiting.join.encode(), join.encode()):
            raise Refused("no_such_circuit", "nobody waits for this circuit", status=404)
        del self._waiting[circuit_id]
        waiting.timer.cancel()
        return waiting.splice.second(pipe)

    def splice_of(self, circuit_id: str) -> Splice | None:
        """The circuit of that id, while it is open."""
        return self._circuits.get(circuit_id)

    def refuse(self, device_id: str, circuit_id: str, code: str) -> None:
        """The agent `device_id` won't open this circuit; ignored unless it is a waiting one of that device."""
        waiting = self._waiting.get(circuit_id)
        if waiting is not None and waiting.splice.device_id == device_id:
            waiting.splice.end(f"agent_{_word(code)}", AGENT_REFUSED)

    def cut(self, circuit_id: str, reason: str) -> bool:
        """End one circuit; whether it was there."""
        splice = self._circuits.get(circuit_id)
        if splice is not None:
            splice.end(f"cut_{_word(reason)}", CUT)
        return splice is not None

    def cut_device(self, device_id: str, reason: str) -> int:
        """End every circuit of one device; how many there were."""
        found = list(self._by_device.get(device_id, ()))
        for circuit_id in found:
            self.cut(circuit_id, reason)
        return len(found)

    def close(self) -> None:
        """End everything: the relay is going away."""
        for splice in list(self._circuits.values()):
            splice.end("relay_shutdown", CloseCode.GOING_AWAY)

    def _ended(self, splice: Splice, reason: str) -> None:
        circuit_id, device_id = splice.circuit_id, splice.device_id
        waiting = self._waiting.pop(circuit_id, None)
        if waiting is not None:
            waiting.timer.cancel()
        del self._circuits[circuit_id]
        ids = self._by_device[device_id]
        ids.discard(circuit_id)
        if not ids:
            del self._by_device[device_id]
        self._budget.give_circuit(device_id)
        self.ended_bytes += splice.bytes
        log.info("circuit ended", circuit=circuit_id, device=device_id, reason=reason, bytes=splice.bytes)


def _word(text: str) -> str:
    """At most 40 letters, digits and underscores: what a close frame may carry as a code."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in text[:40])
