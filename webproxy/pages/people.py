"""People of the account: list, add, change, disable, remove, unlock, reset of the second factor, permissions."""

from __future__ import annotations

from starlette.responses import Response

from panelgate.errors import PanelgateError, Refused
from webproxy.pages.api import JSON
from webproxy.pages.forms import PASSWORD_MIN, Problems, check_password
from webproxy.pages.session import Visit, page

ROLES = (
    ("member", "Member", "Reaches the machines that the permissions below allow."),
    ("administrator", "Administrator", "Manages people, machines and services, and reaches every machine."),
)
LEVELS = (
    ("", "No access", "The machine does not appear."),
    ("see", "See", "Sees the machine, its status and its services."),
    ("watch", "Watch", "Also watches panels, without touching them."),
    ("operate", "Operate", "Also operates panels."),
    ("manage", "Manage", "Also changes the machine and its services."),
)
_LEVELS = frozenset(level for level, _, _ in LEVELS)


async def _user(visit: Visit) -> JSON:
    wanted = visit.request.path_params["id"]
    users = (await visit.api.admin("GET", "/users"))["users"]
    found: JSON | None = next((user for user in users if user["id"] == wanted), None)
    if found is None:
        raise Refused("not_found", status=404)
    return found


@page(role="administrator")
async def people(visit: Visit) -> Response:
    """GET /people: everyone of the account."""
    users = (await visit.api.admin("GET", "/users"))["users"]
    q = visit.query("q").strip().lower()
    found = [
        user
        for user in users
        if q in f"{user['user'] if 'user' in user else user.get('name', '')} {user['display_name']}".lower()
    ]
    return visit.page(
        "people.html", place="people", users=[_named(user) for user in found], total=len(users), q=visit.query("q")
    )


def _named(user: JSON) -> JSON:
    """Return a user whose sign-in name is under one key."""
    return {**user, "login": user.get("user") or user.get("name") or ""}


@page(role="administrator")
async def add(visit: Visit) -> Response:
    """GET /people/new: the form. POST: add a user, who sets up a second factor at the first sign-in."""
    fields = {"user": "", "display_name": "", "role": "member"}
    problems = Problems()
    if visit.request.method == "POST":
        fields = {name: visit.form.get(name, "").strip()[:128] for name in fields}
        if not fields["user"]:
            problems.add("user", "Give the name this person signs in with.")
        check_password(problems, visit.form.get("password", ""), None)
        if fields["role"] not in {role for role, _, _ in ROLES}:
            problems.add("role", "Choose a role.")
        if not problems:
            fields["display_name"] = fields["display_name"] or fields["user"]
            try:
                made = await visit.api.admin("POST", "/users", {**fields, "password": visit.form["password"]})
            except PanelgateError as error:
                problems.take(error)
            else:
                made = made.get("user") or made
                return visit.go(f"/people/{made['id']}?done=user-added")
    return visit.page(
        "personnew.html",
        422 if problems else 200,
        place="people",
        fields=fields,
        problems=problems.found,
        roles=ROLES,
        password_min=PASSWORD_MIN,
    )


async def _show(visit: Visit, problems: Problems | None = None) -> Response:
    user = _named(await _user(visit))
    grants = await visit.api.admin("GET", f"/users/{user['id']}/grants")
    devices = (
        await visit.api.portal("GET", "/devices", params={"q": "", "status": "", "limit": "500", "offset": "0"})
    )["devices"]
    assert visit.session is not None
    return visit.page(
        "person.html", 422 if problems else 200, place="people", user=user, grants=grants, devices=devices,
        roles=ROLES, levels=LEVELS,
        problems=problems.found if problems else {}, myself=user["id"] == visit.session["user"]["id"],
        password_min=PASSWORD_MIN,
    )  # fmt: skip


@page(role="administrator")
async def person(visit: Visit) -> Response:
    """GET /people/{id}. POST: save name and role, and a new password when one is given."""
    if visit.request.method == "GET":
        return await _show(visit)
    problems = Problems()
    body: JSON = {
        "display_name": visit.form.get("display_name", "").strip()[:128],
        "role": visit.form.get("role", "member"),
    }
    if not body["display_name"]:
        problems.add("display_name", "Give the person's name.")
    if visit.form.get("password"):
        check_password(problems, visit.form["password"], None)
        body["password"] = visit.form["password"]
    return await _change(visit, body, problems)


async def _change(visit: Visit, body: JSON, problems: Problems) -> Response:
    identity = visit.request.path_params["id"]
    if not problems:
        try:
            await visit.api.admin("PATCH", f"/users/{identity}", body)
        except PanelgateError as error:
            problems.take(error)
        else:
            return visit.go(f"/people/{identity}?done=user-changed")
    return await _show(visit, problems)


@page(role="administrator")
async def disable(visit: Visit) -> Response:
    """POST /people/{id}/disable (or with disabled=no: enable again)."""
    return await _change(visit, {"disabled": visit.form.get("disabled") != "no"}, Problems())


@page(role="administrator")
async def remove(visit: Visit) -> Response:
    """POST /people/{id}/remove."""
    problems = Problems()
    try:
        await visit.api.admin("DELETE", f"/users/{visit.request.path_params['id']}")
    except PanelgateError as error:
        problems.take(error)
        return await _show(visit, problems)
    return visit.go("/people?done=user-removed")


@page(role="administrator")
async def reset_factor(visit: Visit) -> Response:
    """POST /people/{id}/reset-factor: at the next sign-in the user enrols a new one."""
    identity = visit.request.path_params["id"]
    await visit.api.admin("POST", f"/users/{identity}/reset-factor")
    return visit.go(f"/people/{identity}?done=factor-reset")


@page(role="administrator")
async def unlock(visit: Visit) -> Response:
    """POST /people/{id}/unlock: end a lock-out."""
    identity = visit.request.path_params["id"]
    await visit.api.admin("POST", f"/users/{identity}/unlock")
    return visit.go(f"/people/{identity}?done=user-unlocked")


@page(role="administrator")
async def grants(visit: Visit) -> Response:
    """POST /people/{id}/grants: a level for all machines, and levels for single ones."""
    identity = visit.request.path_params["id"]
    everywhere = visit.form.get("all", "")
    levels = {
        name.removeprefix("device-"): value
        for name, value in visit.form.items()
        if name.startswith("device-") and value
    }
    problems = Problems()
    if everywhere not in _LEVELS or not _LEVELS.issuperset(levels.values()):
        problems.add("", "Choose one of the levels.")
    # Grants of machines that the form did not show (there are more than it lists) stay as they are.
    listed = {name.removeprefix("device-") for name in visit.form if name.startswith("device-")}
    before = await visit.api.admin("GET", f"/users/{identity}/grants")
    kept = before.get("devices") or {}
    devices = {device: level for device, level in kept.items() if device not in listed} | levels
    wanted: JSON = {"all": everywhere or None, "devices": devices}
    if before.get("services"):
        # Levels for single services are set by other means; they are not lost here.
        wanted["services"] = before["services"]
    if not problems:
        try:
            await visit.api.admin("PUT", f"/users/{identity}/grants", wanted)
        except PanelgateError as error:
            problems.take(error)
        else:
            return visit.go(f"/people/{identity}?done=grants-saved")
    return await _show(visit, problems)
