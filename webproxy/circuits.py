"""Circuits to devices: one per (user session, device) for HTTP, opened once however many ask, one per viewer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.log import Secret, get_logger
from panelgate.tasks import spawn
from webproxy.look import Seen, look

if TYPE_CHECKING:
    from panelgate.circuit import Circuit
    from webproxy.sessions import ServiceSession

OPEN_SECONDS = 15.0  # the relay waits ten seconds for the agent; the rest is TLS and the way there
RECOVER_SECONDS = 6.0  # after a circuit was lost, so long a device without relay is waited for and not called offline
RECOVER_STEP_SECONDS = 0.7  # between two tries then; an agent needs half a second to a few to find a new relay
RENEW_SECONDS = 5.0  # a circuit is replaced at most this often: an agent that refuses for good must cost little
IDLE_SECONDS = 120.0  # a circuit without streams is closed after this: an idle one costs relay and agent memory

log = get_logger(__name__)
Key = tuple[str, str]


class Access(Protocol):
    """The part of panelgate.access_client.AccessClient that this needs."""

    async def call(self, method: str, path: str, *, json: object = None) -> dict[str, Any]:
        """One call to the access server."""
        ...


# panelgate.circuit.open_circuit with this web proxy's identity already given.
Opener = Callable[..., "Awaitable[Circuit]"]


@dataclass(frozen=True)
class ViewerCircuit:
    """A circuit for one viewer, with the panel's password when one is stored."""

    circuit: Circuit
    circuit_id: str
    password: Secret | None


@dataclass
class _Kept:
    circuit: Circuit
    circuit_id: str
    account_id: str
    used: float
    # Service id to user and password, for services that are signed in to.
    credentials: Mapping[str, tuple[str, Secret]]


