"""Ports as origins: without a wildcard name each service has a port of its own on the portal's host. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from panelgate.errors import BadInput

LOWEST = 1024  # below, a listener needs rights of its own
WIDEST = 4096  # ports of one installation: each is a listening socket of every web proxy; 45 ms and 3 MB for all


@dataclass(frozen=True, slots=True)
class PortRange:
    """The ports that services may have, both ends included."""

    first: int
    last: int

    @classmethod
    def of(cls, text: str) -> PortRange:
        """From "20000-20999"; BadInput("bad_origin_ports") says what is wrong with it."""
        first, dash, last = (part.strip() for part in text.partition("-"))
        if not dash or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in (first, last)):
            raise _bad(text, "write the first and the last port, like 20000-20999")
        found = cls(int(first), int(last))
        if not LOWEST <= found.first <= found.last <= 65535:
            raise _bad(text, f"the first must not be above the last, and both lie between {LOWEST} and 65535")
        if len(found) > WIDEST:
            raise _bad(text, f"at most {WIDEST} ports")
        return found

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def _bad(text: str, why: str) -> BadInput:
    return BadInput("bad_origin_ports", f"PANELGATE_ORIGIN_PORTS={text[:40]!r}: {why}.", {"given": text[:40]})


class KnownPorts:
    """Which service has which port, as far as the access server's answers said it. Bounded by the range."""

    __slots__ = ("_labels", "_ports", "range")

    def __init__(self, ports: PortRange) -> None:
        self.range = ports
        self._labels: dict[int, str] = {}
        self._ports: dict[str, int] = {}

    def learn(self, label: str, port: object) -> None:
        """Note that the service of host label `label` has `port`; what is no port of the range is ignored."""
        if not label or not isinstance(port, int) or port not in self.range:
            return
        self.forget(port)
        before = self._ports.get(label)
        if before is not None:
            self.forget(before)
        self._labels[port], self._ports[label] = label, port

    def hear(self, label: str, port: object) -> None:
        """Note what an older answer said, unless something else is known by now."""
        if label not in self._ports and port not in self._labels:
            self.learn(label, port)

    def forget(self, port: int) -> None:
        """No service has this port any more."""
        label = self._labels.pop(port, None)
        if label is not None:
            self._ports.pop(label, None)

    def label_at(self, port: int) -> str | None:
        """The host label of the service at a port, None when it is not known."""
        return self._labels.get(port)

    def port_of(self, label: str) -> int | None:
        """The port of a service, None when it is not known."""
        return self._ports.get(label)
