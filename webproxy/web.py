"""Everything one web proxy process holds: made once, started and stopped with the listener."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from panelgate.access_client import AccessClient
from panelgate.circuit import open_circuit
from panelgate.clock import Clock, from_iso
from panelgate.log import get_logger
from panelgate.names import Sites
from panelgate.pki import Identity
from panelgate.settings import WebproxySettings
from panelgate.tasks import spawn
from webproxy.circuits import Circuits, Opener
from webproxy.connections import Connections
from webproxy.events import Events
from webproxy.forward.cache import Caches
from webproxy.forward.certificate import Refusals
from webproxy.forward.clients import Clients
from webproxy.forward.places import Places
from webproxy.forward.visit import Visits
from webproxy.sessions import ServiceSessions

SWEEP_SECONDS = 5.0  # between looks at everything with a time limit; the limits are all longer
STATUS_LIMIT = 20_000  # devices whose last status is remembered

log = get_logger(__name__)


class Web:
    """The parts, and how they hear of each other. Portal pages get it as `request.app.state.web`."""

    def __init__(
        self, settings: WebproxySettings, access: AccessClient, identity: Identity, *, sites: Sites | None = None,
        clock: Clock | None = None, opener: Opener | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.sites = sites or settings.sites()
        self.access = access
        self.clock = clock or Clock()
        self.clients = Clients(settings.trusted_proxies)
        self.places = Places(self.sites, access, self.clock, any_host=settings.behind_proxy)
        self.events = Events(access)
        self.sessions = ServiceSessions(access, self.clock)
        self.refusals = Refusals(access, self.clock, self.sites.portal_origin)
        self.circuits = Circuits(access, opener or partial(open_circuit, identity=identity), self.clock)
        self.connections = Connections(access, self.clock)
        self.caches = Caches(settings.cache_bytes)
        self.visits = Visits(self.sites, self.connections, self.caches)
        self.device_status: dict[str, dict[str, object]] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        # The order counts: what is open is cut first, then the circuits go.
        self.sessions.on_gone(self.visits.gone)
        self.sessions.on_changed(self.visits.changed)
        self.sessions.on_siblings(self.visits.siblings)
        self.events.subscribe(self._event)

    def _event(self, event: Mapping[str, Any]) -> None:
        self.sessions.event(event)
        self.circuits.event(event)
        kind = event.get("type")
        if kind in ("access.changed", "resync"):
            self.visits.forget_unused(str(event.get("account_id")) if kind == "access.changed" else None)
        if kind == "session.ended":
            self.connections.end_session(str(event.get("session_id")), "session ended")
        elif kind == "device.status":
            if len(self.device_status) >= STATUS_LIMIT:
                self.device_status.clear()
            self.device_status[str(event.get("device_id"))] = {
                "status": str(event.get("status")), "since": event.get("since")
            }  # fmt: skip
        elif kind == "resync":
            self.device_status.clear()

    async def start(self) -> None:
        """Begin the work that runs beside requests."""
        self._tasks = [
            spawn("events", self.events.run()),
            spawn("connections", self.connections.run()),
            spawn("sweep", self._sweeping()),
        ]

    async def stop(self) -> None:
        """End everything that is open, and report it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for visit in self.visits:
            visit.end("web proxy ends")
        self.circuits.close_all()
        await self.connections.stop()
        await self.access.aclose()

    async def _sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self.sweep()
            except Exception:
                log.exception("sweep failed")

    def sweep(self) -> None:
        """Look once at everything with a time limit."""
        self.visits.sweep(asyncio.get_running_loop().time())
        used = set()
        keys = set()
        for visit in self.visits:
            pool = visit.pool
            if pool.busy or pool.waiting or visit.sockets:
                used.add((visit.session.session_id, visit.session.device["id"]))
                keys.add((visit.token, visit.label))
        streaming = {upstream.circuit for visit in self.visits for upstream in visit.pool.busy}
        self.sessions.sweep(keys)
        self.circuits.sweep(used, streaming)

    def offline_since(self, device_id: str) -> float | None:
        """Unix seconds since when a device is known to be offline, None when it isn't."""
        known = self.device_status.get(device_id)
        if known is None or known["status"] != "offline" or not isinstance(known["since"], str):
            return None
        return from_iso(known["since"])
