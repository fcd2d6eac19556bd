"""Administration of a machine's services."""

from __future__ import annotations

from starlette.responses import Response

from panelgate.errors import PanelgateError, Refused
from panelgate.names import slugify
from webproxy.pages import service_options
from webproxy.pages.api import JSON
from webproxy.pages.devices import load_managed
from webproxy.pages.forms import OPTION, PIN, Problems, check_host, check_port, check_slug
from webproxy.pages.machine import names
from webproxy.pages.session import Visit, page

PROTOCOLS = (
    ("http", "Web page (HTTP)", 80), ("https", "Web page (HTTPS)", 443), ("vnc", "VNC screen", 5900),
    ("rdp", "Windows desktop (RDP)", 3389),
)  # fmt: skip
CHECKS = (
    (
        "pin",
        "Only this panel's own certificate",
        "The usual choice: you compare it once and trust it. When it changes, nobody gets through until you trust it.",
    ),
    (
        "ca",
        "Only one that an authority signed",
        "For certificates of a public authority, or of your company's, made out to the panel's address.",
    ),
    (
        "none",
        "Any certificate",
        "The last resort, for panels that make a new one at each start.",
    ),
)
EMPTY: JSON = {
    "name": "", "slug": "", "protocol": "http", "host": "", "port": "80", "path": "/", "visible": True,
    "tls_verify": "pin", "tls_pin": "", "has_password": False,
}  # fmt: skip


def read(visit: Visit, problems: Problems, *, new: bool) -> tuple[JSON, JSON]:
    """Return a service's fields as typed, and the body of the call that saves them."""
    form = visit.form
    fields: JSON = {
        name: form.get(name, "").strip()[:500]
        for name in ("name", "slug", "protocol", "host", "port", "path", "tls_verify", "tls_pin")
    }
    fields["visible"] = form.get("visible") == "yes"
    fields["slug"] = fields["slug"].lower() or slugify(fields["name"])
    if not fields["name"]:
        problems.add("name", "Give the panel a name, such as HMI.")
    elif new:
        check_slug(problems, "slug", fields["slug"])
        if fields["slug"] == "proxy":
            problems.add("slug", "“proxy” is a word of deep links. Choose another.")
    if fields["protocol"] not in {name for name, _, _ in PROTOCOLS}:
        problems.add("protocol", "Choose how the panel is reached.")
    host, port = check_host(problems, "host", fields["host"]), check_port(problems, "port", fields["port"])
    path = fields["path"] or "/"
    if not path.startswith("/") or any(ord(char) <= 32 for char in path):
        problems.add("path", "A start page begins with / and has no spaces.")
    pin = fields["tls_pin"].replace(":", "").replace(" ", "").lower()
    checked = fields["protocol"] == "https"
    if checked and fields["tls_verify"] == "pin" and pin and not PIN.fullmatch(pin):
        problems.add("tls_pin", "A SHA-256 fingerprint has 64 digits and letters a to f. Or leave it empty for now.")
    body: JSON = {
        "name": fields["name"], "protocol": fields["protocol"], "host": host, "port": port, "path": path,
        "visible": fields["visible"],
        "tls_verify": (fields["tls_verify"] or "ca") if checked else "none",
        "tls_pin": pin if checked and fields["tls_verify"] == "pin" else None,
    }  # fmt: skip
    web = fields["protocol"] in service_options.WEB
    if web:
        fields["options"], body["options"] = service_options.read(form, visit.lists, problems)
    else:
        fields["options"], body["options"] = service_options.fields_of(None), {}
    kind = "web_" if web else ""
    if form.get(f"forget_{kind}password") == "yes":
        body["password"] = ""
    elif form.get(f"{kind}password"):
        body["password"] = form[f"{kind}password"]
    return fields, body | ({"slug": fields["slug"]} if new else {})


def fields_of(service: JSON) -> JSON:
    """Return a service's fields as the form shows them."""
    known: JSON = {"options": service_options.fields_of(service.get("options"))}
    if service["protocol"] != "https":
        known["tls_verify"] = EMPTY["tls_verify"]  # for the day on which https is chosen
    return EMPTY | {name: service[name] for name in EMPTY if service.get(name) is not None} | known


