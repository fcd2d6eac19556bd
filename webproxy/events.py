"""What the access server pushes: one stream, kept open, given to everybody in this process who asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from panelgate.errors import PanelgateError
from panelgate.log import get_logger

PATH = "/webproxy/v1/events"
FIRST_WAIT_SECONDS = 0.5  # before the stream is opened again: a restarted access server is back in about a second
LONGEST_WAIT_SECONDS = 10.0  # what was missed shows this late at most

Event = Mapping[str, Any]
Callback = Callable[[Event], None]
log = get_logger(__name__)


class EventSource(Protocol):
    """The part of panelgate.access_client.AccessClient that this needs."""

    def events(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """The events of one stream until it ends."""
        ...


class Events:
    """Fans out the event stream. After each reconnect subscribers get {"type": "resync"}: they may have missed some."""

    def __init__(self, source: EventSource) -> None:
        self._source = source
        self._callbacks: list[Callback] = []
        self.connected = False

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` with each event, in the order of subscription; returns what ends it."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Give `event` to all; one subscriber's exception never keeps it from the others."""
        for callback in tuple(self._callbacks):
            try:
                callback(event)
            except Exception:
                log.exception("event callback failed", event_type=event.get("type"))

    async def run(self) -> None:
        """Keep the stream open until cancelled."""
        wait = FIRST_WAIT_SECONDS
        before = False
        while True:
            try:
                async for event in self._source.events(PATH):
                    if not self.connected:
                        self.connected = True
                        wait = FIRST_WAIT_SECONDS
                        log.info("events connected")
                        if before:
                            self.emit({"type": "resync"})
                        before = True
                    if event.get("type") != "ping":
                        self.emit(event)
                reason = "ended"
            except PanelgateError as error:
                reason = error.code
            if self.connected:
                log.warning("events lost", reason=reason)
            self.connected = False
            before = True
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  spreads load, hides nothing
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
