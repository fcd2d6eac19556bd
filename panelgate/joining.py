"""The one way two byte streams are joined: back-pressure, half-close, an idle limit, counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from panelgate.frames import StreamError
from panelgate.stream import Stream, StreamReset

IDLE_SECONDS: Final = 4 * 3600.0  # neither side said anything: a forgotten VNC screen, not a slow machine
HALF_CLOSED_SECONDS: Final = 60.0  # one side is done; the other has this long between two of its last bytes


class Held(asyncio.Protocol):
    """The protocol of a fresh connection until it is joined: what comes meanwhile is kept and handed on, in order.

    Reading is paused at once, so little can come; uvloop starts to read after connection_made whatever that said, and
    a VNC panel or an SSH server greets before anybody asked.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_ended = False  # its EOF came
        self.is_lost = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing should be read before somebody can take it."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Keep it; at most one read arrives, because this pauses again."""
        self.data += data
        if self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep that too; the connection stays open for what we have to say."""
        self.is_ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone before it was joined."""
        self.is_lost = True


class Filter(Protocol):
    """Sees, and may change, what passes between two joined transports; it takes no part in their life."""

    def start(self, joined: Joined) -> None:
        """What it was put between; called once, before anything passes."""

    def a_to_b(self, data: bytes) -> bytes:
        """What `b` gets for bytes of `a`."""

    def b_to_a(self, data: bytes) -> bytes:
        """What `a` gets for bytes of `b`; what is held back may follow by `Joined.write_to_a`."""

    def b_ended(self) -> bytes:
        """`b` sends no more: what was held back for `a`."""

    def close(self) -> None:
        """Both are gone."""


class Joined:
    """Two joined transports. `done` gets None when both are closed, or the first error; bytes are counted both ways."""

    def __init__(self, a: asyncio.Transport, b: asyncio.Transport, idle: float, through: Filter | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._heard = self._loop.time()
        self.a_to_b = 0
        self.b_to_a = 0
        self.done: asyncio.Future[Exception | None] = self._loop.create_future()
        self._error: Exception | None = None
        self._through = through
        self._ends: tuple[_End, _End]
        if through is None:
            self._ends = (_End(self, a, b), _End(self, b, a))
        else:
            through.start(self)
            self._ends = (
                _FilteredEnd(self, a, b, through.a_to_b),
                _FilteredEnd(self, b, a, through.b_to_a, through.b_ended),
            )
        self._ends[0].other, self._ends[1].other = self._ends[1], self._ends[0]
        self._timer = self._loop.call_later(idle, self._check_idle)

    def start(self) -> None:
        """Take both transports over."""
        kept: list[tuple[_End, Held]] = []
        for end in self._ends:
            held = end.mine.get_protocol()
            # A transport that is lost has forgotten its protocol, and would never tell a new one.
            if (isinstance(held, Held) and held.is_lost) or (held is None and not isinstance(end.mine, Stream)):
                end.gone = True
            else:
                end.mine.set_protocol(end)
                if isinstance(held, Held):
                    kept.append((end, held))
        for end, held in kept:
            if held.data:
                end.data_received(bytes(held.data))
            if held.is_ended:
                end.eof_received()
        for end in self._ends:
            if end.gone:
                self.lost(end, ConnectionResetError("lost before it was joined"))
            else:
                end.mine.resume_reading()

    def close(self) -> None:
        """End both, after what is queued."""
        for end in self._ends:
            end.mine.close()

    def abort(self, error: Exception | None = None) -> None:
        """End both at once."""
        self._error = self._error or error
        for end in self._ends:
            _break(end.mine, error)

    def write_to_a(self, data: bytes) -> None:
        """Send what a filter held back."""
        if not self._ends[0].gone:
            self._ends[0].mine.write(data)

    def passed(self, end: _End, count: int) -> None:
        """`count` bytes came from one end."""
        self._heard = self._loop.time()
        if end is self._ends[0]:
            self.a_to_b += count
        else:
            self.b_to_a += count

    def lost(self, end: _End, error: Exception | None) -> None:
        """One end is gone."""
        if end.ended and isinstance(error, StreamReset) and error.code == StreamError.CLOSED:
            error = None  # it had said all it wanted, and reads no more: what it said must still arrive
        self._error = self._error or error
        if end.other.gone:
            self._timer.cancel()
            if self._through is not None:
                self._through.close()
            if not self.done.done():
                self.done.set_result(self._error)
        elif error is None:
            end.other.mine.close()
        else:
            _break(end.other.mine, error)

    def _check_idle(self) -> None:
        now = self._loop.time()
        limit = min(self._idle, HALF_CLOSED_SECONDS) if any(end.ended for end in self._ends) else self._idle
        left = self._heard + limit - now
        if left <= 0:
            self.abort(StreamReset(StreamError.TIMEOUT, "idle"))
            return
        # A half-close may shorten the limit meanwhile: look again soon enough.
        self._timer = self._loop.call_later(min(left, HALF_CLOSED_SECONDS), self._check_idle)


class _End(asyncio.Protocol):
    """The protocol on one of the two transports."""

    other: _End

    def __init__(self, joined: Joined, mine: asyncio.Transport, theirs: asyncio.Transport) -> None:
        self._joined = joined
        self.mine = mine
        self._theirs = theirs
        self.ended = False  # its EOF came
        self.gone = False

    def data_received(self, data: bytes) -> None:
        self._joined.passed(self, len(data))
        self._theirs.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self._theirs.can_write_eof():
            self._theirs.write_eof()
        # TLS to a target can't be half closed: it stays whole until it ends or is idle.
        if self.other.ended:
            self._joined.close()
        return self.mine.can_write_eof()

    def pause_writing(self) -> None:
        if not self.other.gone:
            self._theirs.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.gone:
            self._theirs.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._joined.lost(self, exc)


class _FilteredEnd(_End):
    """An end whose bytes pass a filter."""

    def __init__(
        self, joined: Joined, mine: asyncio.Transport, theirs: asyncio.Transport, change: Callable[[bytes], bytes],
        rest: Callable[[], bytes] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(joined, mine, theirs)
        self._change = change
        self._rest = rest

    def data_received(self, data: bytes) -> None:
        self._joined.passed(self, len(data))
        changed = self._change(data)
        if changed:
            self._theirs.write(changed)

    def eof_received(self) -> bool:
        self._write_rest()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and not self.ended:
            self._write_rest()
        super().connection_lost(exc)

    def _write_rest(self) -> None:
        rest = self._rest() if self._rest is not None else b""
        if rest and not self.other.gone:
            self._theirs.write(rest)


def _break(transport: asyncio.Transport, error: Exception | None) -> None:
    """End a transport because the other one broke, with the reason where the transport can tell it."""
    if isinstance(transport, Stream):
        if isinstance(error, StreamReset):
            transport.reset(error.code, error.text)
        else:
            transport.reset(StreamError.PEER_RESET, type(error).__name__ if error else "")
    else:
        transport.abort()


def join(
    a: asyncio.Transport, b: asyncio.Transport, *, idle: float = IDLE_SECONDS,
    done: Callable[[Exception | None], None] | None = None, through: Filter | None = None,
) -> Joined:  # fmt: skip
    """Join two transports until both are closed; `idle` seconds of silence end them.

    Connections whose other side speaks first should be made with `Held` as their protocol, so that nothing is lost
    before this is called. `done` is called once with the first error or None. What passes goes through `through`.
    """
    joined = Joined(a, b, idle, through)
    if done is not None:
        callback = done
        joined.done.add_done_callback(lambda future: callback(future.result()))
    joined.start()
    return joined
