"""A user's own settings: sessions, second factor, recovery codes, password; for administrators the account's name."""

from __future__ import annotations

from starlette.responses import Response

from panelgate.errors import PanelgateError
from webproxy.pages.forms import PASSWORD_MIN, Problems, check_password
from webproxy.pages.session import Visit, page
from webproxy.pages.signin import locked_page
from webproxy.pages.words import sentence

WRONG_PASSWORD = "That is not your present password."  # noqa: S105 - a sentence


async def _show(visit: Visit, problems: Problems | None = None, form: str = "") -> Response:
    mine = await visit.api.portal("GET", "/me")
    found = problems.found if problems else {}
    return visit.page(
        "settings.html",
        422 if found else 200,
        place="settings",
        mine=mine,
        problems=found,
        form=form,
        password_min=PASSWORD_MIN,
    )


@page()
async def settings(visit: Visit) -> Response:
    """GET /settings."""
    return await _show(visit)


@page()
async def end_session(visit: Visit) -> Response:
    """POST /settings/sessions/{id}/end: end another of one's sessions, with everything it has open."""
    await visit.api.portal("POST", f"/me/sessions/{visit.request.path_params['id']}/revoke")
    return visit.go("/settings?done=session-ended")


@page()
async def password(visit: Visit) -> Response:
    """POST /settings/password: replace the password."""
    problems = Problems()
    new = visit.form.get("new", "")
    check_password(problems, new, visit.form.get("repeated"), "new")
    if not problems:
        try:
            await visit.api.portal("POST", "/me/password", {"current": visit.form.get("current", ""), "new": new})
        except PanelgateError as error:
            if error.status == 429:
                return locked_page(error)
            _note(problems, error, "current")
        else:
            return visit.go("/settings?done=password-changed")
    return await _show(visit, problems, "password")


@page()
async def recovery_codes(visit: Visit) -> Response:
    """POST /settings/recovery-codes: ten new codes, shown once; the older ones stop working."""
    problems = Problems()
    try:
        answer = await visit.api.portal("POST", "/me/recovery-codes", {"password": visit.form.get("password", "")})
    except PanelgateError as error:
        if error.status == 429:
            return locked_page(error)
        _note(problems, error, "password")
        return await _show(visit, problems, "recovery")
    assert visit.session is not None
    return visit.page(
        "recoverycodes.html",
        codes=answer["recovery_codes"],
        onward="/settings",
        first=False,
        account=visit.session["account"],
    )


@page(role="administrator")
async def account(visit: Visit) -> Response:
    """POST /settings/account: rename the account; its short name in addresses stays."""
    problems = Problems()
    name = visit.form.get("name", "").strip()[:128]
    if not name:
        problems.add("name", "Give the account a name.")
        return await _show(visit, problems, "account")
    await visit.api.admin("PATCH", "/account", {"name": name})
    return visit.go("/settings?done=account-saved")


def _note(problems: Problems, error: PanelgateError, name: str) -> None:
    if error.code in {"wrong_credentials", "wrong_password"}:
        problems.add(name, WRONG_PASSWORD)
    elif error.code == "weak_password":
        problems.add("new", sentence(error.message))
    else:
        problems.take(error)
