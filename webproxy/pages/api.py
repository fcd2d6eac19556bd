"""What the pages need of the web proxy, and the calls they make to access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from panelgate.names import Sites
from webproxy.look import Seen

JSON = dict[str, Any]
PORTAL = "/webproxy/v1"
ADMIN = "/admin/v1"


class Calls(Protocol):
    """The part of panelgate.access_client.AccessClient that pages use."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: dict[str, str] | None = None,
        session: str | None = None,
        background: bool = False,
    ) -> JSON:
        """Call access; raises PanelgateError."""
        ...


class EventsLike(Protocol):
    """The part of the event hub that pages use."""

    def subscribe(self, callback: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        """Call `callback` with each event of access; returns what ends it."""
        ...


class ClientsLike(Protocol):
    """The part of webproxy.forward.clients.Clients that pages use."""

    def address(self, peer: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]) -> str:
        """Address of the browser, behind load balancers that are trusted."""
        ...


class CircuitsLike(Protocol):
    """The part of webproxy.circuits.Circuits that pages use."""

    async def look(self, answer: Mapping[str, Any], service_id: str) -> Seen:
        """What the agent says of a service's certificate, with the answer of /services/{id}/look."""
        ...


class PortalWeb(Protocol):
    """The part of webproxy.web.Web that pages use."""

    @property
    def access(self) -> Calls:
        """Calls to access."""
        ...

    @property
    def sites(self) -> Sites:
        """Names of this installation."""
        ...

    @property
    def clients(self) -> ClientsLike:
        """Who the browser is, behind load balancers."""
        ...

    @property
    def circuits(self) -> CircuitsLike:
        """Circuits to devices."""
        ...

    @property
    def events(self) -> EventsLike:
        """Events of access."""
        ...


def web_of(request: Request) -> PortalWeb:
    """Return the web proxy's shared parts."""
    web: PortalWeb = request.app.state.web
    return web


@dataclass(frozen=True)
class Api:
    """Calls to access in the name of one session (or of nobody, before sign-in)."""

    access: Calls
    token: str | None
    background: bool = False  # the page refreshed itself: the session's idle time goes on

    async def portal(
        self, method: str, path: str, json: JSON | None = None, params: dict[str, str] | None = None
    ) -> JSON:
        """Call the web proxy's own interface; raises PanelgateError."""
        return await self.access.call(
            method, PORTAL + path, json=json, params=params, session=self.token, background=self.background
        )

    async def admin(
        self, method: str, path: str, json: JSON | None = None, params: dict[str, str] | None = None
    ) -> JSON:
        """Call the administration interface; access checks that the user may. Raises PanelgateError."""
        return await self.access.call(
            method, ADMIN + path, json=json, params=params, session=self.token, background=self.background
        )
