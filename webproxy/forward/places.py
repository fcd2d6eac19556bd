"""Which Host names what: the portal, a service's origin, or nothing here.

Where services have ports, the access server says whose a port is. Every port of the range is a place, so that nobody
learns by trying which of them is a machine's: a stranger is sent to sign in at each alike.

Where all services share one host, `webproxy.forward.paths` puts the label that it took off a request's target behind
the Host, with a slash; the host alone is no place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from panelgate.clock import Clock
from panelgate.errors import PanelgateError
from panelgate.log import get_logger
from panelgate.names import Sites, label_ok
from panelgate.tasks import spawn
from webproxy.forward.jar import NAMES, Jar

CACHE_LIMIT = 4096  # hosts remembered; anybody can send names that don't exist
FRESH_SECONDS = 60.0  # after that it is asked in the background whether a port is still the same service's
NOBODY_SECONDS = 2.0  # a port that was nobody's: a new service may have got it meanwhile

log = get_logger(__name__)


class Access(Protocol):
    """The part of panelgate.access_client.AccessClient that this needs."""

    async def call(self, method: str, path: str, *, json: object = None) -> dict[str, Any]:
        """One call to the access server."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """One host of ours; `origin` as browsers write it. `label` is empty for the portal, and at a port nobody has.

    `word` names the origin at the portal. `port` is 0 where services have names, and for the portal.
    """

    label: str
    origin: bytes
    is_portal: bool
    word: str = ""
    port: int = 0
    jar: Jar = NAMES


def jar_of(sites: Sites, label: str) -> Jar:
    """The names of the cookies at a service's origin."""
    if sites.apps:
        return Jar.below(label)
    port = sites.ports.port_of(label) if sites.ports is not None else None
    return NAMES if port is None else Jar.at(port, label)


class Places:
    """Finds the place a Host header names. `any_host`: a load balancer brings every port's requests to one listener."""

    def __init__(
        self, sites: Sites, access: Access | None = None, clock: Clock | None = None, *, any_host: bool = False
    ) -> None:
        self._sites = sites
        self._access = access
        self._clock = clock or Clock()
        self._any_host = any_host
        self._known: dict[bytes, Place | None] = {}
        self._asked: dict[int, float] = {}  # when the access server last said whose a port is
        self._asking: set[int] = set()

    def of(self, host: bytes) -> Place | None:
        """The place, or None: unknown domain, other port, trailing dot, odd characters."""
        try:
            place = self._known[host]
        except KeyError:
            pass
        else:
            # A port's owner may have been learned since.
            if place is None or not place.port or place.label == self._label_at(place.port):
                return place
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
        sites = self._sites
        if sites.is_portal(text):
            return Place("", sites.portal_origin.encode(), is_portal=True)
        if sites.apps:
            name, _, label = text.partition("/")
            if not sites.is_service(name) or not label_ok(label):
                return None
            origin = sites.service_origin(label).encode()
            return Place(label, origin, is_portal=False, word=label, jar=Jar.below(label))
        port = sites.port_named(text)
        if port is not None:
            label = self._label_at(port)
            origin = f"{sites.scheme}://{sites.portal_name}:{port}".encode()
            return Place(label, origin, is_portal=False, word=str(port), port=port, jar=Jar.at(port, label))
        label = sites.label_of(text) or ""
        origin = sites.service_origin(label).encode() if label else b""
        return Place(label, origin, is_portal=False, word=label) if label else None

    def _label_at(self, port: int) -> str:
        known = self._sites.ports
        return (known.label_at(port) if known is not None else None) or ""

    # ---- ports

    def heard_at(self, port: int) -> int | None:
        """Which `Place.port` may be asked for on a connection that came to our `port`; None for every one.

        So a Host that names another port than the one that was dialled reaches nothing. Behind a load balancer all
        come to one listener, and the Host that it passes on decides.
        """
        known = self._sites.ports
        if known is None:
            return None
        if port in known.range:
            return port
        return None if self._any_host else 0

    def unsure(self, host: bytes) -> bool:
        """Whether the access server must be asked whose port this is before anything is answered."""
        place = self.of(host) if self._sites.ports is not None else None
        if place is None or not place.port or self._access is None:
            return False
        age = self._clock.monotonic() - self._asked.get(place.port, float("-inf"))
        if not place.label:
            return age > NOBODY_SECONDS
        if age > FRESH_SECONDS and place.port not in self._asking:
            self._asking.add(place.port)
            spawn("port renewal", self.ask(host))
        return False

    async def ask(self, host: bytes) -> PanelgateError | None:
        """Ask the access server whose port this is; why it could not answer. What was known stays then."""
        place = self.of(host)
        known = self._sites.ports
        if place is None or not place.port or self._access is None or known is None:
            return None
        port = place.port
        self._asking.add(port)
        try:
            answer = await self._access.call("GET", f"/webproxy/v1/ports/{port}")
        except PanelgateError as error:
            log.info("port not asked", port=port, reason=error.code)
            return error
        else:
            self._asked[port] = self._clock.monotonic()
            label = answer.get("host_label")
            if isinstance(label, str) and label:
                known.learn(label, port)
            else:
                known.forget(port)
            return None
        finally:
            self._asking.discard(port)
