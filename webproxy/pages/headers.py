"""The headers of every portal page: one content policy, nothing cached, nothing framed, nothing leaked to others."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from panelgate.names import Sites


def content_policy(sites: Sites | None) -> str:
    """Return the Content-Security-Policy; with `sites`, a form may end at a service origin."""
    services = f" {sites.apps_wildcard}" if sites else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; "
        f"form-action 'self'{services}; frame-ancestors 'none'; base-uri 'none'"
    )


def page_headers(sites: Sites | None) -> dict[str, str]:
    """Return the headers of a page of ours, for the portal and for error pages on service origins."""
    secure = {"strict-transport-security": "max-age=31536000"} if sites and sites.scheme == "https" else {}
    return secure | {
        "content-security-policy": content_policy(sites),
        "cache-control": "no-store",
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "x-robots-tag": "noindex",
    }


class PageHeaders:
    """ASGI middleware that puts the page headers on every response that has not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the head of its response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = page_headers(scope["app"].state.web.sites)

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, complete)
