"""Events inside one access process: published from any thread, read by async streams.

An event is a dict with a `type`, as the API's event streams carry it (one JSON object a line). Which stream carries
which types is `STREAMS`, the one table. A subscriber that does not keep up is dropped: its stream ends, it reconnects
and asks for everything anew, which is what it must do after any gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from panelgate.log import get_logger

log = get_logger("access.events")

PING_SECONDS = 10.0  # readers take silence of three pings for a lost connection
QUEUE_BYTES = 256 * 1024  # a reader this far behind is not reading

Event = dict[str, Any]

STREAMS: dict[str, frozenset[str]] = {
    "webproxy": frozenset(
        {"session.ended", "service_session.ended", "access.changed", "device.status", "connection.changed"}
    ),
    "relay": frozenset({"device.cut", "circuit.cut", "config.changed"}),
}


class Subscription:
    """One reader's queue, filled from any thread and read in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, types: frozenset[str]) -> None:
        self._loop = loop
        self._types = types
        self._lines: list[bytes] = []
        self._size = 0
        self._wake = asyncio.Event()
        self._lock = threading.Lock()
        self.overrun = False
        self.closed = False

    def offer(self, kind: str, line: bytes) -> None:
        """Queue a line for the reader, from any thread."""
        if kind not in self._types:
            return
        with self._lock:
            if self._size + len(line) > QUEUE_BYTES:
                self.overrun = True
            else:
                self._lines.append(line)
                self._size += len(line)
        self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """End the stream after what is queued, from any thread."""
        self.closed = True
        self._loop.call_soon_threadsafe(self._wake.set)

    async def take(self, timeout: float) -> bytes:
        """All queued lines, waiting at most `timeout` seconds for the first; b"" when there was none."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout)
        except TimeoutError:
            return b""
        with self._lock:
            self._wake.clear()
            if self.closed:
                self._wake.set()  # what follows is the end, not a wait
            lines, self._lines, self._size = self._lines, [], 0
        return b"".join(lines)


class Hub:
    """Where events are published and subscribed to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: set[Subscription] = set()
        self._listeners: list[Callable[[Event], None]] = []
        self._closed = False

    def close(self) -> None:
        """End all streams: the server stops, and an open one would hold it up. Readers connect again elsewhere."""
        with self._lock:
            self._closed = True
            readers = tuple(self._readers)
        for reader in readers:
            with contextlib.suppress(RuntimeError):  # its event loop has closed
                reader.close()

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event, in the publisher's thread; the way to stop it comes back."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return stop

    def publish(self, what: Event) -> None:
        """Give an event to every reader and listener; from any thread, without waiting."""
        kind = str(what["type"])
        line = json.dumps(what, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            readers, listeners = tuple(self._readers), tuple(self._listeners)
        for reader in readers:
            try:
                reader.offer(kind, line)
            except RuntimeError:  # its event loop has closed
                self._drop(reader)
        for listener in listeners:
            listener(what)

    def _drop(self, reader: Subscription) -> None:
        with self._lock:
            self._readers.discard(reader)

    async def ndjson(self, stream: str, *, ping_seconds: float = PING_SECONDS) -> AsyncIterator[bytes]:
        """The lines of one of `STREAMS`: a ping at once (the reader knows it is on), then events and pings."""
        reader = Subscription(asyncio.get_running_loop(), STREAMS[stream])
        with self._lock:
            self._readers.add(reader)
            if self._closed:
                reader.close()
        ping = json.dumps({"type": "ping"}).encode() + b"\n"
        try:
            yield ping
            while not reader.overrun:
                lines = await reader.take(ping_seconds)
                if reader.closed and not lines:
                    return
                yield lines or ping
            log.warning("event_reader_dropped", stream=stream)
        finally:
            self._drop(reader)
