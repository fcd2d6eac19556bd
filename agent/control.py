"""The control connection to the relay: what the relay may ask, and how the agent notices that it is gone."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.circuit import Invitation
from panelgate import assertion
from panelgate.carrier import Carrier, connect
from panelgate.clock import Clock
from panelgate.log import get_logger
from panelgate.pki import Identity

log = get_logger(__name__)

CONNECT_SECONDS: Final = 20.0  # TCP, TLS and upgrade over a satellite line with losses
# One ping and its answer are about 210 bytes on the wire with TCP's own: 75 s make 240 kB a day, and stay below the two
# minutes after which cheap routers forget a connection.
PING_SECONDS: Final = 75.0
ANSWER_SECONDS: Final = 15.0
PATH: Final = "/v1/control"
LEAVE_REASONS: Final = frozenset({"moved", "replaced", "revoked", "shutdown"})


@dataclass(frozen=True, slots=True)
class Left:
    """How a control connection ended: `reason` is one of LEAVE_REASONS, "closed" (by us) or "lost"."""

    reason: str
    detail: str = ""


class Control:
    """Handler of the control connection's callbacks; `left` is done when it is over."""

    def __init__(self, on_open: Callable[["Control", Invitation], None], on_config: Callable[[int], None]) -> None:
        self._on_open = on_open
        self._on_config = on_config
        self._asked_to_leave: str | None = None
        self._closed = False
        self.carrier: Carrier | None = None
        self.left: asyncio.Future[Left] = asyncio.get_running_loop().create_future()

    def refuse(self, circuit_id: str, code: str) -> None:
        """Tell the relay that a circuit will not come; nothing when the connection is gone by now."""
        if self.carrier is not None and self.carrier.is_open:
            self.carrier.send_message(json.dumps({"type": "refuse", "circuit": circuit_id, "code": code}))

    def close(self) -> None:
        """Leave politely."""
        self._closed = True
        if self.carrier is not None:
            self.carrier.close()

    def carrier_message(self, text: str) -> None:
        """A message of the relay. What can't be understood is left alone: a later relay may say more."""
        try:
            message = json.loads(text)
            kind = message["type"]
            if kind == "open":
                fields = [message[name] for name in ("circuit", "ticket", "join")]
                if all(isinstance(field, str) for field in fields):
                    self._on_open(self, Invitation(*fields))
            elif kind == "config":
                version = message["version"]
                self._on_config(version if isinstance(version, int) else 0)
            elif kind == "leave":
                reason = message["reason"]
                self._asked_to_leave = reason if reason in LEAVE_REASONS else "moved"
                log.info("relay says leave", reason=self._asked_to_leave)
                self.close()
        except (ValueError, KeyError, TypeError, RecursionError):
            log.warning("control message unreadable")

    def carrier_data(self, data: bytes | memoryview) -> None:
        """A control connection carries messages only."""

    def carrier_pause(self) -> None:
        """Nothing to pause: refusals are few and small."""

    def carrier_resume(self) -> None:
        """Nothing to resume."""

    def carrier_closed(self, exc: Exception | None) -> None:
        """The connection is over."""
        if not self.left.done():
            if self._asked_to_leave is not None:
                self.left.set_result(Left(self._asked_to_leave))
            elif self._closed:
                self.left.set_result(Left("closed"))
            else:
                self.left.set_result(Left("lost", str(exc or "closed by the relay")))


async def open_control(
    identity: Identity,
    relay_url: str,
    ticket: str,
    clock: Clock,
    on_open: Callable[[Control, Invitation], None],
    on_config: Callable[[int], None],
) -> Control:
    """Connect to the relay with the ControlTicket, and an assertion that it is ours. Errors as `carrier.connect`."""
    control = Control(on_open, on_config)
    control.carrier = await connect(
        relay_url.rstrip("/") + PATH,
        ssl=identity.client_context(),
        headers={"Panelgate-Ticket": ticket, assertion.HEADER: assertion.sign(identity, "GET", PATH, clock.now())},
        protocol=control,
        timeout=CONNECT_SECONDS,
        messages=True,
    )
    control.carrier.keep_alive(PING_SECONDS, ANSWER_SECONDS)
    return control
