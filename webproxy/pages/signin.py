"""Signing in and out: account, user and password, then the code of the second factor or a recovery code."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from panelgate.errors import PanelgateError, Refused
from panelgate.names import slugify
from webproxy.pages.api import JSON
from webproxy.pages.problem import portal_problem
from webproxy.pages.safety import HOME, account_of, with_next
from webproxy.pages.session import STAGE_PAGES, Visit, clear_cookie, page, set_cookie
from webproxy.pages.words import duration, parse_time

WRONG = "That account, user and password do not belong together."
WRONG_CODE = "That code is not right. Codes change every 30 seconds and work once."
WRONG_RECOVERY = "That recovery code is not right, or it was used before."


def locked_page(error: PanelgateError) -> Response:
    """Return the page of a lock-out, with the time it ends, or of too many attempts from one address."""
    if error.code == "too_many_calls":
        return portal_problem(
            "too_many", 429, title="Too many attempts at once", retry_seconds=None,
            happened="Too many sign-ins were tried from your network within a minute, by you or by others there.",
            todo="Wait a minute, then try again. Nobody is locked out.",
        )  # fmt: skip
    until = parse_time(error.facts.get("until"))
    left = duration(max(60.0, (until - datetime.now(UTC)).total_seconds() + 59)) if until else "some minutes"
    return portal_problem(
        "locked", 429,
        title="Too many wrong attempts",
        happened=f"To keep guessers out, signing in is closed for {left}. The right password does not open it earlier.",
        todo="Wait until the time below. An administrator of your account can open it now (People, Unlock).",
        facts={"until": error.facts.get("until")},
    )  # fmt: skip


@page(stage=None)
async def home(visit: Visit) -> Response:
    """GET /: the machines, or the set-up of a fresh installation."""
    if visit.token is None and (await visit.api.portal("GET", "/setup"))["needed"]:
        return visit.go("/setup")
    return visit.go(HOME)


@page(stage=None)
async def sign_in(visit: Visit) -> Response:
    """GET /sign-in: the form. POST: check, and go on to the second factor."""
    onward = visit.onward
    fields = {"account": account_of(onward), "user": ""}
    if visit.request.method == "GET":
        if visit.token is not None and (elsewhere := await _signed_in_already(visit)):
            return elsewhere
        setup = await visit.api.portal("GET", "/setup")
        if setup["needed"]:
            return visit.go("/setup")
        return visit.page("signin.html", fields=fields, onward=onward, wrong="", signup=setup.get("signup", False))
    fields = {"account": visit.form.get("account", "").strip()[:64], "user": visit.form.get("user", "").strip()[:128]}
    body = {
        **fields,
        "account": slugify(fields["account"]),
        "password": visit.form.get("password", ""),
        "client": visit.client,
    }
    try:
        answer = await visit.api.portal("POST", "/sign-in", body)
    except PanelgateError as error:
        if error.status == 429:
            return locked_page(error)
        if error.status not in {400, 401, 422}:
            raise
        return visit.page("signin.html", 401, fields=fields, onward=onward, wrong=WRONG, signup=False)
    return _proceed(visit, answer, onward)


def _proceed(visit: Visit, answer: JSON, onward: str) -> Response:
    path = onward if answer["stage"] == "full" else with_next(STAGE_PAGES[answer["stage"]], onward)
    response = visit.go(path)
    set_cookie(response, answer["session_token"], visit.web.sites)
    return response


async def _signed_in_already(visit: Visit) -> Response | None:
    try:
        session = await visit.api.portal("GET", "/session")
    except Refused:
        return None
    return visit.go(visit.onward) if session["stage"] == "full" else None


@page(stage="factor")
async def code(visit: Visit) -> Response:
    """GET /sign-in/code: the form for the six digits. POST: check them."""
    return await _second_factor(visit, "code.html", "/sign-in/totp", WRONG_CODE)


@page(stage="factor")
async def recovery(visit: Visit) -> Response:
    """GET /sign-in/recovery: the form for a recovery code. POST: check it."""
    return await _second_factor(visit, "recovery.html", "/sign-in/recovery", WRONG_RECOVERY)


async def _second_factor(visit: Visit, template: str, path: str, wrong: str) -> Response:
    assert visit.session is not None
    onward = visit.onward
    if visit.session["stage"] == "full":
        return visit.go(onward)
    if visit.session["stage"] == "enrol":
        return visit.go(with_next("/factor", onward))
    if visit.request.method == "GET":
        return visit.page(template, onward=onward, wrong="")
    given = "".join(visit.form.get("code", "").split())[:64]
    try:
        answer = await visit.api.portal("POST", path, {"code": given})
    except PanelgateError as error:
        if error.status == 429:
            return locked_page(error)
        if error.code == "no_session" or error.status not in {400, 401, 422}:
            raise
        return visit.page(template, 401, onward=onward, wrong=wrong)
    return _proceed(visit, answer, onward)


@page(stage=None)
async def sign_out(visit: Visit) -> Response:
    """POST /sign-out: end the session here and on every service."""
    if visit.token is not None:
        try:
            await visit.api.portal("POST", "/sign-out")
        except PanelgateError as error:
            # A session that is gone already is what was asked for; an access server that is down must be said.
            if error.status != 401:
                raise
    response = visit.go("/signed-out")
    clear_cookie(response, visit.web.sites)
    return response


@page(stage=None)
async def signed_out(visit: Visit) -> Response:
    """GET /signed-out: said once, with the way back."""
    return visit.page("signedout.html")
