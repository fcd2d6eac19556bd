"""One circuit: two carriers, bytes from each written to the other. It never looks at them.

Callback to callback: no task, no queue, no copy. A side that can't take more pauses the reading of the other; so at
most one read buffer and one write buffer are held for each direction.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

from panelgate.wsframes import CloseCode
from relay.limits import Budget

# How a circuit's end is told to its two sides. The reason beside it is a word for machines; the web proxy takes POLICY
# for "refused" and TRY_LATER for "not there now" (panelgate.circuit).
ENDED: Final = CloseCode.NORMAL
CUT: Final = CloseCode.POLICY
AGENT_REFUSED: Final = CloseCode.POLICY
AGENT_TIMEOUT: Final = CloseCode.TRY_LATER
PEER_LOST: Final = CloseCode.TRY_LATER


class Pipe(Protocol):
    """The part of a carrier that a splice uses."""

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes; a view is used up before this returns."""

    def pause_reading(self) -> None:
        """Deliver no more data for now."""

    def resume_reading(self) -> None:
        """Deliver data again."""

    def close(self, code: int = ..., reason: str = ...) -> None:
        """Flush what was written, then close."""


class Side(StrEnum):
    """Who is at an end of a splice."""

    WEBPROXY = "webproxy"
    AGENT = "agent"


class Half:
    """One end of a splice: the handler of one carrier's callbacks."""

    __slots__ = ("_early", "_early_bytes", "_splice", "blocked", "bytes_in", "other", "pipe", "side")

    def __init__(self, splice: "Splice", side: Side, pipe: Pipe) -> None:
        self._splice = splice
        self.side = side
        self.pipe = pipe
        self.other: Half | None = None
        self.bytes_in = 0
        self.blocked = False
        self._early: list[bytes] = []
        self._early_bytes = 0

    def carrier_data(self, data: bytes | memoryview) -> None:
        """Bytes came from this side's peer."""
        self.bytes_in += len(data)
        if self.other is not None:
            self.other.pipe.write(data)
            return
        self._early.append(bytes(data))
        self._early_bytes += len(data)
        budget = self._splice.budget
        budget.early_bytes += len(data)
        if not budget.may_buffer(self._early_bytes):
            self.pipe.pause_reading()

    def carrier_pause(self) -> None:
        """This side takes no more: stop reading the other."""
        self.blocked = True
        if self.other is not None:
            self.other.pipe.pause_reading()

    def carrier_resume(self) -> None:
        """This side takes more again."""
        self.blocked = False
        if self.other is not None:
            self.other.pipe.resume_reading()

    def carrier_message(self, text: str) -> None:
        """Circuits carry bytes only: a text message is a mistake of the peer."""
        self._splice.end("text_message", CUT)

    def carrier_closed(self, exc: Exception | None) -> None:
        """This side's connection is gone."""
        self._splice.lost(self, exc)

    def release_early(self) -> list[bytes]:
        """Give up the early bytes (to write them, or to forget them)."""
        early, self._early = self._early, []
        self._splice.budget.early_bytes -= self._early_bytes
        self._early_bytes = 0
        return early


class Splice:
    """A circuit from the web proxy's arrival to its end. `on_end(splice, reason)` is called exactly once."""

    def __init__(
        self, circuit_id: str, device_id: str, budget: Budget, on_end: Callable[["Splice", str], None]
    ) -> None:
        self.circuit_id = circuit_id
        self.device_id = device_id
        self.budget = budget
        self._on_end = on_end
        self.webproxy: Half | None = None
        self.agent: Half | None = None
        self.ended: str | None = None

    @property
    def joined(self) -> bool:
        """Whether both sides are there."""
        return self.agent is not None

    @property
    def bytes(self) -> int:
        """Bytes carried, both directions together."""
        return sum(half.bytes_in for half in (self.webproxy, self.agent) if half is not None)

    def first(self, pipe: Pipe) -> Half:
        """The web proxy has arrived; its early bytes are kept."""
        assert self.webproxy is None
        self.webproxy = Half(self, Side.WEBPROXY, pipe)
        return self.webproxy

    def second(self, pipe: Pipe) -> Half:
        """The agent has arrived: from now on both sides talk to each other."""
        assert self.webproxy is not None
        assert self.agent is None
        self.agent = Half(self, Side.AGENT, pipe)
        return self.agent

    def start(self) -> None:
        """Both upgrades are answered: pass the early bytes on and let data flow."""
        webproxy, agent = self.webproxy, self.agent
        assert webproxy is not None
        assert agent is not None
        webproxy.other, agent.other = agent, webproxy
        for half, other in ((webproxy, agent), (agent, webproxy)):
            for data in half.release_early():
                other.pipe.write(data)
        # It may have been paused while its early bytes were held; the writes above may have filled the agent's line.
        if not agent.blocked:
            webproxy.pipe.resume_reading()

    def lost(self, half: Half, exc: Exception | None) -> None:
        """One side's connection is gone: so is the circuit."""
        reason = f"{half.side}_{'left' if exc is None else 'lost'}"
        self.end(reason, ENDED if exc is None else PEER_LOST)

    def end(self, reason: str, code: CloseCode) -> None:
        """Close whatever is open, once. `reason` is a word that both sides see."""
        if self.ended is not None:
            return
        self.ended = reason
        for half in (self.webproxy, self.agent):
            if half is not None:
                half.release_early()
                half.pipe.close(code, reason)
        self._on_end(self, reason)
