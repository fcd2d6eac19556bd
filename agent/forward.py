"""What happens to a stream that a web proxy opened: policy, limits, dial, join. It is decided anew each time.

And again for all that are open whenever the configuration changes: what it no longer allows ends at once, so that a
firewall level, a removed service or a withdrawn certificate counts for the page that is being looked at, too.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from agent import policy
from agent.dial import Advice, DialFailed
from agent.dial import dial as dial_target
from agent.exchange import Exchanges, Shared
from agent.targets import Service, Targets
from panelgate.frames import StreamError
from panelgate.joining import Joined, join
from panelgate.log import get_logger
from panelgate.stream import Stream, StreamReset
from panelgate.tasks import spawn

log = get_logger(__name__)

PER_SERVICE: Final = 16  # connections at once: the web servers of PLCs have few sockets, some only eight
# For a place at a full service. A person who turns a page closes many connections and opens as many at once: the news
# of the old ones' end is then still on its way between us and the panel. A web proxy closes what another user's page
# left idle within eight seconds.
PLACE_SECONDS: Final = 10.0
# For a service that is not in our list: an answer that was under way when the service was made doesn't have it yet.
LOOKS: Final = 2
PER_DEVICE: Final = 256  # connections at once through this agent: 1 MiB of windows each at the very worst
# Two hours: a VNC screen on which nothing moves says nothing; who left is found by the session's own limit.
IDLE_SECONDS: Final = 2 * 3600.0

Dial = Callable[[Service], Awaitable[asyncio.Transport]]
Place = asyncio.Future[bool]  # False when the stream is gone before it has one


@dataclass(eq=False, slots=True)
class _Open:
    """A stream on its way to its target, or joined to it: the service as it was when that was decided."""

    stream: Stream
    service: Service
    circuit_id: str
    joined: Joined | None = None


class Forwarder:
    """Opens targets for streams. `own` gives this machine's addresses at the time of asking."""

    def __init__(
        self,
        targets: Targets,
        owner: policy.OwnerPolicy,
        own: Callable[[], frozenset[policy.Address]],
        *,
        refresh: Callable[[], Awaitable[None]] | None = None,
        dial: Dial | None = None,
        per_service: int = PER_SERVICE,
        per_device: int = PER_DEVICE,
        idle: float = IDLE_SECONDS,
        patience: float = PLACE_SECONDS,
    ) -> None:
        self._targets = targets
        self._owner = owner
        self._own = own
        self._refresh = refresh
        self._dial = dial or partial(dial_target, advice=Advice())
        self._per_service = per_service
        self._per_device = per_device
        self._idle = idle
        self._patience = patience
        self._waiting: dict[str, deque[tuple[Stream, Place]]] = {}  # for a place, by service
        self._open: Counter[str] = Counter()
        self._going: set[_Open] = set()
        self._shared = Shared()
        self.bytes = 0
        self.refused = 0

    @property
    def connections(self) -> int:
        """Connections to targets, open or being opened."""
        return self._open.total()

    def on_stream(self, stream: Stream, service_id: str, granted: Collection[str], circuit_id: str) -> None:
        """A stream was opened by a peer whose ticket grants the services `granted`."""
        if not policy.in_ticket(service_id, granted):
            self._refuse(stream, service_id, circuit_id, StreamError.REFUSED, "not_in_ticket")
        elif (service := self._targets.service(service_id)) is not None:
            self._open_target(stream, service, circuit_id)
        elif self._refresh is not None:
            # The ticket is newer than our list: the service was made a moment ago, and its news is on its way.
            spawn("late service", self._look_again(stream, service_id, circuit_id, self._refresh))
        else:
            self._refuse(stream, service_id, circuit_id, StreamError.UNKNOWN_SERVICE, "unknown_service")

    async def _look_again(
        self, stream: Stream, service_id: str, circuit_id: str, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            for _ in range(LOOKS):
                await refresh()
                if self._targets.service(service_id) is not None:
                    break
        finally:
            service = self._targets.service(service_id)
            if service is None:
                self._refuse(stream, service_id, circuit_id, StreamError.UNKNOWN_SERVICE, "unknown_service")
            elif not stream.is_closing():
                self._open_target(stream, service, circuit_id)

    def _open_target(self, stream: Stream, service: Service, circuit_id: str) -> None:
        code, reason = self._decide(service)
        if code is not None:
            self._refuse(stream, service.id, circuit_id, code, reason)
            return
        going = _Open(stream, service, circuit_id)
        self._going.add(going)
        spawn("forward", self._forward(going, self._place(stream, service.id)))

    def reconsider(self) -> None:
        """The configuration changed: end what it no longer allows, open or on its way."""
        for going in list(self._going):
            reason = self._outdated(going.service)
            if reason:
                self.refused += 1
                log.warning("stream ended", circuit=going.circuit_id, service=going.service.id, reason=reason)
                if going.joined is not None:
                    going.joined.abort(StreamReset(StreamError.REFUSED, reason))
                else:
                    going.stream.reset(StreamError.REFUSED, reason)

    def _outdated(self, service: Service) -> str:
        """Why a connection that was opened to `service` may not go on; empty when it may."""
        now = self._targets.service(service.id)
        if now is None:
            return "unknown_service"
        if now.dialled != service.dialled:
            return "service_changed"
        decision = self._allowed(now)
        return "" if decision else decision.reason

    def _place(self, stream: Stream, service_id: str) -> Place:
        """A place among a service's connections: there at once, or when one ends."""
        place: Place = asyncio.get_running_loop().create_future()
        if self._open[service_id] < self._per_service:
            self._open[service_id] += 1
            place.set_result(True)
        else:
            self._waiting.setdefault(service_id, deque()).append((stream, place))
        return place

    def _still_waiting(self, service_id: str) -> int:
        """How many streams wait for a place; those that were closed meanwhile are let go."""
        waiting = self._waiting.get(service_id)
        if not waiting:
            return 0
        for stream, place in waiting:
            if stream.is_closing() and not place.done():
                place.set_result(False)
        left = self._waiting[service_id] = deque(pair for pair in waiting if not pair[1].done())
        return len(left)

    def _give_back(self, service_id: str) -> None:
        """The place goes to who has waited longest, if anybody still does."""
        waiting = self._waiting.get(service_id)
        while waiting:
            _, place = waiting.popleft()
            if not place.done():
                place.set_result(True)
                return
        self._waiting.pop(service_id, None)
        self._open[service_id] -= 1
        if not self._open[service_id]:
            del self._open[service_id]

    def _refuse(self, stream: Stream, service_id: str, circuit_id: str, code: StreamError, reason: str) -> None:
        self.refused += 1
        log.warning("stream refused", circuit=circuit_id, service=service_id, code=code.name, reason=reason)
        stream.reset(code, reason)

    def _allowed(self, service: Service) -> policy.Decision:
        configuration = self._targets.configuration
        rules = policy.Rules(configuration.lan, self._owner, self._own(), configuration.level)
        decision = policy.decide(service.host, service.port, rules)
        if decision and not service.listed:
            decision = policy.decide_unlisted(service.host, configuration.listed_hosts, rules)
        return decision

    def _decide(self, service: Service) -> tuple[StreamError | None, str]:
        """Why this service may not be dialled now; (None, ...) when it may."""
        decision = self._allowed(service)
        if not decision:
            return StreamError.REFUSED, decision.reason
        waiting = self._still_waiting(service.id)
        if waiting >= self._per_service:
            return StreamError.LIMIT, _full(self._per_service)
        if self.connections + waiting >= self._per_device:
            return StreamError.LIMIT, f"{self._per_device} connections through this agent are open"
        return None, decision.reason

    async def _forward(self, going: _Open, place: Place) -> None:
        try:
            await self._serve(going, place)
        finally:
            self._going.discard(going)

    async def _serve(self, going: _Open, place: Place) -> None:
        stream, service, circuit_id = going.stream, going.service, going.circuit_id
        try:
            async with asyncio.timeout(self._patience):
                if not await place:
                    return
        except TimeoutError:
            if not place.cancelled() and place.result():
                self._give_back(service.id)  # it came in the same moment
            self._refuse(stream, service.id, circuit_id, StreamError.LIMIT, _full(self._per_service))
            return
        event = log.bind(circuit=circuit_id, service=service.id, host=service.host, port=service.port)
        joined = None
        try:
            if stream.is_closing():
                return
            transport = await self._dial(service)
            if stream.is_closing():
                transport.abort()
                return
            through = None
            if service.compress != "off":
                through = Exchanges(service.id, service.compress, self._shared)
            joined = going.joined = join(stream, transport, idle=self._idle, through=through)
            await asyncio.wait([joined.done])
        except DialFailed as error:
            event.info("dial failed", code=error.code.name, detail=error.text)
            stream.reset(error.code, error.text)
        except BaseException:
            stream.reset(StreamError.INTERNAL)
            raise
        finally:
            self._give_back(service.id)
            if joined is not None:
                self.bytes += joined.a_to_b + joined.b_to_a


def _full(limit: int) -> str:
    return f"{limit} connections to this service are open"