def _page(visit: Visit, device: JSON, service: JSON | None, fields: JSON, problems: Problems) -> Response:
    return visit.page(
        "serviceform.html", 422 if problems else 200, place="machines", device=device, service=service, fields=fields,
        problems=problems.found, protocols=PROTOCOLS, checks=CHECKS, named=names(device), words=service_options,
        others=service_options.others(device, service), chosen=service_options.chosen(fields["options"]),
        trouble=any(name.startswith(OPTION) and name != f"{OPTION}tls_ca" for name in problems.found),
    )  # fmt: skip


def _done(visit: Visit, device: JSON, service_id: str | None, body: JSON, word: str) -> Response:
    """On to the machine's page, or to the certificate when there is none to trust yet."""
    if service_id and body["tls_verify"] == "pin" and not body["tls_pin"]:
        return visit.go(f"/machines/{device['slug']}/services/{service_id}/certificate")
    return visit.go(f"/machines/{device['slug']}?done={word}")


def prefilled(visit: Visit) -> JSON:
    """Return the fields of an empty form, with what the address names: a link to a place that nobody listed."""
    given = {name: visit.request.query_params.get(name, "")[:500] for name in ("host", "port", "path")}
    fields = EMPTY | {name: value for name, value in given.items() if value}
    kinds = {"443": "https", "8443": "https", "3389": "rdp"} | {str(port): "vnc" for port in range(5900, 5910)}
    return fields | {"protocol": kinds.get(fields["port"], "http")}


@page()
async def add(visit: Visit) -> Response:
    """GET /machines/{slug}/services/new: the form. POST: add."""
    device = await load_managed(visit)
    problems = Problems()
    fields = prefilled(visit) | {"options": service_options.fields_of(None)}
    if visit.request.method == "POST":
        fields, body = read(visit, problems, new=True)
        if not problems:
            try:
                made = await visit.api.admin("POST", f"/devices/{device['id']}/services", body)
            except PanelgateError as error:
                problems.take(error)
            else:
                return _done(visit, device, (made.get("service") or {}).get("id"), body, "service-added")
    return _page(visit, device, None, fields, problems)


def load_service(visit: Visit, device: JSON) -> JSON:
    """Return the service of a device that the address names; raises Refused("not_found")."""
    wanted = visit.request.path_params["id"]
    found: JSON | None = next((service for service in device["services"] if service["id"] == wanted), None)
    if found is None:
        raise Refused("not_found", status=404)
    return found


@page()
async def change(visit: Visit) -> Response:
    """GET /machines/{slug}/services/{id}: the form. POST: save."""
    device = await load_managed(visit)
    service = load_service(visit, device)
    problems = Problems()
    fields = fields_of(service)
    if visit.request.method == "POST":
        fields, body = read(visit, problems, new=False)
        fields["has_password"] = service.get("has_password", False)
        if not problems:
            try:
                await visit.api.admin("PATCH", f"/services/{service['id']}", body)
            except PanelgateError as error:
                problems.take(error)
            else:
                return _done(visit, device, service["id"], body, "service-changed")
    return _page(visit, device, service, fields, problems)


@page()
async def keep(visit: Visit) -> Response:
    """POST /machines/{slug}/services/{id}/keep: what a link opened becomes a panel of the machine."""
    device = await load_managed(visit)
    service = load_service(visit, device)
    await visit.api.admin("POST", f"/services/{service['id']}/keep")
    return visit.go(f"/machines/{device['slug']}/services/{service['id']}?done=service-kept")


@page()
async def remove(visit: Visit) -> Response:
    """POST /machines/{slug}/services/{id}/remove."""
    device = await load_managed(visit)
    service = load_service(visit, device)
    await visit.api.admin("DELETE", f"/services/{service['id']}")
    return visit.go(f"/machines/{device['slug']}?done=service-removed")
