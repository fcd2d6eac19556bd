"""The portal's addresses. Deep links come last: their first word is an account, which is none of RESERVED_ACCOUNTS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from webproxy.pages import (
    activity,
    assets,
    certificate,
    devices,
    factor,
    keys,
    links,
    live,
    machine,
    machines,
    people,
    services,
    settings,
    setup,
    signin,
)  # fmt: skip
from webproxy.pages.headers import PageHeaders
from webproxy.pages.problem import not_found

Handler = Callable[[Request], Awaitable[Response]]
_HEADERS = [Middleware(PageHeaders)]


def _get(path: str, handler: Handler) -> Route:
    return Route(path, handler, methods=["GET"], middleware=_HEADERS)


def _form(path: str, handler: Handler) -> Route:
    return Route(path, handler, methods=["GET", "POST"], middleware=_HEADERS)


def _act(path: str, handler: Handler) -> Route:
    return Route(path, handler, methods=["POST"], middleware=_HEADERS)


async def _unknown(_: Request) -> Response:
    return not_found()


routes: list[BaseRoute] = [
    _get("/", signin.home),
    Route("/static/{path:path}", assets.static, methods=["GET"]),
    _form("/setup", setup.setup),
    _form("/sign-up", setup.sign_up),
    _form("/sign-in", signin.sign_in),
    _form("/sign-in/code", signin.code),
    _form("/sign-in/recovery", signin.recovery),
    _act("/sign-out", signin.sign_out),
    _get("/signed-out", signin.signed_out),
    _form("/factor", factor.factor),
    _get("/live", live.live),
    _form("/launch", links.launch),
    _get("/machines", machines.machines),
    _form("/add-machine", devices.add),
    _get("/machines/{slug}", machine.machine),
    _form("/machines/{slug}/edit", devices.change),
    _act("/machines/{slug}/remove", devices.remove),
    _act("/machines/{slug}/release", devices.release),
    _form("/machines/{slug}/connect", keys.connect),
    _form("/machines/{slug}/services/new", services.add),
    _form("/machines/{slug}/services/{id}", services.change),
    _act("/machines/{slug}/services/{id}/remove", services.remove),
    _act("/machines/{slug}/services/{id}/keep", services.keep),
    _form("/machines/{slug}/services/{id}/certificate", certificate.certificate),
    _get("/activity", activity.now),
    _get("/activity/history", activity.history),
    _act("/activity/verify", activity.verify),
    _get("/people", people.people),
    _form("/people/new", people.add),
    _form("/people/{id}", people.person),
    _act("/people/{id}/disable", people.disable),
    _act("/people/{id}/remove", people.remove),
    _act("/people/{id}/reset-factor", people.reset_factor),
    _act("/people/{id}/unlock", people.unlock),
    _act("/people/{id}/grants", people.grants),
    _get("/settings", settings.settings),
    _act("/settings/sessions/{id}/end", settings.end_session),
    _act("/settings/password", settings.password),
    _act("/settings/recovery-codes", settings.recovery_codes),
    _act("/settings/account", settings.account),
    _get("/{account}/{device}", links.deep_link),
    _form("/{account}/{device}/{rest:path}", links.deep_link),
    Route("/{unknown:path}", _unknown, methods=["GET", "HEAD"], middleware=_HEADERS),
]
