"""Who is asking: the portal's session cookie, what a page demands of it, and the checks every request passes first."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.log import get_logger
from panelgate.names import Sites
from webproxy.pages.api import JSON, Api, PortalWeb, web_of
from webproxy.pages.problem import new_reference, not_found, portal_problem
from webproxy.pages.safety import safe_next, with_next
from webproxy.pages.templates import render
from webproxy.pages.words import sentence

COOKIE = "pgs"  # after the site's `cookie_stem`
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")  # what access gives; anything else is not worth a call, or a crash
SAFE_METHODS = frozenset({"GET", "HEAD"})
# The largest form (a service with a pasted certificate) has a few KiB; more is no form of ours.
FORM_LIMIT = 64 * 1024
# Where a session goes that has not finished signing in.
STAGE_PAGES = {"factor": "/sign-in/code", "enrol": "/factor"}
# The page refreshed itself: access must not take that for a person's activity.
LIVE_HEADER = "panelgate-live"

# Errors that mean that the access server is not there, rather than that it said something.
UNREACHABLE = frozenset({"access_down", "access_untrusted", "bad_answer"})
NOT_COVERED = "Your permissions in this account do not cover this."

log = get_logger(__name__)
Endpoint = Callable[["Visit"], Awaitable[Response]]


@dataclass
class Visit:
    """One request with its session and what pages do with both."""

    request: Request
    web: PortalWeb
    token: str | None
    session: JSON | None = None
    form: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)

    @property
    def api(self) -> Api:
        """Calls to access in the name of this session."""
        return Api(self.web.access, self.token, self.unattended)

    @property
    def unattended(self) -> bool:
        """Whether the page refreshed itself, or listens for changes: no person did anything."""
        return self.request.headers.get(LIVE_HEADER) is not None or self.request.url.path == "/live"

    @property
    def client(self) -> JSON:
        """Where the browser is, for audit and lock-out."""
        peer = (self.request.client.host, self.request.client.port) if self.request.client else None
        address = self.web.clients.address(peer, self.request.headers.raw)
        return {"address": address, "user_agent": self.request.headers.get("user-agent", "")[:300]}

    @property
    def onward(self) -> str:
        """Where to go on to after sign-in: a checked path."""
        return safe_next(self.form.get("next") or self.request.query_params.get("next"))

    @property
    def administrator(self) -> bool:
        """Whether the user administers the account."""
        return bool(self.session and self.session["user"].get("role") == "administrator")

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address, at most 200 characters."""
        return self.request.query_params.get(name, default)[:200]

    def page(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """Render a page."""
        shared = {
            "me": self.session if self.session and self.session.get("stage") == "full" else None,
            "administrator": self.administrator,
            "portal_origin": self.web.sites.portal_origin,
            "shared": bool(self.web.sites.apps) and self.administrator,
            "done": DONE.get(self.query("done"), ""),
            "place": "",
        }
        return HTMLResponse(render(template, **(shared | context)), status)

    def go(self, path: str) -> Response:
        """Send the browser to a path of the portal (or to a service origin)."""
        if self.request.headers.get("hx-request"):
            return Response(status_code=204, headers={"hx-redirect": path})
        return RedirectResponse(path, 303)


# What a page says after an action that worked: the address carries the word, never the sentence.
DONE = {
    "machine-changed": "The machine's details are saved.", "machine-removed": "The machine is removed.",
    "machine-released": "The agent's certificate is revoked. A new activation key connects the machine again.",
    "service-added": "The panel is added.", "service-changed": "The panel is saved.",
    "certificate-trusted": "The certificate is trusted. The panel opens with it, and with no other.",
    "service-removed": "The panel is removed.",
    "service-kept": "The address is a panel now. Give it a name of its own.",
    "user-added": "The person is added. Give them the password by a safe way; they set up their own second factor.",
    "user-changed": "The person is saved.", "user-removed": "The person is removed.",
    "user-unlocked": "They may sign in again.",
    "factor-reset": "The second factor is reset. At the next sign-in the person sets up a new one.",
    "grants-saved": "The permissions are saved and hold from now on.", "password-changed": "Your password is changed.",
    "session-ended": "That session is ended.", "factor-changed": "Your second factor is replaced.",
    "account-saved": "The account is saved.",
}  # fmt: skip


def cookie_name(sites: Sites) -> str:
    """The name of the portal's session cookie."""
    return sites.cookie_stem + COOKIE


def read_cookie(request: Request) -> tuple[str | None, bool]:
    """Return the session token and whether the cookies are in order: a second one of our name is someone's doing."""
    wanted = cookie_name(web_of(request).sites)
    # Only space and tab are trimmed: a name with any other space before it is no __Host- cookie for browsers, so
    # another origin may set it for us.
    found = [
        value.strip(" \t")
        for header in request.headers.getlist("cookie")
        for name, _, value in (part.partition("=") for part in header.split(";"))
        if name.strip(" \t") == wanted
    ]
    if len(found) > 1:
        return None, False
    return (found[0] if found and _TOKEN.fullmatch(found[0]) else None), True


def set_cookie(response: Response, token: str, sites: Sites) -> None:
    """Give the browser its session: for this host only, out of scripts' reach, gone with the browser."""
    response.set_cookie(cookie_name(sites), token, path="/", secure=True, httponly=True, samesite="lax")


def clear_cookie(response: Response, sites: Sites) -> None:
    """Take the session cookie away."""
    response.set_cookie(cookie_name(sites), "", max_age=0, path="/", secure=True, httponly=True, samesite="lax")


def same_origin(request: Request, origin: str) -> bool:
    """Whether an unsafe request comes from our own page: Origin equal, or where browsers send none, Sec-Fetch-Site."""
    if request.method in SAFE_METHODS:
        return True
    given = request.headers.getlist("origin")
    if given:
        return given == [origin]
    return request.headers.get("sec-fetch-site") in {"same-origin", "none"}


def embedded(request: Request) -> bool:
    """Whether another origin's page asks, and not a person who goes here: a picture, a frame, a script's fetch.

    Panels share the portal's site, so the cookie comes with these, too: a hostile one could not read the answer, but
    keep the session from ending, fill the history, or use up what one person may do in a minute.
    """
    if request.headers.get("sec-fetch-site") not in {"same-site", "cross-site"}:
        return False
    how = request.headers.get("sec-fetch-mode", "navigate"), request.headers.get("sec-fetch-dest", "document")
    return how != ("navigate", "document")


def speculative(request: Request) -> bool:
    """Whether the browser only guesses that its person will come here: links open things, so they wait for him."""
    words = [request.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz")]
    return any("prefetch" in word.lower() or "prerender" in word.lower() for word in words)


async def read_form(request: Request) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Read a url-encoded form: last values by name, and all values by name. Raises BadInput."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT:
            raise BadInput("too_large", "That is more than this form takes.", status=413)
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20_000)
    except ValueError as error:
        raise BadInput("bad_form", "The form could not be read.") from error
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[-1] for name, values in lists.items()}, lists


