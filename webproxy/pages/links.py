"""Deep links in their three forms, and the portal's end of the hand-off to a service's origin.

/{account}/{device}
/{account}/{device}/{service}[/path?query]
/{account}/{device}/proxy/{ip}[:{port}]/{path}      as M2Web's bookmarks have it, with the device's name for its slug
/launch?host=...&n=...&state=...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, unquote_plus, urlencode

from starlette.requests import Request
from starlette.responses import Response

from panelgate.errors import Refused
from panelgate.names import Sites, slug_ok
from webproxy import leads
from webproxy.pages import unlisted
from webproxy.pages.api import JSON, web_of
from webproxy.pages.problem import not_found, portal_problem
from webproxy.pages.session import Visit, page

_HASH = re.compile(r"[0-9a-f]{64}")
_MARK = re.compile(r"[0-9a-f]{32}")
_STATE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
PROXY = "proxy"
NAME_LIMIT = 100  # characters; no machine's name is longer


@dataclass(frozen=True)
class DeepLink:
    """A deep link taken apart; `path` is as it was asked for, still percent-encoded, "" when the link names none.

    `names` are further readings of the device's part.
    """

    account: str
    device: str
    service: str | None = None
    ip: str | None = None
    port: int | None = None
    path: str = ""
    names: tuple[str, ...] = ()

    @property
    def question(self) -> JSON:
        """The body of the call that resolves it."""
        wanted: JSON = {"account": self.account, "device": self.device}
        if self.names:
            wanted["names"] = list(self.names)
        if self.ip is not None:
            return wanted | {"ip": self.ip} | ({"port": self.port} if self.port else {})
        return wanted | ({"service": self.service} if self.service else {})


def parse(raw_path: str) -> DeepLink | None:
    """Take a percent-encoded path apart; None when it is no deep link."""
    words = raw_path.split("/", 3)[1:]
    if len(words) < 2:
        return None
    account, device, names = unquote(words[0]), *_device(words[1])
    if not (_named(account) and all(_named(name) for name in (device, *names))):
        return None
    account = account.lower() if slug_ok(account.lower()) else account
    rest = words[2] if len(words) > 2 else ""
    if not rest:
        return DeepLink(account, device, names=names)
    service, slash, path = rest.partition("/")
    if service == PROXY and slash:
        target, slash, path = path.partition("/")
        address = _address(unquote(target))
        return address and DeepLink(account, device, None, *address, slash + path, names)
    if not slug_ok(service.lower()):
        return None  # the machine's own pages, as M2Web has them: /usr/..., /rcgi.bin/...
    return DeepLink(account, device, service.lower(), path=slash + path, names=names)


def _named(text: str) -> bool:
    return 0 < len(text) <= NAME_LIMIT and text not in {".", ".."} and text.isprintable()


def _device(segment: str) -> tuple[str, tuple[str, ...]]:
    """The device's part of a path: (slug or name, other readings); M2Web writes a space as "+", browsers as "%20"."""
    plain = unquote(segment)
    if slug_ok(plain.lower()):
        plain = plain.lower()
    formed = unquote_plus(segment)
    return plain, (formed,) if "+" in segment else ()


def _address(text: str) -> tuple[str, int | None] | None:
    """An IP literal with or without port: (its canonical form, port); None for everything else, zones included."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host, port = found["six"] or found["four"], found["port"]
    try:
        ip = str(ip_address(host))
    except ValueError:
        return None
    if port is not None and not 1 <= int(port) <= 65535:
        return None
    return ip, int(port) if port else None


def raw_path(request: Request) -> str:
    """Return the path as the browser sent it: %2f stays %2f."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    text: str = raw.decode("latin-1")
    return text.split("?", maxsplit=1)[0]


def target(sites: Sites, found: JSON, path: str, query: str) -> str:
    """Return the address on the service's origin: the link's own path, or else the service's start page."""
    start = (found.get("service") or {}).get("path") or "/"
    if path in {"", "/"} and not query:
        path = start if start.startswith("/") else f"/{start}"
    # No panel's own page leads to "//x", which is another host's address wherever it is taken for a reference.
    path = re.sub(r"^/{2,}", "/", path)
    sites.learn(found["host_label"], (found.get("service") or {}).get("public_port"))
    return sites.service_base(found["host_label"]) + (path or "/") + (f"?{query}" if query else "")


def _led(visit: Visit, label: str, address: str) -> Response:
    """Redirect to a service's origin; a person's own doing is marked, so that he isn't asked once more."""
    response = _exactly(address)
    sites = visit.web.sites
    path = address.removeprefix(sites.service_base(label))
    if "?" in path and visit.request.headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        name = sites.cookie_stem + leads.COOKIE + leads.mark_of(sites.word_of(label), path.encode("latin-1", "replace"))
        response.set_cookie(name, "1", max_age=leads.SECONDS, path="/", secure=True, httponly=True, samesite="lax")
    return response


