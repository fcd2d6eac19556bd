"""What the relay tells the access server, and what it hears from it. Every part survives the other's absence."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from panelgate.access_client import AccessClient
from panelgate.clock import Clock, iso
from panelgate.errors import BadInput, Broken, PanelgateError
from panelgate.log import get_logger
from panelgate.tickets import Verifier
from relay.control import Controls, Presence
from relay.rendezvous import Rendezvous

log = get_logger(__name__)
T = TypeVar("T")

REPORT_SECONDS = 5.0  # unless the access server says otherwise when we register
CIRCUITS_LIMIT = 2000  # ids in one report, as the access server takes them; more go in turn
KEYS_SECONDS = 60.0  # a new signing key is published well before it is used
RETRY_FIRST_SECONDS = 0.25
RETRY_LONGEST_SECONDS = 5.0  # as often as a report: the access server's return must be noticed soon


@dataclass(slots=True)
class Keys:
    """The access server's public keys, as last fetched. Keeping them is what lets a relay work without it."""

    verifier: Verifier | None = None


class Reporter:
    """Registers, reports, passes presence on, follows events. `run` never returns until cancelled."""

    def __init__(
        self,
        client: AccessClient,
        url: str,
        version: str,
        clock: Clock,
        keys: Keys,
        rendezvous: Rendezvous,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._client = client
        self.url = url
        self._version = version
        self._clock = clock
        self._keys = keys
        self._rendezvous = rendezvous
        self._jitter = jitter
        self._pending: dict[str, Presence] = {}
        self._news = asyncio.Event()
        self._told = 0  # how many circuits earlier reports named, to go on behind them
        self.controls: Controls | None = None
        self.registered = False
        self.reached_at: float | None = None
        self.ready = asyncio.Event()

    def presence(self, news: Presence) -> None:
        """A device came or went; only its latest news waits, so that waiting costs a bounded amount."""
        self._pending[news.device_id] = news
        self._news.set()

    def use(self, client: AccessClient) -> None:
        """Call the access server with another client from now on; an open event stream stays where it is."""
        self._client = client

    async def run(self) -> None:
        """Do all of it until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, loop in (
                ("keys", self._keys_loop),
                ("report", self._report_loop),
                ("presence", self._presence_loop),
                ("events", self._events_loop),
            ):
                group.create_task(loop(), name=f"relay {name}")

    async def farewell(self) -> None:
        """Say that the devices are gone, once: the last act of a clean shutdown."""
        try:
            await self._report(devices=False)
        except PanelgateError as error:
            log.info("farewell not heard", code=error.code)

    # The loops

    async def _keys_loop(self) -> None:
        while True:
            await self._insist("keys", self._fetch_keys)
            await asyncio.sleep(KEYS_SECONDS)

    async def _report_loop(self) -> None:
        while True:
            seconds = float(await self._insist("register", self._register))
            self.registered = True
            if self._keys.verifier is not None:
                self.ready.set()
            while self.registered:
                await asyncio.sleep(seconds)
                await self._insist("report", self._report)

    async def _presence_loop(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._pending:
                device_id = next(iter(self._pending))
                await self._insist("presence", partial(self._tell, device_id))

    async def _events_loop(self) -> None:
        attempt = 0
        while True:
            try:
                async for event in self._client.events("/relay/v1/events"):
                    attempt = 0
                    self._event(event)
                log.info("event stream ended")
            except PanelgateError as error:
                if attempt == 0:
                    log.warning("event stream lost", code=error.code)
            attempt += 1
            await asyncio.sleep(self._wait(attempt))

    # What they call

    async def _fetch_keys(self) -> None:
        answer = await self._client.call("GET", "/v1/ticket-keys")
        try:
            self._keys.verifier = Verifier(answer)
        except (KeyError, ValueError, TypeError) as error:
            raise Broken("bad_keys", "the access server's ticket keys make no sense") from error
        if self.registered:
            self.ready.set()

    async def _register(self) -> float:
        answer = await self._client.call("POST", "/relay/v1/register", json={"url": self.url, "version": self._version})
        log.info("registered", relay=answer.get("relay_id"))
        seconds = answer.get("report_seconds")
        return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else REPORT_SECONDS

    async def _report(self, *, devices: bool = True) -> None:
        controls = self.controls.all() if self.controls is not None and devices else []
        body = {
            "circuits": len(self._rendezvous),
            "circuit_ids": self._some_circuits(),
            "bytes": self._rendezvous.bytes,
            "devices": [
                {
                    "device_id": control.device_id,
                    "counter": control.counter,
                    "address": control.address,
                    "since": iso(control.since),
                }
                for control in controls
            ],
        }
        try:
            answer = await self._client.call("POST", "/relay/v1/report", json=body)
        except BadInput as error:
            # It does not know us: its database may be new, or it was away for long. Register again.
            log.warning("report refused", code=error.code)
            self.registered = False
            return
        # Said once by the event stream; here for what it said while it was broken.
        for circuit_id in _texts(answer.get("cut")):
            self._event({"type": "circuit.cut", "circuit_id": circuit_id, "reason": "revoked"})
        for device_id in _texts(answer.get("revoked")):
            self._event({"type": "device.cut", "device_id": device_id, "reason": "revoked"})

    def _some_circuits(self) -> list[str]:
        """Ids of open circuits, at most CIRCUITS_LIMIT: all of them within a few reports."""
        ids = list(self._rendezvous.ids())
        if len(ids) <= CIRCUITS_LIMIT:
            return ids
        start = self._told % len(ids)
        self._told = start + CIRCUITS_LIMIT
        return (ids + ids)[start : start + CIRCUITS_LIMIT]

    async def _tell(self, device_id: str) -> None:
        news = self._pending[device_id]
        body = {"device_id": device_id, "counter": news.counter, "state": news.state, "address": news.address}
        try:
            answer = await self._client.call("POST", "/relay/v1/presence", json=body)
        except BadInput as error:
            log.warning("presence refused", device=device_id, code=error.code)
            answer = {}
        if self._pending.get(device_id) is news:
            del self._pending[device_id]
        if answer.get("accepted") is False and news.state == "up" and self.controls is not None:
            control = self.controls.of(device_id)
            if control is not None and control.counter == news.counter:
                # The device is connected elsewhere by now, with a later ticket.
                control.leave("replaced")

    def _event(self, event: dict[str, Any]) -> None:
        self.reached_at = self._clock.now()
        kind, device_id = event.get("type"), str(event.get("device_id"))
        reason = str(event.get("reason", ""))
        control = self.controls.of(device_id) if self.controls is not None else None
        if kind == "device.cut":
            cut = self._rendezvous.cut_device(device_id, reason or "revoked")
            if control is not None:
                control.leave("moved" if reason == "moved" else "revoked")
            log.info("device cut", device=device_id, reason=reason, circuits=cut)
        elif kind == "circuit.cut":
            self._rendezvous.cut(str(event.get("circuit_id")), reason or "revoked")
        elif kind == "config.changed" and control is not None:
            version = event.get("version")
            control.config(version if isinstance(version, int) else 0)

    # Patience

    async def _insist(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it works; what goes wrong is logged when it starts and when it ends, not at every try."""
        attempt = 0
        while True:
            try:
                found = await call()
            except PanelgateError as error:
                attempt += 1
                if attempt == 1:
                    log.warning("access server not answering", call=what, code=error.code, message=error.message)
                await asyncio.sleep(self._wait(attempt))
                continue
            self.reached_at = self._clock.now()
            if attempt:
                log.info("access server answering again", call=what, tries=attempt + 1)
            return found

    def _wait(self, attempt: int) -> float:
        ceiling = min(RETRY_LONGEST_SECONDS, RETRY_FIRST_SECONDS * 2 ** min(attempt, 10))
        return self._jitter(ceiling / 2, ceiling)


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