def problem_of(error: PanelgateError) -> Response:
    """Translate an error that no form could show into a page."""
    reference = new_reference()
    log.warning("page failed", code=error.code, kind=type(error).__name__, reference=reference)
    if error.code == "not_found" or error.status == 404:
        return not_found()
    if error.status == 409:
        return portal_problem(
            "conflict", 409, title="That is not possible now", happened=sentence(error.message), reference=reference,
            todo="Go back and look again: something changed in the meantime.",
        )  # fmt: skip
    if isinstance(error, Unavailable) and error.code not in UNREACHABLE:
        return portal_problem(
            "unavailable", error.status, title="That does not work at the moment", happened=sentence(error.message),
            reference=reference,
            todo="Try again in a moment. If it stays like this, tell whoever runs Panelgate.",
        )  # fmt: skip
    if isinstance(error, Unavailable):
        return portal_problem(
            "access_down", 503, title="The portal cannot reach its access server", reference=reference,
            retry_seconds=10,
            happened="Signing in, lists and new connections need the access server, and it does not answer.",
            todo="Connections that are open go on. This page tries again by itself.",
        )  # fmt: skip
    if isinstance(error, Refused):
        return portal_problem(
            "not_allowed", 403, title="You may not do that", reference=reference,
            happened=NOT_COVERED if error.code == "not_allowed" else sentence(error.message),
            todo="Ask an administrator of your account for the permission.",
        )  # fmt: skip
    if isinstance(error, BadInput):
        return portal_problem(
            "bad_input", error.status, title="That could not be read", happened=error.message, reference=reference,
            todo="Go back, correct it and send it again.",
        )  # fmt: skip
    return portal_problem(
        "broken", 500, title="Something broke on our side", happened="The server made an error; nothing was changed.",
        todo="Try again. If it happens again, give the reference to support.", reference=reference,
    )  # fmt: skip


