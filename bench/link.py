"""A slow link in userland: TCP connections through it share one line with a rate and a delay for each direction."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

PACKET = 1400  # bytes that cross the line as one
QUEUE_SECONDS = 0.25  # of data that wait in front of the line, as a modem's buffer does; then TCP is held


@dataclass
class Line:
    """One direction: `rate` in bytes a second, `delay` in seconds; `bytes` counts what crossed it."""

    rate: float
    delay: float
    bytes: int = 0
    free: float = 0.0  # when the line has sent what waits

    def send(self, size: int, now: float) -> float:
        """Put `size` bytes on the line; when they arrive."""
        self.bytes += size
        self.free = max(self.free, now) + size / self.rate
        return self.free + self.delay


class _End(asyncio.Protocol):
    """One TCP connection's end at the link; `line` is what it reads into, None for one that is not slowed."""

    def __init__(self, line: Line | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._line = line
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: _End) -> None:
        self.other = other
        for data in self._early:
            self._pass(data)
        if self._ended:
            self._later(0, self._end_other)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self._pass(data)

    def _pass(self, data: bytes) -> None:
        line = self._line
        if line is None:
            self._write(data)
            return
        for start in range(0, len(data), PACKET):
            piece = data[start : start + PACKET]
            self._later(len(piece), self._write, piece)
        ahead = line.free - self._loop.time()
        if ahead > QUEUE_SECONDS and self.transport is not None:
            self.transport.pause_reading()
            self._loop.call_later(ahead - QUEUE_SECONDS, self._go_on)

    def _later(self, size: int, callback: Callable[..., None], *arguments: Any) -> None:
        if self._line is None:
            callback(*arguments)
        else:
            self._loop.call_at(self._line.send(size, self._loop.time()), callback, *arguments)

    def _go_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _write(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def _end_other(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        if self.other is not None:
            self._later(0, self._end_other)


class Link:
    """Listens on a free port of 127.0.0.1 and leads to `target` there, in a thread of its own.

    `slow(port)` says whether the connection that comes from this port is to be slowed: a web proxy beside the relay is
    not at the other end of the uplink.
    """

    def __init__(self, target: int, *, rate: float, round_trip: float, slow: Callable[[int], bool]) -> None:
        self.up, self.down = Line(rate, round_trip / 2), Line(rate, round_trip / 2)
        self.port = 0
        self._target, self._slow = target, slow
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._joining: set[asyncio.Task[None]] = set()

    @property
    def bytes(self) -> int:
        """What crossed the link so far, both ways."""
        return self.up.bytes + self.down.bytes

    def start(self) -> Link:
        """Listen."""
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def stop(self) -> None:
        """Cut everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Accepted(self), "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()

    def ends(self, port: int) -> tuple[Line, Line] | None:
        """The lines for a connection from `port`."""
        return (self.up, self.down) if self._slow(port) else None

    def connect(self, near: _End, down: Line | None) -> None:
        """Lead `near` to the target."""
        task = self._loop.create_task(self._connect(near, down))  # kept and awaited by nobody but here
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _connect(self, near: _End, down: Line | None) -> None:
        try:
            _, far = await self._loop.create_connection(lambda: _End(down), "127.0.0.1", self._target)
        except OSError:
            if near.transport is not None:
                near.transport.abort()
            return
        near.join(far)
        far.join(near)


class _Accepted(_End):
    def __init__(self, link: Link) -> None:
        super().__init__(None)
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        lines = self._link.ends(transport.get_extra_info("peername")[1])
        self._line = lines[0] if lines else None
        self._link.connect(self, lines[1] if lines else None)
