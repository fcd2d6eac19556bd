"""One relay: its listener, who is let in, and its end."""

import asyncio
import math
import ssl
from collections.abc import Callable
from importlib.metadata import version as package_version
from typing import Final

from panelgate import assertion
from panelgate.access_client import AccessClient
from panelgate.carrier import Carrier, ServerCarrier
from panelgate.clock import Clock
from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.log import get_logger
from panelgate.pki import Identity, Role
from panelgate.tickets import TicketRefused, Verifier
from relay import health
from relay.control import Controls, Presence
from relay.limits import Admission, Budget, LimitValues
from relay.listener import Listener
from relay.rendezvous import Rendezvous
from relay.report import Keys, Reporter

log = get_logger(__name__)

CONTROL_PATH: Final = "/v1/control"
CIRCUIT_PATH: Final = "/v1/circuit/"
TICKET_HEADER: Final = "panelgate-ticket"
JOIN_HEADER: Final = "panelgate-join"
# Agents ping every 75 s (see agent.control): nothing heard for longer than that and a slow answer means they are gone.
CONTROL_SILENCE_SECONDS: Final = 110.0
CONTROL_ANSWER_SECONDS: Final = 20.0
CIRCUIT_SILENCE_SECONDS: Final = 120.0  # a circuit's ends ping each other inside; this only finds dead sockets
CIRCUIT_ANSWER_SECONDS: Final = 20.0
ACCESS_SILENT_SECONDS: Final = 20.0  # two missed pings of the event stream: say so on the health page
STOP_SECONDS: Final = 6.0  # a carrier's own close takes five at most
MAX_ID: Final = 64


