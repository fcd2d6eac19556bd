"""Links to an address that no panel is listed at: the person confirms it, or hears what would have to be added."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from webproxy import leads
from webproxy.pages.api import JSON
from webproxy.pages.problem import portal_problem
from webproxy.pages.session import Visit

SIGN_IN_SECONDS = 15 * 60  # from the link to the end of the sign-in that it led to; longer is asked once more
START_PATH = 512  # characters of a start page; access takes no more
# What the page for managers says; {address}, {host}, {machine}, {level} are filled in. None: it can't be added there.
REASONS: dict[str, tuple[str, str]] = {
    "level": (
        "The firewall level of {machine} is “{level}”: links open listed panels there and nothing else.",
        (
            "Add the address as a panel. Or let links open addresses that nobody listed: the machine's firewall level "
            "says so, under “Change” on its page."
        ),
    ),
    "host_not_listed": (
        ("The firewall level of {machine} is “high”: links open other ports of addresses that have a listed panel, and "
        "{host} has none."),
        ("Add the address as a panel. Or let links open any address of the machine's network, by the level “standard” "
        "under “Change” on its page."),
    ),
    "port_not_web": (
        ("Links don't open this port: something else than a page or a screen usually answers there, and a browser's "
        "requests could disturb it."),
        "If there is a page at this port after all, add the address as a panel.",
    ),
    "host_outside_lan": (
        "{host} is not in the network of {machine}.",
        "Check the link. If the address is right, add its network under “Change” on the machine's page first.",
    ),
}  # fmt: skip
LIMITS = frozenset({"too_many_addresses", "too_many_calls"})


def _mark(stem: str, target: str) -> str:
    return stem + leads.COOKIE + leads.mark_of("", target.encode("latin-1", "replace"))


def asked(request: Request, target: str, stem: str = "__Host-") -> bool:
    """Whether a person, and not another page, asked for this address: typed, a bookmark, or our own form.

    Deny by default: a browser that doesn't say where a navigation comes from lets its person confirm it, and so does
    one that comes from the sign-in, unless it was sent there by a bookmark a moment ago. `stem` is what the names of
    the portal's cookies begin with.
    """
    if request.method == "POST":  # the form below; that it is ours has been checked
        return True
    if request.method != "GET":
        return False
    return request.headers.get("sec-fetch-site") == "none" or _mark(stem, target) in request.cookies


def remember(request: Request, target: str, response: Response, stem: str = "__Host-") -> None:
    """Note, on the way to the sign-in, that the person asked for this address."""
    signs_in = response.status_code == 303 and response.headers.get("location", "").startswith("/sign-in")
    if signs_in and request.method == "GET" and request.headers.get("sec-fetch-site") == "none":
        response.set_cookie(
            _mark(stem, target), "1", max_age=SIGN_IN_SECONDS, path="/", secure=True, httponly=True, samesite="lax"
        )


def authority(found: JSON) -> str:
    """Return host and port of an address as browsers write them."""
    host = f"[{found['ip']}]" if ":" in found["ip"] else found["ip"]
    return f"{host}:{found['port']}"


def confirm(visit: Visit, device: JSON, offer: JSON, target: str) -> Response:
    """Let the person confirm that an address becomes a panel; the form leads back to the very same address."""
    # Bytes outside ASCII would be taken for UTF-8 text on the way back.
    action = "".join(char if "!" <= char <= "~" else f"%{ord(char) & 0xFF:02X}" for char in target)
    return visit.page("openaddress.html", device=device, offer=offer, address=authority(offer), action=action)


def missing(visit: Visit, device: JSON, found: JSON, path: str, query: str) -> Response:
    """Say to who manages the machine why the address doesn't open and what would have to be added. Status 404."""
    happened, todo = REASONS.get(found["reason"], REASONS["level"])
    words = {
        "address": authority(found), "host": found["ip"], "machine": device["name"], "level": found.get("level", ""),
    }  # fmt: skip
    start = path + (f"?{query}" if query else "")
    form = {"host": found["ip"], "port": str(found["port"])}
    if start not in {"", "/"} and len(start) <= START_PATH and start.isascii():
        form["path"] = start
    addable = found["reason"] != "host_outside_lan"
    return visit.page(
        "unlisted.html", 404, device=device, address=words["address"], happened=happened.format(**words), todo=todo,
        add=f"/machines/{device['slug']}/services/new?{urlencode(form)}" if addable else None,
    )  # fmt: skip


def too_many() -> Response:
    """Say that one machine, or one person, opened too many addresses."""
    return portal_problem(
        "too_many", 429, title="Too many addresses at once",
        happened="Links opened so many addresses of this machine that no more are opened now.",
        todo="Wait a few minutes and open the link again. Who manages the machine can list the panels that are used, "
        "and remove the others, on its page.",
    )  # fmt: skip
