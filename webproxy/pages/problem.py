"""Pages that say what went wrong: what happened, what to do, a reference for support.

`render_problem` serves the error pages of service origins, `portal_problem` those of the portal: one template.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse

from webproxy.pages.templates import PORTAL_BASE, SERVICE_BASE, render

# Facts that a page lists, in this order, when they are there.
LISTED = (
    ("device", "Machine"), ("service", "Panel"), ("target", "Address at the machine"), ("since", "Offline since"),
    ("last_address", "Last seen from"), ("certificate", "Fingerprint shown now (SHA-256)"),
    ("pinned", "Fingerprint that is trusted"),
    ("certificate_trouble", "What is wrong with it"), ("until", "Possible again"),
)  # fmt: skip
TIMES = frozenset({"since", "until"})
PRINTS = frozenset({"certificate", "pinned"})
# The picture of each kind; others get the triangle.
ICONS = {
    "device_offline": "plug-connected-x", "not_found": "map-search", "not_allowed": "lock", "locked": "lock",
    "access_down": "cloud-off", "signed_out": "logout", "connection_refused": "plug-connected-x",
    "unreachable": "plug-connected-x",
    "timeout": "clock-x", "tls": "shield-x", "certificate_changed": "shield-x", "certificate_new": "shield-lock",
    "certificate_none": "shield-x",
}  # fmt: skip
# Kinds that may pass by themselves: the page asks /.pg/status and reloads when the machine is back.
POLLED = frozenset({"device_offline"})


def new_reference() -> str:
    """Return a short random word that a person can read out and a log line carries."""
    return secrets.token_hex(4)


def _context(kind: str, facts: Mapping[str, Any] | None) -> dict[str, Any]:
    known = dict(facts or {})
    listed = [
        (word, known[key], "time" if key in TIMES else "print" if key in PRINTS else "")
        for key, word in LISTED
        if known.get(key)
    ]
    return {
        "kind": kind, "picture": ICONS.get(kind, "alert-triangle"), "listed": listed, "polled": kind in POLLED,
        "portal": str(known.get("portal") or ""), "account": str(known.get("account") or ""),
        "manage": str(known.get("manage") or ""),
    }  # fmt: skip


def render_problem(
    kind: str, *, title: str, happened: str, todo: str, reference: str, retry_seconds: float | None = None,
    facts: Mapping[str, Any] | None = None, root: str = "",
) -> bytes:  # fmt: skip
    """Return the HTML of an error page on a service origin (its files come from /.pg/static/).

    `kind` is the stable code (device_offline, connection_refused, ...); `retry_seconds` makes the page try again by
    itself after so long, showing the seconds; `facts` may hold device, service, target, since, last_address,
    certificate, pinned, until, portal (the address that "All machines" leads to) and manage (where who manages the
    machine mends it). `root` is the path that the service stands below, where services share one host.
    """
    context = _context(kind, facts) | {
        "title": title, "happened": happened, "todo": todo.replace("/.pg/", f"{root}/.pg/"), "reference": reference,
        "on_portal": False, "root": root,
        "retry_seconds": None if retry_seconds is None else max(1, round(retry_seconds)),
    }  # fmt: skip
    return render("problem.html", SERVICE_BASE, **context).encode()


def portal_problem(
    kind: str, status: int, *, title: str, happened: str, todo: str, reference: str | None = None,
    retry_seconds: float | None = None, facts: Mapping[str, Any] | None = None,
) -> HTMLResponse:  # fmt: skip
    """Return an error page of the portal."""
    context = _context(kind, facts) | {
        "title": title, "happened": happened, "todo": todo, "reference": reference or new_reference(),
        "on_portal": True, "root": "",
        "retry_seconds": None if retry_seconds is None else max(1, round(retry_seconds)), "portal": "/",
        "polled": False,
    }  # fmt: skip
    return HTMLResponse(render("problem.html", PORTAL_BASE, **context), status)


def not_found() -> HTMLResponse:
    """Return the one page for everything unknown and everything of others: byte for byte the same."""
    return portal_problem(
        "not_found", 404,
        title="Nothing here for you",
        happened="There is no such machine or page, or your account may not see it.",
        todo="Check the link for a typing error. If someone gave it to you, ask whether it is for this account.",
        reference="not-found",
    )  # fmt: skip
