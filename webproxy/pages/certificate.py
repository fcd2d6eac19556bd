"""The certificate of an https panel: looked at through the agent, compared by a person, then trusted."""

from __future__ import annotations

from starlette.responses import Response

from panelgate.errors import Unavailable
from webproxy.forward import problems
from webproxy.forward.certificate import spelled
from webproxy.forward.problems import Problem
from webproxy.look import Seen
from webproxy.pages.api import JSON
from webproxy.pages.devices import load_managed
from webproxy.pages.forms import PIN
from webproxy.pages.services import load_service
from webproxy.pages.session import Visit, page


async def _look(visit: Visit, service: JSON) -> Seen:
    """What the panel shows now. What the agent or access say against it is part of the page, not an error of it."""
    try:
        answer = await visit.api.portal("POST", f"/services/{service['id']}/look")
        return await visit.web.circuits.look(answer, service["id"])
    except Unavailable as error:
        return Seen(problem=problems.of_error(error))


def _page(visit: Visit, device: JSON, service: JSON, seen: Seen | None, wrong: str = "") -> Response:
    shown = seen.shown if seen is not None else None
    pinned = service.get("tls_pin") or ""
    problem: Problem | None = seen.problem if seen is not None else None
    return visit.page(
        "certificate.html", 422 if wrong else 200, place="machines", device=device, service=service, wrong=wrong,
        looked=seen is not None, fingerprint=shown.fingerprint if shown else "", why=shown.why if shown else "",
        refused=shown is not None, spelled=spelled, pinned=pinned,
        changed=bool(shown and pinned and shown.fingerprint != pinned), problem=problem,
    )  # fmt: skip


@page()
async def certificate(visit: Visit) -> Response:
    """GET /machines/{slug}/services/{id}/certificate: how it stands. POST: look at the panel, or trust what was seen.

    Neither takes a fingerprint from an address: the look fetches it anew, and only this page's own form brings it back.
    """
    device = await load_managed(visit)
    service = load_service(visit, device)
    if service["protocol"] != "https":
        return visit.go(f"/machines/{device['slug']}/services/{service['id']}")
    if visit.request.method != "POST":
        return _page(visit, device, service, None)
    if visit.form.get("do") != "trust":
        return _page(visit, device, service, await _look(visit, service))
    pin = visit.form.get("fingerprint", "")
    if not PIN.fullmatch(pin):
        return _page(visit, device, service, None, "That is no fingerprint. Look at the certificate again.")
    await visit.api.admin("PATCH", f"/services/{service['id']}", {"tls_verify": "pin", "tls_pin": pin})
    return visit.go(f"/machines/{device['slug']}?done=certificate-trusted")