class Relay:
    """See the package. `identity` must be saved on disk (TLS reads it there); `client` calls the access server."""

    def __init__(
        self,
        identity: Identity,
        client: AccessClient,
        url: str,
        *,
        clock: Clock | None = None,
        values: LimitValues | None = None,
    ) -> None:
        self._identity = identity
        self._clock = clock or Clock()
        self._values = values or LimitValues()
        self._keys = Keys()
        self._seen = assertion.SeenOnce()
        self._carriers: set[_Guarded] = set()
        self._context: ssl.SSLContext = identity.server_context()
        self._budget = Budget(self._values)
        self._admission = Admission(self._values, self._clock)
        self.rendezvous = Rendezvous(self._budget, self._clock, asyncio.get_running_loop().call_later)
        self.url = url
        self.reporter = Reporter(client, url, package_version("panelgate"), self._clock, self._keys, self.rendezvous)
        self.controls = Controls(self._values, self._presence, self.rendezvous.refuse)
        self.reporter.controls = self.controls
        self._listener = Listener(self._context, self._make_carrier, self._admission, self._values.handshake_seconds)
        self._stopping = False
        self._requests_refused = 0

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    async def listen(self, host: str, port: int) -> None:
        """Start to listen; OSError when the address can't be had."""
        await self._listener.start(host, port)
        log.info("listening", host=host, port=self.port, relay=self._identity.id)

    async def run(self) -> None:
        """Talk to the access server until cancelled."""
        await self.reporter.run()

    async def stop(self) -> None:
        """Send agents away, end circuits, wait for the last bytes, say goodbye to the access server."""
        self._stopping = True
        self._listener.close()
        self.controls.close()
        self.rendezvous.close()
        for carrier in list(self._carriers):
            carrier.close(1001, "relay_shutdown")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while self._carriers:
                    await next(iter(self._carriers)).gone
        except TimeoutError:
            for carrier in list(self._carriers):
                carrier.abort()
        await self.reporter.farewell()
        log.info("stopped", relay=self._identity.id)

    def replace_identity(self, identity: Identity, client: AccessClient) -> None:
        """Go on with a renewed certificate: connections that are there stay, new handshakes show the new one."""
        assert identity.id == self._identity.id
        assert identity.directory is not None
        self._context.load_cert_chain(identity.directory / "certificate.pem", identity.directory / "key.pem")
        self._identity = identity
        self.reporter.use(client)

    def kill(self) -> None:
        """End at once and tell nobody, as a crash would."""
        self._stopping = True
        self._listener.close()
        for carrier in list(self._carriers):
            carrier.abort()

    # Who is let in

    def _make_carrier(self) -> ServerCarrier:
        return _Guarded(self._admit_or_count, self._plain, self._carriers)

    def _admit_or_count(self, path: str, headers: dict[str, str], carrier: Carrier) -> None:
        try:
            self._admit(path.partition("?")[0], headers, carrier)
        except PanelgateError as error:
            self._requests_refused += 1
            log.info("refused", code=error.code, address=carrier.peer, path=path[:48])
            raise

    def _admit(self, path: str, headers: dict[str, str], carrier: Carrier) -> None:
        if self._stopping:
            raise Unavailable("relay_stopping", "this relay is shutting down")
        if path == CONTROL_PATH:
            self._control(headers, carrier)
            return
        circuit_id = path.removeprefix(CIRCUIT_PATH)
        if not path.startswith(CIRCUIT_PATH) or not circuit_id or len(circuit_id) > MAX_ID:
            raise Refused("not_found", "there is nothing here", status=404)
        if JOIN_HEADER in headers:
            self._agent_side(circuit_id, headers[JOIN_HEADER], carrier)
        else:
            self._webproxy_side(circuit_id, headers, carrier)

    def _control(self, headers: dict[str, str], carrier: Carrier) -> None:
        now = self._clock.now()
        ticket = self._verifier().control(_ticket_of(headers), now)
        if ticket.relay_id != self._identity.id:
            raise TicketRefused("wrong_relay", "the ticket is for another relay")
        # The ticket alone could have been copied: its owner shows that it holds the key that the ticket names.
        proof = headers.get(assertion.HEADER.lower(), "")
        peer = assertion.verify(proof, self._identity.ca, "GET", CONTROL_PATH, now, self._seen)
        if (peer.role, peer.id, peer.fingerprint) != (Role.AGENT, ticket.device_id, ticket.agent_fingerprint):
            raise TicketRefused("wrong_agent", "the ticket is for another agent")
        control = self.controls.add(ticket, carrier, carrier.peer, now)
        carrier.use(control, messages=True)
        carrier.keep_alive(CONTROL_SILENCE_SECONDS, CONTROL_ANSWER_SECONDS)

    def _webproxy_side(self, circuit_id: str, headers: dict[str, str], carrier: Carrier) -> None:
        token = _ticket_of(headers)
        ticket = self._verifier().circuit(token, self._clock.now())
        if ticket.relay_id != self._identity.id:
            raise TicketRefused("wrong_relay", "the ticket is for another relay")
        if ticket.circuit_id != circuit_id:
            raise TicketRefused("wrong_circuit", "the ticket is for another circuit")
        control = self.controls.of(ticket.device_id)
        if control is None:
            raise Unavailable("device_not_here", "the device is not connected to this relay", status=409)
        half, join = self.rendezvous.open(ticket, carrier)
        carrier.use(half)
        carrier.keep_alive(CIRCUIT_SILENCE_SECONDS, CIRCUIT_ANSWER_SECONDS)
        try:
            control.open(circuit_id, token, join)
        except BadInput:
            self.rendezvous.cut(circuit_id, "ticket_too_long")
            raise
        log.info("circuit asked for", circuit=circuit_id, device=ticket.device_id, webproxy=ticket.webproxy_id)

    def _agent_side(self, circuit_id: str, join: str, carrier: Carrier) -> None:
        half = self.rendezvous.arrive(circuit_id, join, carrier)
        splice = self.rendezvous.splice_of(circuit_id)
        assert splice is not None
        carrier.use(half)
        carrier.keep_alive(CIRCUIT_SILENCE_SECONDS, CIRCUIT_ANSWER_SECONDS)
        splice.start()
        log.info("circuit joined", circuit=circuit_id, device=splice.device_id)

    def _verifier(self) -> Verifier:
        if self._keys.verifier is None:
            raise Unavailable("relay_starting", "this relay has not reached the access server yet")
        return self._keys.verifier

    def _presence(self, news: Presence) -> None:
        if not self._stopping:
            self.reporter.presence(news)

    # What it says about itself

    def numbers(self) -> health.Numbers:
        """One look at everything that is counted."""
        reached = self.reporter.reached_at
        silent = None if reached is None else max(0.0, self._clock.now() - reached)
        return health.Numbers(
            status=self._status(silent),
            relay_id=self._identity.id,
            version=package_version("panelgate"),
            devices=len(self.controls),
            circuits=len(self.rendezvous),
            waiting=self.rendezvous.waiting,
            early_bytes=self._budget.early_bytes,
            handshakes=self._admission.in_progress,
            circuits_opened=self.rendezvous.opened,
            bytes=self.rendezvous.bytes,
            handshakes_failed=self._listener.failed,
            admissions_refused=self._admission.refused,
            requests_refused=self._requests_refused,
            access_silent_seconds=None if silent is None else math.floor(silent),
        )

    def _status(self, silent: float | None) -> str:
        if self._stopping:
            return "stopping"
        if self._keys.verifier is None or silent is None:
            return "starting"
        return "no-access" if silent > ACCESS_SILENT_SECONDS else "ok"

    def _plain(self, path: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        if path == "/health":
            numbers = self.numbers()
            return (
                503 if numbers.status in ("starting", "stopping") else 200,
                "application/json",
                health.health(numbers),
            )
        if path == "/metrics":
            return 200, health.METRICS_TYPE, health.metrics(self.numbers())
        raise Refused("not_found", "there is nothing here", status=404)


class _Guarded(ServerCarrier):
    """A carrier that says when it is gone, so that a shutdown can wait for it."""

    def __init__(
        self,
        admit: Callable[[str, dict[str, str], Carrier], None],
        plain: Callable[[str, dict[str, str]], tuple[int, str, bytes]],
        carriers: "set[_Guarded]",
    ) -> None:
        super().__init__(admit, plain)
        self._all = carriers
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not when it is made: a connection whose handshake fails is never told of its end.
        self._all.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._all.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)


def _ticket_of(headers: dict[str, str]) -> str:
    ticket = headers.get(TICKET_HEADER)
    if not ticket:
        raise BadInput("no_ticket", "a ticket is needed here", status=401)
    return ticket
