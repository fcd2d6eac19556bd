"""Who is connected now, and what happened: the audit as sentences, filtered and paged."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from webproxy.pages.api import JSON
from webproxy.pages.machine import names
from webproxy.pages.sentences import FILTERS, picture, reason, sentence
from webproxy.pages.session import Visit, page

PAGE_SIZE = 50
# Devices are asked for in the largest pages that access gives, as far as 10,000 of them.
BATCH = 500
MOST_PAGES = 20


def connections(devices: list[JSON]) -> list[JSON]:
    """Return what is open now on all devices, longest first, with the panels' names."""
    rows = []
    for device in devices:
        named = names(device)
        rows += [
            {**row, "device": device, "service": named.get(str(row.get("service")), row.get("service"))}
            for row in device.get("open") or []
        ]
    return sorted(rows, key=lambda row: str(row.get("since")))


def tell(row: JSON) -> JSON:
    """Return an audit row with its sentence, its picture and its reason."""
    return {
        **row,
        "sentence": sentence(row),
        "picture": picture(row),
        "reason": reason(row),
        "failed": row.get("result") not in {"ok", None, ""},
    }


@page()
async def now(visit: Visit) -> Response:
    """GET /activity: who is connected now."""
    devices: list[JSON] = []
    for _ in range(MOST_PAGES):
        params = {"open": "true", "limit": str(BATCH), "offset": str(len(devices))}
        answer = await visit.api.portal("GET", "/devices", params=params)
        devices += answer["devices"]
        if not answer["devices"] or len(devices) >= answer.get("total", 0):
            break
    return visit.page("activity.html", place="activity", rows=connections(devices))


@page(role="administrator")
async def history(visit: Visit) -> Response:
    """GET /activity/history?action=&q=&before=: the audit, newest first."""
    action, q, before = visit.query("action"), visit.query("q").strip()[:100], visit.query("before")
    if action not in dict(FILTERS):
        action = ""
    if not (before.isascii() and before.isdigit()):
        before = ""
    params = {"limit": str(PAGE_SIZE), "before": before, "action": action, "q": q}
    answer = await visit.api.admin("GET", "/audit", params={name: value for name, value in params.items() if value})
    older = answer.get("next")

    def link(**query: str) -> str:
        kept = {name: value for name, value in query.items() if value}
        return "/activity/history" + (f"?{urlencode(kept)}" if kept else "")

    return visit.page(
        "history.html", place="activity", rows=[tell(row) for row in answer["rows"]], action=action, q=q, before=before,
        older=link(action=action, q=q, before=str(older)) if older else "", newest=link(action=action, q=q),
        filters=[(word, label, link(action=word, q=q)) for word, label in FILTERS], checked=None,
    )  # fmt: skip


@page(role="administrator")
async def verify(visit: Visit) -> Response:
    """POST /activity/verify: whether the chain of the audit is whole."""
    answer = await visit.api.admin("GET", "/audit/verify")
    return visit.page("verified.html", place="activity", checked=answer)
