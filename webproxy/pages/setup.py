"""The first visit: the account and its administrator, behind the one-time code that the installation printed.

Sign-up of further accounts, where the installation allows it, is the same form without the code.
"""

from __future__ import annotations

from starlette.responses import Response

from panelgate.errors import PanelgateError
from panelgate.names import slugify
from webproxy.pages.api import JSON
from webproxy.pages.forms import PASSWORD_MIN, Problems, check_password, check_slug
from webproxy.pages.session import Visit, page, set_cookie
from webproxy.pages.signin import locked_page

FIELDS = ("code", "account_name", "account", "display_name", "user")


@page(stage=None)
async def setup(visit: Visit) -> Response:
    """GET /setup: the form, once. POST: create the account and its administrator."""
    if not (await visit.api.portal("GET", "/setup"))["needed"]:
        return visit.go("/sign-in")
    return await _create(visit, "/setup", with_code=True)


@page(stage=None)
async def sign_up(visit: Visit) -> Response:
    """GET /sign-up: the form for a new account, where the installation allows it. POST: create it."""
    state = await visit.api.portal("GET", "/setup")
    if state["needed"] or not state.get("signup"):
        return visit.go("/sign-in")
    return await _create(visit, "/sign-up", with_code=False)


async def _create(visit: Visit, path: str, *, with_code: bool) -> Response:
    fields = {name: visit.form.get(name, "").strip()[:128] for name in FIELDS}
    problems = Problems()
    if visit.request.method == "POST":
        answer = await _submit(visit, path, fields, problems, with_code=with_code)
        if isinstance(answer, Response):
            return answer
        if answer is not None:
            response = visit.go("/factor")
            set_cookie(response, answer["session_token"], visit.web.sites)
            return response
    return visit.page(
        "setup.html", 422 if problems else 200, fields=fields, problems=problems.found, with_code=with_code,
        password_min=PASSWORD_MIN, path=path,
    )  # fmt: skip


async def _submit(
    visit: Visit, path: str, fields: dict[str, str], problems: Problems, *, with_code: bool
) -> JSON | Response | None:
    fields["account"] = fields["account"] or slugify(fields["account_name"])
    if with_code and not fields["code"]:
        problems.add("code", "Give the set-up code. It was printed where Panelgate was started.")
    if not fields["account_name"]:
        problems.add("account_name", "Give the account a name, such as your company's.")
    check_slug(problems, "account", fields["account"], account=True)
    if not fields["user"]:
        problems.add("user", "Give the name you will sign in with.")
    check_password(problems, visit.form.get("password", ""), visit.form.get("repeated"))
    if problems:
        return None
    body: JSON = {
        **fields,
        "display_name": fields["display_name"] or fields["user"],
        "password": visit.form["password"],
        "client": visit.client,
    }
    if not with_code:
        del body["code"]
    try:
        return await visit.api.portal("POST", path, body)
    except PanelgateError as error:
        if error.status == 429:
            return locked_page(error)
        if error.code in {"wrong_code", "bad_code", "wrong_setup_code"}:
            problems.add("code", "That set-up code is not right. Copy the newest one that was printed.")
            return None
        problems.take(error)
        return None
