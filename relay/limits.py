"""How much of the relay anybody may take. One table of numbers, and the counters that hold them."""

from collections import OrderedDict
from dataclasses import dataclass

from panelgate.clock import Clock
from panelgate.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True)
class LimitValues:
    """The numbers, each with its reason."""

    handshakes: int = 256  # TLS handshakes at once: each costs about a millisecond of CPU and 50 kB
    handshakes_per_address: int = 64  # one address must not fill the table above
    handshake_seconds: float = 10.0  # TLS and upgrade request together; a satellite line needs three
    per_address_rate: float = 50.0  # new connections a second from one address, lasting
    per_address_burst: int = 500  # a web proxy that opens the circuits of a whole shift at once
    addresses: int = 20_000  # addresses remembered at once: about 4 MB
    circuits_per_device: int = 64  # one per user and device for HTTP, one per viewer
    circuits: int = 10_000  # 70 kB each when idle
    controls: int = 5_000  # what one report to the access server may list
    early_bytes: int = 64 * 1024  # of one web proxy, until its agent has arrived
    early_bytes_total: int = 64 * 1024 * 1024  # of all of them
    rendezvous_seconds: float = 10.0  # for the agent to dial back: the person is looking at a page meanwhile


class Admission:
    """Who may begin a TLS handshake: a token bucket for each address, and a count of those in progress."""

    def __init__(self, values: LimitValues, clock: Clock) -> None:
        self._values = values
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._in_progress: dict[str, int] = {}
        self.in_progress = 0
        self.refused = 0

    def begin(self, address: str) -> bool:
        """May a connection from `address` start its handshake? If True, `finish` must follow."""
        values = self._values
        busy = self._in_progress.get(address, 0)
        if self.in_progress >= values.handshakes or busy >= values.handshakes_per_address or not self._take(address):
            self.refused += 1
            return False
        self.in_progress += 1
        self._in_progress[address] = busy + 1
        return True

    def finish(self, address: str) -> None:
        """A handshake that `begin` let in has ended, well or not."""
        self.in_progress -= 1
        left = self._in_progress[address] - 1
        if left:
            self._in_progress[address] = left
        else:
            del self._in_progress[address]

    def _take(self, address: str) -> bool:
        now = self._clock.monotonic()
        values = self._values
        tokens, since = self._buckets.pop(address, (float(values.per_address_burst), now))
        tokens = min(float(values.per_address_burst), tokens + (now - since) * values.per_address_rate)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if allowed else tokens, now)
        while len(self._buckets) > values.addresses:
            self._buckets.popitem(last=False)
        return allowed


class Budget:
    """Counts of what is open. INVARIANT: every `take_*` that did not raise has exactly one `give_*`."""

    def __init__(self, values: LimitValues) -> None:
        self.values = values
        self.circuits = 0
        self.early_bytes = 0
        self._per_device: dict[str, int] = {}

    def take_circuit(self, device_id: str) -> None:
        """Count one more circuit. Refused("too_many_circuits") for this device, Unavailable("relay_full") in all."""
        if self.circuits >= self.values.circuits:
            raise Unavailable("relay_full", "this relay carries as many circuits as it may")
        count = self._per_device.get(device_id, 0)
        if count >= self.values.circuits_per_device:
            raise Refused(
                "too_many_circuits",
                "too many people are connected to this device at once",
                {"limit": count},
                status=429,
            )
        self.circuits += 1
        self._per_device[device_id] = count + 1

    def give_circuit(self, device_id: str) -> None:
        """A circuit of this device is gone."""
        self.circuits -= 1
        left = self._per_device[device_id] - 1
        if left:
            self._per_device[device_id] = left
        else:
            del self._per_device[device_id]

    def circuits_of(self, device_id: str) -> int:
        """Open circuits of one device."""
        return self._per_device.get(device_id, 0)

    def may_buffer(self, held: int) -> bool:
        """May a half that holds `held` early bytes read on?"""
        return held < self.values.early_bytes and self.early_bytes < self.values.early_bytes_total