def _to_sign_in(visit: Visit) -> Response:
    asked = visit.request.url.path + (f"?{visit.request.url.query}" if visit.request.url.query else "")
    raw = visit.request.scope.get("raw_path")
    if raw:
        # The path as it was asked for: %2f must stay %2f on the way back to a deep link.
        query = visit.request.scope.get("query_string", b"").decode("latin-1")
        asked = raw.decode("latin-1").split("?")[0] + (f"?{query}" if query else "")
    onward = safe_next(asked if visit.request.method == "GET" else None)
    response = visit.go(with_next("/sign-in", onward))
    if visit.token is not None:
        clear_cookie(response, visit.web.sites)
    return response


async def _admit(visit: Visit, stage: str, role: str | None) -> Response | None:
    """Load the session; return where to go instead when it does not suffice."""
    if visit.token is None:
        return _to_sign_in(visit)
    try:
        visit.session = await visit.api.portal("GET", "/session")
    except Refused as error:
        if error.status == 401:
            return _to_sign_in(visit)
        raise
    at = visit.session["stage"]
    if at != "full" and at != stage and stage != "started":
        return visit.go(with_next(STAGE_PAGES[at], visit.onward))
    if role == "administrator" and not visit.administrator:
        raise Refused("not_allowed", "Only administrators may do that.")
    return None


def page(
    stage: str | None = "full", role: str | None = None
) -> Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]:
    """Make a Starlette endpoint of a function of a Visit.

    `stage`: "full" wants a finished sign-in, "factor" or "enrol" that stage or a finished one, "started" any session,
    None none at all. `role` "administrator" wants that role; access checks it again.
    """

    def decorate(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(endpoint)
        async def handle(request: Request) -> Response:
            web = web_of(request)
            if speculative(request):
                # A browser that gets this drops the guess, and asks again when it was right.
                return Response(status_code=503)
            if not same_origin(request, web.sites.portal_origin) or embedded(request):
                return portal_problem(
                    "cross_site", 403, title="This came from another site", todo="Open the portal and do it there.",
                    happened="Another page tried to act in your name. Nothing was done.",
                )  # fmt: skip
            token, in_order = read_cookie(request)
            if not in_order:
                response = portal_problem(
                    "cookies", 400, title="Your browser sent two sign-ins at once", todo="Sign in again.",
                    happened="Two session cookies arrived; none of them was used, and both are removed.",
                )  # fmt: skip
                clear_cookie(response, web.sites)
                return response
            visit = Visit(request, web, token)
            try:
                if request.method not in SAFE_METHODS:
                    visit.form, visit.lists = await read_form(request)
                elsewhere = await _admit(visit, stage, role) if stage else None
                return elsewhere or await endpoint(visit)
            except PanelgateError as error:
                if error.code == "no_session":
                    return _to_sign_in(visit)
                return problem_of(error)

        return handle

    return decorate
