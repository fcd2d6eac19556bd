"""Which Host names what: the portal, a service's origin, or nothing here."""

from __future__ import annotations

from dataclasses import dataclass

from panelgate.names import Sites

CACHE_LIMIT = 4096  # hosts remembered; anybody can send names that don't exist


@dataclass(frozen=True, slots=True)
class Place:
    """One host of ours; `origin` as browsers write it, `label` empty for the portal."""

    label: str
    origin: bytes
    is_portal: bool


class Places:
    """Finds the place a Host header names."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._known: dict[bytes, Place | None] = {}

    def of(self, host: bytes) -> Place | None:
        """The place, or None: unknown domain, other port, trailing dot, odd characters."""
        try:
            return self._known[host]
        except KeyError:
            pass
        place = self._find(host)
        if len(self._known) >= CACHE_LIMIT:
            self._known.clear()
        self._known[host] = place
        return place

    def _find(self, host: bytes) -> Place | None:
        try:
            text = host.decode("ascii")
        except UnicodeDecodeError:
            return None
        if self._sites.is_portal(text):
            return Place("", self._sites.portal_origin.encode(), is_portal=True)
        label = self._sites.label_of(text)
        return Place(label, self._sites.service_origin(label).encode(), is_portal=False) if label else None
