"""Connections, as the audit knows them: one user's use of one service, with bytes each way, reported in batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from panelgate.clock import Clock, iso
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.log import get_logger

if TYPE_CHECKING:
    from webproxy.sessions import ServiceSession

REPORT_SECONDS = 5.0  # the access server ends a connection that was not reported for 30 s
LOOK_SECONDS = 1.0  # between looks at the counters: the audit's durations are this exact
IDLE_SECONDS = 60.0  # a connection over HTTP ends so long after its last byte
UNREPORTED_LIMIT = 5_000  # ended connections kept while the access server is down

log = get_logger(__name__)


class Access(Protocol):
    """The part of panelgate.access_client.AccessClient that this needs."""

    async def call(self, method: str, path: str, *, json: object = None) -> dict[str, Any]:
        """One call to the access server."""
        ...


class Connection:
    """One connection. `up` and `down` count bytes to and from the device; the hot path adds to them directly."""

    __slots__ = (
        "_clock", "_held", "_seen", "body", "down", "id", "last_activity", "owner", "quiet_since", "reason", "up",
    )  # fmt: skip

    def __init__(self, body: dict[str, Any], clock: Clock, owner: str, *, held: bool) -> None:
        self.body = body  # of the call that announces it
        self.owner = owner  # session id
        self.id = ""  # the access server's, once announced
        self.up = 0
        self.down = 0
        self.reason = ""  # set once it has ended
        self.last_activity = clock.now()
        self.quiet_since = clock.monotonic()
        self._seen = -1
        self._held = held
        self._clock = clock

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return bool(self.reason)

    def add_up(self, count: int) -> None:
        """Count bytes sent to the device."""
        self.up += count

    def add_down(self, count: int) -> None:
        """Count bytes that came from the device."""
        self.down += count

    def hold(self, held: bool) -> None:
        """Something long-lived is open (a WebSocket, a viewer): silence doesn't end it, and is use all the same."""
        if self._held and not held:
            self._used()
        self._held = held

    def end(self, reason: str) -> None:
        """It is over; the first reason counts."""
        if self.reason:
            return
        self.reason = reason
        if self._held or self.up + self.down != self._seen:
            self._used()

    def _used(self) -> None:
        self._seen = self.up + self.down
        self.last_activity = self._clock.now()
        self.quiet_since = self._clock.monotonic()

    def look(self) -> None:
        """See whether bytes went since the last look; ends it after a minute without."""
        if self.reason:
            return
        if self.up + self.down != self._seen:
            self._used()
        elif not self._held and self._clock.monotonic() - self.quiet_since >= IDLE_SECONDS:
            self.end("idle")

    def report(self) -> dict[str, Any]:
        """The row for the access server."""
        return {
            "id": self.id, "bytes_up": self.up, "bytes_down": self.down, "last_activity": iso(self.last_activity),
            "ended": {"reason": self.reason} if self.reason else None,
        }  # fmt: skip


class Connections:
    """All connections of this process; `run` reports them every five seconds."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._all: list[Connection] = []
        self._wake = asyncio.Event()

    def open(
        self, session: ServiceSession, token: str, circuit_id: str, client: Mapping[str, str], *, held: bool = False,
        companion: str = "",
    ) -> Connection:  # fmt: skip
        """Begin a connection; the access server hears of it at once, without anybody waiting for that.

        `companion` is the id of another service of the device that this session's pages use.
        """
        body: dict[str, Any] = {
            "service_token": token, "host_label": session.label, "circuit_id": circuit_id, "client": dict(client)
        }  # fmt: skip
        if companion:
            body["companion"] = companion
        connection = Connection(body, self._clock, session.session_id, held=held)
        self._all.append(connection)
        self._wake.set()
        return connection

    async def begin(
        self, session: ServiceSession, token: str, circuit_id: str, client: Mapping[str, str]
    ) -> Connection:
        """Begin a viewer's connection, which lasts until `end` is called."""
        return self.open(session, token, circuit_id, client, held=True)

    def end_session(self, session_id: str, reason: str) -> None:
        """End all connections of one user session."""
        for connection in self._all:
            if connection.owner == session_id:
                connection.end(reason)
        self._wake.set()

    async def run(self) -> None:
        """Announce and report until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + REPORT_SECONDS
        while True:
            # However often something new wakes this up, reports must not be late: they keep connections alive.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            self.look()
            if loop.time() < due:
                await self._announce()
            else:
                await self.flush()
                due = loop.time() + REPORT_SECONDS

    def look(self) -> None:
        """Look at every connection's counters once."""
        for connection in self._all:
            connection.look()

    async def flush(self) -> None:
        """Announce what is new and report everything once."""
        self.look()
        await self._announce()
        known = [connection for connection in self._all if connection.id]
        if not known:
            return
        rows = [connection.report() for connection in known]
        try:
            await self._access.call("POST", "/webproxy/v1/connections/report", json={"connections": rows})
        except PanelgateError as error:
            log.warning("connections not reported", reason=error.code, count=len(known))
            if len(self._all) > UNREPORTED_LIMIT:
                self._all = [connection for connection in self._all if not connection.ended]
            return
        told = {row["id"] for row in rows if row["ended"]}
        self._all = [connection for connection in self._all if connection.id not in told]

    async def _announce(self) -> None:
        for connection in [connection for connection in self._all if not connection.id]:
            try:
                answer = await self._access.call("POST", "/webproxy/v1/connections", json=connection.body)
                connection.id = str(answer["connection_id"])
            except Refused as error:
                log.warning("connection not accepted", reason=error.code)
                connection.end(error.code)
                self._all.remove(connection)
            except (Unavailable, KeyError):
                return  # with the next report
            except PanelgateError as error:
                log.warning("connection not announced", reason=error.code)
                self._all.remove(connection)

    async def stop(self) -> None:
        """End everything and report it, as far as the access server can be reached."""
        for connection in self._all:
            connection.end("web proxy ends")
        await self.flush()