class Circuits:
    """Opens circuits and keeps those for HTTP."""

    def __init__(self, access: Access, opener: Opener, clock: Clock) -> None:
        self._access = access
        self._opener = opener
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._opening: dict[Key, asyncio.Future[Circuit]] = {}
        self._retired: dict[Circuit, Key] = {}
        self._lost: dict[Key, float] = {}
        self._renewed: dict[Key, float] = {}

    def current(self, session: ServiceSession) -> Circuit | None:
        """The HTTP circuit of this session and device when there is an open one."""
        kept = self._kept.get((session.session_id, session.device["id"]))
        if kept is None or not kept.circuit.is_open:
            return None
        return kept.circuit

    def circuit_id(self, session: ServiceSession) -> str:
        """The id of the current circuit, for the audit; empty when there is none."""
        kept = self._kept.get((session.session_id, session.device["id"]))
        return kept.circuit_id if kept else ""

    def credentials(self, session: ServiceSession) -> tuple[str, Secret] | None:
        """User and password for signing in at this service's device; they came with the circuit that is in use."""
        kept = self._kept.get((session.session_id, session.device["id"]))
        return kept.credentials.get(session.service["id"]) if kept else None

    async def http(self, session: ServiceSession, token: str) -> Circuit:
        """The shared circuit, opened when there is none; Refused or Unavailable with facts when that fails."""
        circuit = self.current(session)
        if circuit is not None:
            return circuit
        key = (session.session_id, session.device["id"])
        waiting = self._opening.get(key)
        if waiting is None:
            waiting = self._opening[key] = asyncio.get_running_loop().create_future()
            spawn("circuit opening", self._open_for(key, session, token, waiting))
        # Shielded: one browser that gives up must not take the circuit from the others who wait for it.
        return await asyncio.shield(waiting)

    async def _open_for(self, key: Key, session: ServiceSession, token: str, waiting: asyncio.Future[Circuit]) -> None:
        try:
            circuit = await self._open_http(key, session, token)
            if not waiting.done():
                waiting.set_result(circuit)
        except PanelgateError as error:
            log.info("circuit not opened", reason=error.code, session_id=key[0], device_id=key[1])
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # those who waited may have gone
        finally:
            waiting.cancel()
            del self._opening[key]

    async def _open_http(self, key: Key, session: ServiceSession, token: str) -> Circuit:
        deadline = self._lost.pop(key, -RECOVER_SECONDS) + RECOVER_SECONDS
        while True:
            try:
                circuit, circuit_id, given = await self._open(session, token, "http")
                break
            except Unavailable as error:
                if error.code not in _PASSING or self._clock.monotonic() >= deadline:
                    raise
            await asyncio.sleep(RECOVER_STEP_SECONDS)
        kept = _Kept(circuit, circuit_id, session.account["id"], self._clock.monotonic(), _stored(given))
        self._kept[key] = kept
        circuit.closed.add_done_callback(lambda _: self._closed(key, kept))
        return circuit

    def _closed(self, key: Key, kept: _Kept) -> None:
        self._retired.pop(kept.circuit, None)
        if self._kept.get(key) is kept:
            del self._kept[key]
            if len(self._lost) > 1000:
                self._lost.clear()
            self._lost[key] = self._clock.monotonic()
            log.info("circuit lost", session_id=key[0], device_id=key[1], circuit_id=kept.circuit_id)

    def renew(self, session: ServiceSession, refused: Circuit) -> bool:
        """The agent refused a service on `refused`, whose ticket may be older than the service: use a new circuit.

        False when one was made a moment ago already, so that a new one would change nothing. Open streams go on.
        """
        key = (session.session_id, session.device["id"])
        kept = self._kept.get(key)
        if kept is None or kept.circuit is not refused:
            return True  # replaced since: the newer one has not been asked yet
        now = self._clock.monotonic()
        if now - self._renewed.get(key, -RENEW_SECONDS) < RENEW_SECONDS:
            return False
        if len(self._renewed) > 1000:
            self._renewed.clear()
        self._renewed[key] = now
        self._retire(key)
        return True

    def _retire(self, key: Key) -> None:
        """New requests get a new circuit, with a new ticket; what is open on the old one goes on."""
        kept = self._kept.pop(key)
        if kept.circuit.is_open:
            self._retired[kept.circuit] = key

    async def viewer(self, session: ServiceSession, token: str) -> ViewerCircuit:
        """A circuit of its own for one viewer; the caller closes it. Errors as with `http`."""
        circuit, circuit_id, credentials = await self._open(session, token, "viewer")
        password = credentials.get("password")
        return ViewerCircuit(circuit, circuit_id, Secret(str(password)) if password is not None else None)

    async def _open(self, session: ServiceSession, token: str, purpose: str) -> tuple[Circuit, str, Mapping[str, Any]]:
        body = {"service_token": token, "host_label": session.label, "purpose": purpose}
        answer = await self._access.call("POST", "/webproxy/v1/circuits", json=body)
        circuit = await self._dial(answer)
        log.info(
            "circuit opened", purpose=purpose, circuit_id=answer["circuit_id"], session_id=session.session_id,
            device_id=session.device["id"],
        )  # fmt: skip
        return circuit, answer["circuit_id"], answer.get("credentials") or {}

    async def look(self, answer: Mapping[str, Any], service_id: str) -> Seen:
        """What the agent says of a service's certificate, over a circuit of its own; `answer` is /services/…/look's.

        Unavailable as with `http`.
        """
        circuit = await self._dial(answer)
        try:
            return await look(circuit, service_id)
        finally:
            circuit.close(_NORMAL, "looked")

    async def _dial(self, answer: Mapping[str, Any]) -> Circuit:
        try:
            arguments = {
                "relay_url": answer["relay"]["url"], "circuit_id": answer["circuit_id"], "ticket": answer["ticket"],
                "agent_id": answer["agent"]["id"], "agent_fingerprint": answer["agent"]["fingerprint"],
                "timeout": OPEN_SECONDS,
            }  # fmt: skip
        except (KeyError, TypeError) as error:
            raise Unavailable("bad_answer", "the access server's answer names no circuit") from error
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await self._opener(**arguments)
        except Refused as error:
            raise Unavailable("circuit_refused", error.message, error.facts | {"reason": error.code}) from error
        except PanelgateError as error:
            raise Unavailable("relay_lost", error.message, error.facts | {"reason": error.code}) from error
        except (TimeoutError, OSError) as error:
            raise Unavailable("relay_lost", "the relay did not answer in time", {"reason": str(error)}) from error

    def touch(self, session: ServiceSession) -> None:
        """The circuit of this session and device is in use now."""
        kept = self._kept.get((session.session_id, session.device["id"]))
        if kept is not None:
            kept.used = self._clock.monotonic()

    def event(self, event: Mapping[str, Any]) -> None:
        """Act on an event of the access server."""
        kind = event.get("type")
        if kind == "session.ended":
            self._close([key for key in self._kept if key[0] == event.get("session_id")], "session ended")
            for circuit, key in list(self._retired.items()):
                if key[0] == event.get("session_id"):
                    circuit.close(_REVOKED, "session ended")
        elif kind == "access.changed":
            # A circuit's ticket names the services allowed then.
            for key in [k for k, kept in self._kept.items() if kept.account_id == event.get("account_id")]:
                self._retire(key)
        elif kind == "resync":
            for key in list(self._kept):  # what changed while nothing was heard is not known
                self._retire(key)

    def sweep(self, in_use: set[Key], circuits_in_use: set[Circuit]) -> None:
        """Called every few seconds: closes circuits that nobody has used for two minutes."""
        now = self._clock.monotonic()
        for key, kept in list(self._kept.items()):
            if key in in_use:
                kept.used = now
            elif now - kept.used > IDLE_SECONDS:
                self._close([key], "idle")
        for circuit in [circuit for circuit in self._retired if circuit not in circuits_in_use]:
            self._retired.pop(circuit, None)
            circuit.close(_NORMAL, "replaced")

    def _close(self, keys: list[Key], why: str) -> None:
        for key in keys:
            kept = self._kept.pop(key, None)
            if kept is not None and kept.circuit.is_open:
                kept.circuit.close(_REVOKED if why == "session ended" else _NORMAL, why)

    def close_all(self) -> None:
        """Close every circuit: the process ends."""
        for circuit in list(self._retired):
            circuit.close(_SHUTDOWN, "web proxy ends")
        self._retired.clear()
        for waiting in list(self._opening.values()):
            waiting.cancel()
        for key in list(self._kept):
            kept = self._kept.pop(key)
            if kept.circuit.is_open:
                kept.circuit.close(_SHUTDOWN, "web proxy ends")


def _stored(given: Mapping[str, Any]) -> dict[str, tuple[str, Secret]]:
    """The credentials of an HTTP circuit's answer, by service id; a row that makes no sense is as if it were not."""
    rows = given.get("services")
    found: dict[str, tuple[str, Secret]] = {}
    for service, row in rows.items() if isinstance(rows, Mapping) else ():
        if isinstance(row, Mapping) and isinstance(row.get("user"), str) and isinstance(row.get("password"), str):
            found[str(service)] = (row["user"], Secret(row["password"]))
    return found


_PASSING = frozenset({"device_offline", "relay_lost", "no_relay"})
# panelgate.frames.CircuitEnd, as plain numbers so that a fake circuit needs no enum.
_NORMAL, _SHUTDOWN, _REVOKED = 0, 1, 3
