"""The running agent: asks access for its relay at every connect, serves circuits, renews its certificate."""

import asyncio
from collections import deque
from collections.abc import Callable
from importlib.metadata import version as package_version
from typing import Any, Final

from agent import words
from agent.backoff import Backoff
from agent.circuit import Circuits, Invitation
from agent.control import Control, Left, open_control
from agent.forward import Forwarder
from agent.interfaces import connected_lans, own_addresses
from agent.policy import Address
from agent.state import State
from agent.status import Status
from agent.targets import Targets
from panelgate.access_client import AccessClient
from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.log import get_logger
from panelgate.pki import Identity, Role, from_pem, make_csr, make_key, verify_issued
from panelgate.tasks import spawn
from panelgate.tickets import Verifier

log = get_logger(__name__)

RENEW_AT: Final = 2 / 3  # of the certificate's life: a third of it is left for an access server that is down
RENEW_LOOK_SECONDS: Final = 3600.0
REFRESH_SECONDS: Final = 5.0  # keys are asked for at most this often on somebody else's word
# The configuration as well, but several times in a row: one who follows links makes a service with each, and a ticket
# that names it comes before the news of it. Only access signs tickets, so nobody else sets this off.
REFRESHES: Final = 6
REFRESHES_SECONDS: Final = 30.0
OWN_SECONDS: Final = 10.0  # this machine's addresses are read again: DHCP


