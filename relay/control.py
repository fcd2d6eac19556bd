"""The agents' control connections: one for each device, fenced by the connect counter of its ticket."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from panelgate.errors import Refused, Unavailable
from panelgate.log import get_logger
from panelgate.tickets import ControlTicket
from panelgate.wsframes import CloseCode
from relay.limits import LimitValues

log = get_logger(__name__)


class MessagePipe(Protocol):
    """The part of a carrier that a control connection uses."""

    def send_message(self, text: str) -> None:
        """Send one message."""

    def close(self, code: int = ..., reason: str = ...) -> None:
        """Flush what was sent, then close."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A device came or went, as reported to the access server."""

    device_id: str
    counter: int
    state: str
    address: str


class Control:
    """One agent's control connection: the handler of its carrier's callbacks."""

    def __init__(self, owner: "Controls", ticket: ControlTicket, pipe: MessagePipe, address: str, since: float) -> None:
        self._owner = owner
        self.device_id = ticket.device_id
        self.counter = ticket.counter
        self.address = address
        self.since = since
        self.pipe = pipe
        self.left: str | None = None

    def open(self, circuit_id: str, ticket: str, join: str) -> None:
        """Ask the agent to dial back for a circuit."""
        self._send({"type": "open", "circuit": circuit_id, "ticket": ticket, "join": join})

    def config(self, version: int) -> None:
        """Tell the agent that there is a newer configuration."""
        self._send({"type": "config", "version": version})

    def leave(self, reason: str) -> None:
        """Tell the agent to go, and close. `reason` is moved, replaced, revoked or shutdown."""
        if self.left is None:
            self.left = reason
            self._send({"type": "leave", "reason": reason})
            self.pipe.close(CloseCode.POLICY if reason == "replaced" else CloseCode.GOING_AWAY, reason)

    def carrier_message(self, text: str) -> None:
        """The agent said something: only `refuse` has a meaning, and anything unreadable ends the connection."""
        try:
            message = json.loads(text)
            kind = message["type"]
            if kind == "refuse":
                self._owner.refused(self, str(message["circuit"]), str(message["code"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            log.warning("control message unreadable", device=self.device_id)
            self.pipe.close(CloseCode.UNSUPPORTED, "unreadable_message")

    def carrier_data(self, data: bytes | memoryview) -> None:
        """Control connections carry messages only."""
        self.pipe.close(CloseCode.UNSUPPORTED, "binary_message")

    def carrier_pause(self) -> None:
        """The line is full: messages are few and small, and the carrier bounds what it keeps."""

    def carrier_resume(self) -> None:
        """The line has room again."""

    def carrier_closed(self, exc: Exception | None) -> None:
        """The agent is gone."""
        self._owner.gone(self, exc)

    def _send(self, message: dict[str, object]) -> None:
        self.pipe.send_message(json.dumps(message, separators=(",", ":")))


class Controls:
    """All control connections of this relay, by device."""

    def __init__(
        self,
        values: LimitValues,
        on_presence: Callable[[Presence], None],
        on_refuse: Callable[[str, str, str], None],
    ) -> None:
        self._values = values
        self._on_presence = on_presence
        self._on_refuse = on_refuse
        self._by_device: dict[str, Control] = {}

    def __len__(self) -> int:
        return len(self._by_device)

    def all(self) -> list[Control]:
        """Every control connection."""
        return list(self._by_device.values())

    def of(self, device_id: str) -> Control | None:
        """The device's control connection."""
        return self._by_device.get(device_id)

    def check(self, ticket: ControlTicket) -> None:
        """May an agent with this (verified) ticket connect?

        Refused("old_counter") when a newer or the same connect is here already; Unavailable("relay_full").
        """
        current = self._by_device.get(ticket.device_id)
        if current is not None and current.counter >= ticket.counter:
            raise Refused("old_counter", "this device has connected again since that ticket was made", status=409)
        if current is None and len(self._by_device) >= self._values.controls:
            raise Unavailable("relay_full", "this relay serves as many devices as it may")

    def add(self, ticket: ControlTicket, pipe: MessagePipe, address: str, now: float) -> Control:
        """Take the agent in, sending away an older connection of the same device. Checked again: see `check`."""
        self.check(ticket)
        older = self._by_device.pop(ticket.device_id, None)
        if older is not None:
            older.leave("replaced")
        control = Control(self, ticket, pipe, address, now)
        self._by_device[ticket.device_id] = control
        log.info("agent connected", device=control.device_id, counter=control.counter, address=address)
        self._on_presence(Presence(control.device_id, control.counter, "up", address))
        return control

    def refused(self, control: Control, circuit_id: str, code: str) -> None:
        """An agent won't open a circuit."""
        log.info("circuit refused by agent", device=control.device_id, circuit=circuit_id, code=code)
        self._on_refuse(control.device_id, circuit_id, code)

    def gone(self, control: Control, exc: Exception | None) -> None:
        """A connection ended; only the current one of a device is news."""
        if self._by_device.get(control.device_id) is not control:
            return
        del self._by_device[control.device_id]
        log.info("agent left", device=control.device_id, counter=control.counter, lost=exc is not None)
        self._on_presence(Presence(control.device_id, control.counter, "down", control.address))

    def close(self) -> None:
        """Send everybody away: the relay is going."""
        for control in self.all():
            control.leave("shutdown")
