"""Connecting a machine: its activation key, shown once, with the exact command to paste where the agent runs."""

from __future__ import annotations

import re

from starlette.responses import Response

from panelgate.errors import Refused
from webproxy.pages.api import JSON
from webproxy.pages.machine import load
from webproxy.pages.session import Visit, page


async def show_key(visit: Visit, device: JSON) -> Response:
    """Make an activation key for `device` and show it; the page waits for the agent and changes by itself."""
    made = await visit.api.admin("POST", f"/devices/{device['id']}/activation-key")
    return visit.page(
        "connect.html",
        place="machines",
        device=device,
        made=made,
        address=f"/machines/{device['slug']}/connect",
        commands=commands(made),
        here_only=here_only(made),
    )


def here_only(made: JSON) -> bool:
    """Whether the command's address is loopback: it works on this very computer only."""
    return re.search(r"https://(127\.|localhost[:/\s]|\[::1\])", str(made.get("command")) + " ") is not None


def commands(made: JSON) -> list[str]:
    """Return the commands to paste, one a line."""
    text = made.get("command") or f"panelgate agent enrol --key {made['key']}"
    lines = text if isinstance(text, list) else str(text).splitlines()
    lines = [line for line in lines if line.strip()]
    return lines if any("agent run" in line for line in lines) else [*lines, "panelgate agent run"]


@page()
async def connect(visit: Visit) -> Response:
    """GET /machines/{slug}/connect: how a machine is connected, and whether it is. POST: make a key and show it."""
    device = await load(visit)
    if "manage" not in device.get("may", ()):
        raise Refused("not_allowed", "You do not manage this machine.")
    if visit.request.method == "POST":
        return await show_key(visit, device)
    return visit.page("connect.html", place="machines", device=device, made=None, address="", commands=[])
