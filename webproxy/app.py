"""The portal's application: pages, static files, and the life of the parts that all requests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from panelgate.names import Sites
from webproxy.pages import assets
from webproxy.pages.routes import routes
from webproxy.web import Web

SERVICE_STATIC = "/.pg/static/"


class HostCheck:
    """Only the portal's own Host reaches the pages (DNS rebinding); service origins get their static files here."""

    def __init__(self, app: ASGIApp, sites: Sites) -> None:
        self._app = app
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421."""
        if scope["type"] == "http" and not self._known(scope):
            response = PlainTextResponse("This server does not serve that name.\n", 421)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1:
            return False
        static = scope["path"].startswith(SERVICE_STATIC)
        return self._sites.is_service(hosts[0]) if static else self._sites.is_portal(hosts[0])


def create_app(make_web: Callable[[], Web], sites: Sites) -> Starlette:
    """The application; `make_web` is called when the listener starts, inside its event loop."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        web = make_web()
        app.state.web = web
        await web.start()
        try:
            yield {"web": web}
        finally:
            await web.stop()

    return Starlette(
        routes=[Route(SERVICE_STATIC + "{path:path}", assets.static, methods=["GET"]), *routes],
        middleware=[Middleware(HostCheck, sites=sites)],
        lifespan=lifespan,
    )
