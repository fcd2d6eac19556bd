"""Administration of machines: add, change, remove, release from its agent."""

from __future__ import annotations

from starlette.responses import Response

from panelgate.errors import PanelgateError, Refused
from panelgate.names import slugify
from webproxy.pages.api import JSON
from webproxy.pages.forms import Problems, check_slug, read_networks
from webproxy.pages.keys import show_key
from webproxy.pages.machine import LEVELS, load, names
from webproxy.pages.session import Visit, page

FIELDS = ("name", "slug", "site", "description", "lan")


def read(visit: Visit, problems: Problems, *, new: bool) -> tuple[dict[str, str], JSON]:
    """Return a machine's fields as typed, and the body of the call that saves them."""
    fields = {name: visit.form.get(name, "").strip()[:2000] for name in FIELDS}
    fields["slug"] = fields["slug"].lower() or slugify(fields["name"])
    if not fields["name"]:
        problems.add("name", "Give the machine a name.")
    elif new:
        check_slug(problems, "slug", fields["slug"])
    networks = read_networks(problems, "lan", fields["lan"])
    body: JSON = {name: fields[name] for name in ("name", "site", "description")} | {"lan": networks}
    if new:
        return fields, body | {"slug": fields["slug"]}
    fields["level"] = visit.form.get("level", "")
    if fields["level"] not in {"", *(level for level, _, _ in LEVELS)}:
        problems.add("level", "Choose a firewall level.")
    return fields, body | ({"level": fields["level"]} if fields["level"] else {})


def fields_of(device: JSON) -> dict[str, str]:
    """Return a machine's fields as the form shows them."""
    lan = device.get("lan") or []
    return {
        **{name: str(device.get(name) or "") for name in (*FIELDS, "level")},
        "lan": lan if isinstance(lan, str) else ", ".join(lan),
    }


async def load_managed(visit: Visit) -> JSON:
    """Return the device that the address names, for those who manage it. Raises Refused."""
    device = await load(visit)
    if "manage" not in device.get("may", ()):
        raise Refused("not_allowed", "You do not manage this machine.")
    return device


@page(role="administrator")
async def add(visit: Visit) -> Response:
    """GET /add-machine: the form. POST: add it and show its activation key with the command to paste."""
    fields = dict.fromkeys(FIELDS, "")
    problems = Problems()
    if visit.request.method == "POST":
        fields, body = read(visit, problems, new=True)
        if not problems:
            try:
                await visit.api.admin("POST", "/devices", body)
            except PanelgateError as error:
                problems.take(error)
            else:
                visit.request.path_params["slug"] = fields["slug"]
                return await show_key(visit, await load(visit))
    return visit.page(
        "machineform.html",
        422 if problems else 200,
        place="machines",
        fields=fields,
        problems=problems.found,
        device=None,
    )


@page()
async def change(visit: Visit) -> Response:
    """GET /machines/{slug}/edit: the form, and what cuts people off. POST: save."""
    device = await load_managed(visit)
    problems = Problems()
    fields = fields_of(device)
    if visit.request.method == "POST":
        fields, body = read(visit, problems, new=False)
        if not problems:
            try:
                await visit.api.admin("PATCH", f"/devices/{device['id']}", body)
            except PanelgateError as error:
                problems.take(error)
            else:
                return visit.go(f"/machines/{device['slug']}?done=machine-changed")
    return visit.page(
        "machineform.html",
        422 if problems else 200,
        place="machines",
        fields=fields,
        problems=problems.found,
        device=device,
        levels=LEVELS,
        named=names(device),
    )


@page()
async def remove(visit: Visit) -> Response:
    """POST /machines/{slug}/remove: the machine, its services and its agent's certificate; open connections are cut."""
    device = await load_managed(visit)
    await visit.api.admin("DELETE", f"/devices/{device['id']}")
    return visit.go("/machines?done=machine-removed")


@page()
async def release(visit: Visit) -> Response:
    """POST /machines/{slug}/release: revoke the agent's certificate; the machine stays and can be connected again."""
    device = await load_managed(visit)
    await visit.api.admin("POST", f"/devices/{device['id']}/release")
    return visit.go(f"/machines/{device['slug']}?done=machine-released")
