"""The viewer page: what a browser gets at the address of a VNC service.

The page holds no secret and no state of the panel; words for every way a connection can end come along as data, so that
they are written once (`webproxy.forward.vncend`).
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from webproxy.forward.vncend import ENDS
from webproxy.pages.assets import find
from webproxy.pages.templates import SERVICE_BASE, render

if TYPE_CHECKING:
    from webproxy.sessions import ServiceSession

SOCKET = "/.pg/vnc"
STATUS = "/.pg/status"

_IMPORT = re.compile(r"""^(?:import|export)\b[^"';]*?["']([^"']+\.js)["']""", re.MULTILINE)

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""noVNC draws cursors as data: images; it needs no inline style or script, no worker, and makes no HTML from text."""

HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"x-robots-tag", b"noindex"),
)


def ends(target: str) -> dict[str, dict[str, str]]:
    """Return the words of every end by close code, for a panel at `target` (host and port)."""
    return {
        str(int(end)): {
            "key": end.name.lower(),
            "title": words.title,
            "happened": words.happened.replace("{target}", target),
            "todo": words.todo,
            "after": words.after,
            "quote": words.quote,
        }
        for end, words in ENDS.items()
    }


def page(session: ServiceSession, portal: str = "", root: str = "") -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and HTML of the viewer for `session`.

    `portal` is the portal's origin; with it the page offers the way back to the machine. `root` is the path that the
    service stands below, where services share one host.
    """
    service, device, account = session.service, session.device, session.account
    host, port = str(service["host"]), service["port"]
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    data: dict[str, Any] = {
        "machine": device["name"],
        "service": service["name"],
        "watch": session.permission != "operate",
        "socket": root + SOCKET,
        "status": root + STATUS,
        "portal": portal,
        "ends": ends(target),
    }
    html = render(
        "viewer.html",
        SERVICE_BASE,
        machine=device["name"],
        service=service["name"],
        target=target,
        watch=data["watch"],
        machine_page=f"{portal}/{account['slug']}/{device['slug']}" if portal else "",
        data=data,
        modules=modules(),
    )
    return list(HEADERS), html.encode()


@lru_cache(maxsize=1)
def modules() -> tuple[str, ...]:
    """Return the addresses of all modules the page will import, so that the browser asks for them at once.

    Without the list each level of imports costs a round trip. Modules that are not installed are left out.
    """
    found: dict[str, None] = {}
    todo = ["js/viewer/main.js"]
    while todo:
        path = todo.pop()
        asset = None if path in found else find(path)
        if asset is None:
            continue
        found[path] = None
        todo += [_resolve(path, imported) for imported in _IMPORT.findall(asset.body.decode())]
    return tuple(SERVICE_BASE + path for path in sorted(found))


def _resolve(path: str, imported: str) -> str:
    if imported.startswith(SERVICE_BASE):
        return imported.removeprefix(SERVICE_BASE)
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), imported))