def _exactly(address: str) -> Response:
    """Redirect to an address as it is: Starlette's own redirect writes some characters anew."""
    return Response(status_code=303, headers={"location": address})


@page()
async def _open(visit: Visit) -> Response:
    request = visit.request
    wanted = parse(raw_path(request))
    if wanted is None:
        return not_found()
    query = request.scope.get("query_string", b"").decode("latin-1")
    target_asked = _asked_for(request)
    question = wanted.question
    if wanted.ip is not None and unlisted.asked(request, target_asked, visit.web.sites.cookie_stem):
        question["open"] = True
    try:
        found = await visit.api.portal("POST", "/resolve", question)
    except Refused as error:
        if error.code in unlisted.LIMITS:
            return unlisted.too_many()
        raise
    if wanted.service is None and wanted.ip is None:
        return visit.go(_only_panel(visit, found) or f"/machines/{found['device']['slug']}")
    if found.get("offer"):
        return unlisted.confirm(visit, found["device"], found["offer"], target_asked)
    if found.get("missing"):
        return unlisted.missing(visit, found["device"], found["missing"], wanted.path, query)
    if not found.get("service"):
        return not_found()
    return _led(visit, found["host_label"], target(visit.web.sites, found, wanted.path, query))


def _asked_for(request: Request) -> str:
    """Path and query as the browser sent them."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    return raw_path(request) + (f"?{query}" if query else "")


async def deep_link(request: Request) -> Response:
    """GET a deep link: to the panel, or to the machine's page when the link leaves a choice.

    POST: the person confirms that an address which nobody listed is opened.
    """
    response = await _open(request)
    wanted = parse(raw_path(request))
    if wanted is not None and wanted.ip is not None:
        unlisted.remember(request, _asked_for(request), response, web_of(request).sites.cookie_stem)
    return response


def _only_panel(visit: Visit, found: JSON) -> str | None:
    """Return the address of the machine's panel when it has exactly one that people are meant to see."""
    panels = [s for s in found["device"].get("services", []) if s.get("kind") != "agent" and s.get("visible", True)]
    if len(panels) != 1:
        return None
    return target(visit.web.sites, {"service": panels[0], "host_label": panels[0]["host_label"]}, "", "")


def _called(sites: Sites, word: str) -> str:
    """What a person may recognise an origin by."""
    return word.replace("--", " · ") if sites.ports is None else f"{sites.portal_name}:{word}"


@page()
async def launch(visit: Visit) -> Response:
    """/launch: give a service's origin a one-time code for this session.

    `host` is the origin's label, or its port; it goes to access, which knows its own hosts: nothing in the address
    decides where the code is sent but a label below the apps domain, or a port of this host. With `ask` another site
    led to the panel: the person confirms it by a form, unless the portal's own deep link led him.
    """
    given = visit.form if visit.request.method == "POST" else visit.request.query_params
    word, nonce_hash, state, ask = (given.get(name, "") for name in ("host", "n", "state", "ask"))
    sites = visit.web.sites
    whole = _HASH.fullmatch(nonce_hash) and _STATE.fullmatch(state) and (not ask or _MARK.fullmatch(ask))
    if not sites.word_ok(word) or not whole:
        return portal_problem(
            "bad_link", 400, title="That link is not complete",
            happened="It does not name a panel of this installation.",
            todo="Open the panel from the list of machines, or by its link.",
        )  # fmt: skip
    if ask and visit.request.method == "GET" and sites.cookie_stem + leads.COOKIE + ask not in visit.request.cookies:
        words = {"host": word, "n": nonce_hash, "state": state}
        return visit.page("continue.html", service=_called(sites, word), words=words)
    port = int(word) if sites.ports is not None else None
    which: JSON = {"host_label": word} if port is None else {"public_port": port}
    try:
        answer = await visit.api.portal("POST", "/handoff", which | {"nonce_hash": nonce_hash})
    except Refused as error:
        if error.code == "not_allowed":
            return portal_problem(
                "not_allowed", 403, title="You may not open this panel",
                happened="You may see that this machine exists, but not watch or operate it.",
                todo="Ask an administrator of your account for the permission.",
            )  # fmt: skip
        raise
    label = word if port is None else str(answer["host_label"])
    sites.learn(label, port)
    return visit.go(f"{sites.service_base(label)}/.pg/cb?{urlencode({'code': answer['code'], 'state': state})}")
