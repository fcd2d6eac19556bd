"""The home page: the machines of the account, searched and filtered by access, a page at a time."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from webproxy.pages.api import JSON
from webproxy.pages.machine import names
from webproxy.pages.session import Visit, page
from webproxy.pages.words import person

# Rows on one page: what a person scrolls through; further narrowing is quicker than further paging.
PAGE_SIZE = 50
STATUSES = (("", "All"), ("online", "Online"), ("offline", "Offline"), ("never", "Not connected yet"))
# Quick targets in a row of the list; the rest is on the machine's page.
QUICK = 3


def page_number(text: str) -> int:
    """Return a page number from the address, 1 for nonsense."""
    return min(int(text), 100_000) if text.isascii() and text.isdigit() and int(text) > 0 else 1


def opened(device: JSON) -> list[JSON]:
    """Return who has what open, each once with how many times, and the panels by name."""
    named = names(device)
    rows: dict[tuple[str, str], JSON] = {}
    for row in device.get("open") or []:
        user, service = person(row.get("user")), person(row.get("service"))
        found = rows.setdefault((user, service), {**row, "service": named.get(service, service), "times": 0})
        found["times"] += 1
    return list(rows.values())


def shown(device: JSON) -> JSON:
    """Return a device for the list: visible services that can be opened, the panels of the LAN first."""
    visible = [service for service in device.get("services", []) if service.get("visible", True)]
    ordered = sorted(visible, key=lambda service: service.get("kind") == "agent")
    # No viewer for Windows desktops yet: they are on the machine's page, which says so.
    quick = [service for service in ordered if service.get("protocol") != "rdp"][:QUICK]
    return {**device, "quick": quick, "more": len(ordered) - len(quick), "open": opened(device)}


def find(answer: JSON, at: int) -> tuple[list[JSON], int]:
    """Return the devices of page `at` and how many there are; cuts the page itself when access sent all."""
    devices = answer["devices"]
    if "total" in answer:
        return devices, int(answer["total"])
    return devices[(at - 1) * PAGE_SIZE : at * PAGE_SIZE], len(devices)


def link(**query: Any) -> str:
    """Return the address of a filtered list; empty words are left out."""
    kept = {name: value for name, value in query.items() if value and value != 1}
    return "/machines" + (f"?{urlencode(kept)}" if kept else "")


@page()
async def machines(visit: Visit) -> Response:
    """GET /machines?q=&status=&page=: the list; everything that narrows it is in the address."""
    q, status = visit.query("q").strip(), visit.query("status")
    if status not in dict(STATUSES):
        status = ""
    at = page_number(visit.query("page"))
    params = {"q": q, "status": status, "limit": str(PAGE_SIZE), "offset": str((at - 1) * PAGE_SIZE)}
    answer = await visit.api.portal("GET", "/devices", params=params)
    devices, total = find(answer, at)
    pages = max(1, -(-total // PAGE_SIZE))
    if at > pages:
        return visit.go(link(q=q, status=status, page=pages))
    return visit.page(
        "machines.html", place="machines", devices=[shown(device) for device in devices], total=total, q=q,
        chosen=status,
        at=at, pages=pages, first=(at - 1) * PAGE_SIZE + 1, last=(at - 1) * PAGE_SIZE + len(devices),
        filters=[(word, label, link(q=q, status=word)) for word, label in STATUSES],
        counts=answer.get("counts") or {}, link=link,
    )  # fmt: skip