class Agent:
    """One agent, made from an enrolled state folder. `run` works until cancelled."""

    def __init__(
        self,
        state: State,
        *,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        own: Callable[[], frozenset[Address]] = own_addresses,
    ) -> None:
        self._state = state
        self._clock = clock or Clock()
        self._backoff = backoff or Backoff()
        self._read_own = own
        self._own: frozenset[Address] = frozenset()
        self._own_read: float | None = None
        self._enrolment = state.enrolment()
        self._identity = state.identity()
        self._keys = Verifier(state.ticket_keys())
        self._client = AccessClient(self._enrolment.access, self._identity, clock=self._clock)
        self._config_lock = asyncio.Lock()
        self._connect_lock = asyncio.Lock()  # identity and client do not change under a connect; taken before the other
        self._keys_asked = -REFRESH_SECONDS
        self._refreshed: deque[float] = deque(maxlen=REFRESHES)
        self._control: Control | None = None
        self._relay = ("", "")
        device_id = self._enrolment.device_id
        self.targets = Targets(device_id)
        self.forwarder = Forwarder(self.targets, state.owner(), self._addresses, refresh=self._refresh_config)
        self.circuits = Circuits(
            device_id,
            self.forwarder,
            lambda: self._identity,
            lambda: self._keys,
            self._clock,
            refresh_keys=self._refresh_keys,
            changed=self._counted,
        )
        self.status = Status(
            state.status_file,
            self._clock,
            account=self._enrolment.account,
            device=self._enrolment.device,
            access=self._enrolment.access,
        )
        self._load_configuration()

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        self._counted()
        self.status.write()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._connect_loop(), name="agent connect")
                group.create_task(self._renew_loop(), name="agent renew")
        finally:
            if self._control is not None:
                self._control.close()
            self.circuits.close()
            self.status.set("stopped")
            await self._client.aclose()

    # Connecting

    async def _connect_loop(self) -> None:
        while True:
            self.status.set("connecting")
            try:
                async with self._connect_lock:
                    control = await self._connect()
            except PanelgateError as error:
                self._say(error.code, words.explain(error))
                hopeless = error.code in words.HOPELESS
                self.status.set("revoked" if hopeless else "waiting")
                await asyncio.sleep(self._backoff.longest() if hopeless else self._backoff.failed())
                continue
            started = self._clock.monotonic()
            self._control = control
            self.status.set("online", relay=self._relay[1])
            log.info("online", relay=self._relay[0], url=self._relay[1])
            left = await control.left
            self._control = None
            await asyncio.sleep(self._pause_after(left, self._clock.monotonic() - started))

    def _pause_after(self, left: Left, lasted: float) -> float:
        if left.reason in words.HOPELESS:
            self._say(left.reason, words.WORDS[left.reason])
            self.status.set("revoked")
            return self._backoff.longest()
        log.info("relay left", reason=left.reason, detail=left.detail, seconds=round(lasted, 1))
        if left.reason == "closed":
            return 0.0
        if left.reason == "lost":
            self.status.failed(f"The connection to the relay was lost ({left.detail}).")
        return self._backoff.failed(lasted)

    async def _connect(self) -> Control:
        """Ask access where to go, and go there."""
        lan = list(self._enrolment.lan or connected_lans())
        body = {"version": package_version("panelgate"), "lan": lan}
        answer = await self._client.call("POST", "/agent/v1/connect", json=body)
        try:
            relay_id, relay_url = str(answer["relay"]["id"]), str(answer["relay"]["url"])
            ticket, wanted = str(answer["ticket"]), int(answer["config_version"])
            self._take_keys(answer["ticket_keys"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable("bad_answer", "The access server's answer makes no sense to this agent.") from error
        if wanted != self.targets.version:
            await self._fetch_config()
        self._relay = (relay_id, relay_url)
        return await open_control(
            self._identity, relay_url, ticket, self._clock, self._invited, lambda _: self._config_changed()
        )

    def _invited(self, control: Control, invitation: Invitation) -> None:
        self.circuits.invite(invitation, *self._relay, control.refuse)

    def _say(self, code: str, sentence: str) -> None:
        log.warning("not connected", code=code, reason=sentence)
        self.status.failed(sentence)

    # What access signed

    def _take_keys(self, jwks: dict[str, Any]) -> None:
        self._keys = Verifier(jwks)
        self._state.save_ticket_keys(dict(jwks))

    def _load_configuration(self) -> None:
        token = self._state.configuration()
        if token is None:
            return
        try:
            self.targets.accept(token, self._keys)
        except PanelgateError as error:
            log.error("stored configuration unusable", code=error.code)

    def _config_changed(self) -> None:
        spawn("fetch configuration", self._fetch_config())

    async def _fetch_config(self) -> None:
        """Fetch and accept the configuration; whatever goes wrong, the one in force stays."""
        async with self._config_lock:
            try:
                answer = await self._client.call("GET", "/agent/v1/config")
                token = str(answer.get("config"))
                try:
                    found = self.targets.accept(token, self._keys)
                except Refused as error:
                    if error.code != "unknown_key":
                        raise
                    await self._refresh_keys()
                    found = self.targets.accept(token, self._keys)
                self.forwarder.reconsider()
                self._state.save_configuration(token)
                log.info("configuration in force", version=found.version, services=len(found.services))
            except PanelgateError as error:
                log.warning("configuration not taken", code=error.code, reason=error.message)
            except OSError as error:
                log.warning("configuration not stored", reason=str(error))
        self._counted()

    async def _refresh_config(self) -> None:
        """Look for a service that a ticket names and our list does not: wait for what is under way, or else ask."""
        if self._config_lock.locked():
            async with self._config_lock:
                return
        now = self._clock.monotonic()
        if len(self._refreshed) == REFRESHES and now - self._refreshed[0] < REFRESHES_SECONDS:
            log.warning("configuration not asked for again", asked=REFRESHES, seconds=REFRESHES_SECONDS)
            return
        self._refreshed.append(now)
        await self._fetch_config()

    async def _refresh_keys(self) -> None:
        now = self._clock.monotonic()
        if now - self._keys_asked < REFRESH_SECONDS:
            return
        self._keys_asked = now
        try:
            self._take_keys(await self._client.call("GET", "/v1/ticket-keys"))
        except PanelgateError as error:
            log.warning("ticket keys not fetched", code=error.code)
        except (KeyError, TypeError, ValueError):
            log.warning("ticket keys make no sense")

    # Identity

    async def _renew_loop(self) -> None:
        while True:
            if self._clock.now() >= renew_at(self._identity):
                try:
                    async with self._connect_lock, self._config_lock:
                        await self._renew()
                except PanelgateError as error:
                    log.warning("certificate not renewed", code=error.code, reason=error.message)
            await asyncio.sleep(RENEW_LOOK_SECONDS)

    async def _renew(self) -> None:
        key = make_key()
        answer = await self._client.call("POST", "/agent/v1/renew", json={"csr": make_csr(key)})
        certificate = from_pem(str(answer.get("certificate")))
        peer = verify_issued(certificate, self._identity.ca, self._clock.now())
        mine = (self._identity.role, self._identity.id)
        if (peer.role, peer.id) != mine or certificate.public_key() != key.public_key():
            raise Refused("wrong_certificate", "the renewed certificate is for somebody else")
        fresh = Identity(Role.AGENT, peer.id, key, certificate, self._identity.ca)
        self._identity = self._state.save_identity(fresh)
        older, self._client = self._client, AccessClient(self._enrolment.access, self._identity, clock=self._clock)
        await older.aclose()
        log.info("certificate renewed", until=certificate.not_valid_after_utc.isoformat())
        # Web proxies expect the older certificate until this agent has connected with the new one: do that now.
        if self._control is not None:
            self._control.close()

    # Odds

    def _addresses(self) -> frozenset[Address]:
        now = self._clock.monotonic()
        if self._own_read is None or now - self._own_read >= OWN_SECONDS:
            self._own, self._own_read = self._read_own(), now
        return self._own

    def _counted(self) -> None:
        self.status.count(circuits=len(self.circuits), config_version=self.targets.version)


def renew_at(identity: Identity) -> float:
    """When to renew: unix time at two thirds of the certificate's life."""
    start = identity.certificate.not_valid_before_utc.timestamp()
    end = identity.certificate.not_valid_after_utc.timestamp()
    return start + (end - start) * RENEW_AT
