"""A machine's page: its services as large targets, what is open, recent connections, details."""

from __future__ import annotations

from starlette.responses import Response

from webproxy.pages.api import JSON
from webproxy.pages.safety import with_next
from webproxy.pages.session import Visit, page

# Each firewall level with its name and one sentence.
LEVELS = (
    ("standard", "Standard", "Links may open any address in the machine's network."),
    ("high", "High", "Links may open other ports of addresses that have a listed panel."),
    ("enforced", "Enforced", "Only listed panels open. This is the usual level."),
    ("ultra", "Ultra", "Only listed panels open, and the agent's own pages only for those who manage the machine."),
)  # fmt: skip


def level_word(device: JSON) -> str:
    """Return the name of the machine's firewall level."""
    return next((word for level, word, _ in LEVELS if level == device.get("level")), "")


def deep_link(account: str, device: str, service: str | None = None) -> str:
    """Return the path of a deep link."""
    return f"/{account}/{device}" + (f"/{service}" if service else "")


def grouped(device: JSON, *, manage: bool) -> tuple[list[JSON], list[JSON]]:
    """Return the services of the LAN and those of the agent itself; hidden ones only for those who manage them."""
    seen = [service for service in device.get("services", []) if manage or service.get("visible", True)]
    seen = [service for service in seen if service.get("kind") != "adhoc"]
    return [s for s in seen if s.get("kind") != "agent"], [s for s in seen if s.get("kind") == "agent"]


def opened_by_links(device: JSON) -> list[JSON]:
    """Return the services that addresses in links made, with `used` (when last), for those who manage the machine."""
    used = device.get("adhoc_used") or {}
    made = [service for service in device.get("services", []) if service.get("kind") == "adhoc"]
    return [{**service, "used": used.get(service["id"])} for service in made]


def names(device: JSON | None) -> dict[str, str]:
    """Return the names of a device's services by slug; connections know the slug only."""
    return {service["slug"]: service["name"] for service in (device or {}).get("services") or []}


async def load(visit: Visit) -> JSON:
    """Return the device that the address names; raises Refused("not_found")."""
    return await visit.api.portal("GET", f"/devices/{visit.request.path_params['slug']}")


@page()
async def machine(visit: Visit) -> Response:
    """GET /machines/{slug}."""
    device = await load(visit)
    may = set(device.get("may", ()))
    panels, own = grouped(device, manage="manage" in may)
    assert visit.session is not None
    account = visit.session["account"]["slug"]
    return visit.page(
        "machine.html", place="machines", device=device, panels=panels, own=own, may=may, account=account,
        open=device.get("open") or [], recent=device.get("recent") or [], agent=device.get("agent") or {},
        deep_link=deep_link, link=visit.web.sites.portal_origin + deep_link(account, device["slug"]),
        with_next=with_next, named=names(device),
        by_links=opened_by_links(device), level=level_word(device),
    )  # fmt: skip
