"""Circuits on demand: the relay passes a ticket on, this agent checks it for itself and dials back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from agent.forward import Forwarder
from panelgate.circuit import Circuit, accept_circuit
from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Refused
from panelgate.frames import CircuitEnd
from panelgate.log import get_logger
from panelgate.pki import Identity
from panelgate.stream import Stream
from panelgate.tasks import spawn
from panelgate.tickets import CIRCUIT_SECONDS, SKEW_SECONDS, CircuitTicket, TicketRefused, Verifier

log = get_logger(__name__)

MAX_CIRCUITS: Final = 64  # as at the relay: one for each user, one for each viewer
ACCEPT_SECONDS: Final = 10.0  # dial back and inner TLS; the relay waits no longer
IDLE_SECONDS: Final = 300.0  # a circuit without a stream costs cellular bytes for its pings; a new one costs 1 s
IDLE_LOOK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Invitation:
    """A relay's message `open`: the circuit, the web proxy's ticket, and the one-time secret for dialling back."""

    circuit_id: str
    ticket: str
    join: str


class Circuits:
    """The circuits of this agent. `keys` and `identity` are asked each time: both may be renewed meanwhile."""

    def __init__(
        self,
        device_id: str,
        forwarder: Forwarder,
        identity: Callable[[], Identity],
        keys: Callable[[], Verifier],
        clock: Clock,
        *,
        refresh_keys: Callable[[], Awaitable[None]] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._device_id = device_id
        self._forwarder = forwarder
        self._identity = identity
        self._keys = keys
        self._clock = clock
        self._refresh_keys = refresh_keys
        self._changed = changed
        self._used: dict[str, float] = {}
        self._opening: set[str] = set()
        self._open: dict[str, Circuit] = {}

    def __len__(self) -> int:
        return len(self._open)

    def check(self, invitation: Invitation, relay_id: str) -> CircuitTicket:
        """The ticket of an invitation, checked against everything this agent knows; TicketRefused or Refused."""
        now = self._clock.now()
        ticket = self._keys().circuit(invitation.ticket, now)
        if ticket.device_id != self._device_id:
            raise TicketRefused("wrong_device", "the ticket is for another device")
        if ticket.circuit_id != invitation.circuit_id:
            raise TicketRefused("wrong_circuit", "the ticket is for another circuit")
        if ticket.relay_id != relay_id:
            raise TicketRefused("wrong_relay", "the ticket is for another relay")
        for old in [ident for ident, until in self._used.items() if until < now]:
            del self._used[old]
        if ticket.circuit_id in self._used:
            raise TicketRefused("ticket_used", "the ticket has been used")
        if len(self._open) + len(self._opening) >= MAX_CIRCUITS:
            raise Refused("too_many_circuits", "too many circuits are open")
        self._used[ticket.circuit_id] = now + CIRCUIT_SECONDS + 2 * SKEW_SECONDS
        return ticket

    def invite(self, invitation: Invitation, relay_id: str, relay_url: str, refuse: Callable[[str, str], None]) -> None:
        """Answer an invitation: dial back, or `refuse(circuit_id, code)`."""
        spawn("circuit", self._answer(invitation, relay_id, relay_url, refuse))

    async def _answer(
        self, invitation: Invitation, relay_id: str, relay_url: str, refuse: Callable[[str, str], None]
    ) -> None:
        try:
            try:
                ticket = self.check(invitation, relay_id)
            except TicketRefused as error:
                if error.code != "unknown_key" or self._refresh_keys is None:
                    raise
                # The access server signs with a new key since we asked last.
                await self._refresh_keys()
                ticket = self.check(invitation, relay_id)
        except PanelgateError as error:
            log.warning("circuit refused", circuit=invitation.circuit_id, code=error.code)
            refuse(invitation.circuit_id, error.code)
            return
        self._opening.add(ticket.circuit_id)
        await self._serve(ticket, invitation.join, relay_url, refuse)

    async def _serve(
        self, ticket: CircuitTicket, join: str, relay_url: str, refuse: Callable[[str, str], None]
    ) -> None:
        ident = ticket.circuit_id
        granted = frozenset(ticket.services)

        def on_stream(stream: Stream, service_id: str) -> None:
            self._forwarder.on_stream(stream, service_id, granted, ident)

        try:
            circuit = await accept_circuit(
                relay_url=relay_url,
                circuit_id=ident,
                join=join,
                identity=self._identity(),
                webproxy_fingerprint=ticket.webproxy_fingerprint,
                on_stream=on_stream,
                timeout=ACCEPT_SECONDS,
            )
        except PanelgateError as error:
            log.warning("circuit failed", circuit=ident, code=error.code, message=error.message)
            refuse(ident, error.code)
            return
        finally:
            self._opening.discard(ident)
        self._open[ident] = circuit
        self._changed()
        log.info("circuit open", circuit=ident, webproxy=ticket.webproxy_id, services=len(granted))
        try:
            await self._until_closed(circuit)
        finally:
            del self._open[ident]
            circuit.close(CircuitEnd.SHUTDOWN)
            self._changed()
        reason = circuit.closed.result()
        log.info(
            "circuit closed", circuit=ident, reason=reason.code, text=reason.text,
            bytes_in=circuit.bytes_in, bytes_out=circuit.bytes_out,
        )  # fmt: skip

    async def _until_closed(self, circuit: Circuit) -> None:
        idle_since = self._clock.monotonic()
        while not circuit.closed.done():
            await asyncio.wait([circuit.closed], timeout=IDLE_LOOK_SECONDS)
            now = self._clock.monotonic()
            if circuit.streams:
                idle_since = now
            elif now - idle_since >= IDLE_SECONDS:
                circuit.close(CircuitEnd.IDLE, "idle")

    def close(self) -> None:
        """End all circuits: the agent stops."""
        for circuit in list(self._open.values()):
            circuit.close(CircuitEnd.SHUTDOWN, "agent stopped")
