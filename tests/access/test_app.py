"""The application around the handlers: envelope, limits, OpenAPI, and who may call what."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from access import app as app_module
from access.app import BODY_LIMIT, LARGE_BODIES, create_app
from access.db import Store
from access.kernel import Kernel
from panelgate.errors import Unavailable
from tests.fakes.access_world import Api, full_session, make_account, make_user

# The calls that need no assertion; everything else does.
OPEN = {
    ("GET", "/v1/health"), ("GET", "/v1/ca"), ("POST", "/v1/join"), ("POST", "/agent/v1/enrol"),
    ("GET", "/openapi.json"),
}  # fmt: skip


def routes(app: FastAPI) -> list[tuple[str, str]]:
    document = app.openapi()
    return [(method.upper(), path) for path, calls in document["paths"].items() for method in calls]


async def test_every_call_but_the_open_ones_needs_an_assertion(api: Api, kernel: Kernel) -> None:
    calls = routes(create_app(kernel))
    assert len(calls) > 20
    for method, path in calls:
        if (method, path) in OPEN:
            continue
        filled = path.replace("{", "").replace("}", "")
        answer = await api.as_role(None).call(method, filled, {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_assertion"), (method, path)


def test_every_handler_says_what_it_does_and_what_comes_back(kernel: Kernel) -> None:
    document = create_app(kernel).openapi()
    assert document["info"]["title"] == "Panelgate access"
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            assert call["description"], (method, path)
    assert all(isinstance(route, APIRoute) or route.path == "/openapi.json" for route in _all(create_app(kernel)))


def _all(app: FastAPI) -> list[Any]:
    return [route for route in app.routes if hasattr(route, "path")]


async def test_unknown_calls_and_methods(api: Api) -> None:
    assert await api.refused("GET", "/v1/coffee") == (404, "no_such_call")
    assert await api.refused("PUT", "/v1/health") == (405, "wrong_method")


async def test_large_bodies_are_refused(api: Api) -> None:
    body = {"account": "x" * BODY_LIMIT}
    assert await api.refused("POST", "/webproxy/v1/sign-in", body) == (413, "too_large")

    async def parts() -> Any:
        for _ in range(BODY_LIMIT // 1024 + 1):
            yield b" " * 1024

    assert api.identity is not None
    answer = await api.call("POST", "/webproxy/v1/sign-in", content=parts())
    assert answer.status_code == 413
    assert "/webproxy/v1/sign-in" not in LARGE_BODIES


async def test_an_unusable_database_is_said_clearly(api: Api, kernel: Kernel) -> None:
    class Full(Store):
        def operator(self, *, write: bool = False) -> Any:
            raise Unavailable("disk_full", "The access server's disk is full.")

    kernel.store.close()
    kernel.store = Full(kernel.store.url.render_as_string(), kernel.clock)
    answer = await api.as_role(None).call("GET", "/v1/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk_full")
    assert answer.headers["cache-control"] == "no-store"


async def test_a_bug_shows_nothing_of_the_inside(api: Api, kernel: Kernel) -> None:

    class Bug(Store):
        def operator(self, *, write: bool = False) -> Any:
            raise AttributeError("NoneType has no attribute")

    kernel.store.close()
    kernel.store = Bug(kernel.store.url.render_as_string(), kernel.clock)
    answer = await api.as_role(None).call("GET", "/v1/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "NoneType" not in answer.text


async def test_a_refusal_that_can_not_be_written_down_is_still_one(api: Api, kernel: Kernel) -> None:
    account, _ = make_account(kernel, "acme")
    token = full_session(kernel, account, make_user(kernel, account, "bert"))

    class Full(Store):
        def account(self, account_id: str, *, write: bool = False) -> Any:
            if write:
                raise Unavailable("disk_full", "full")
            return super().account(account_id)

    url = kernel.store.url.render_as_string()
    kernel.store.close()
    kernel.store = Full(url, kernel.clock)
    assert await api.refused("GET", "/admin/v1/users", session=token) == (403, "not_allowed")


async def test_the_server_sweeps_while_it_runs(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    swept = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(app_module, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(app_module.lockout, "sweep", lambda _store: loop.call_soon_threadsafe(swept.set))
    application = create_app(kernel)
    async with application.router.lifespan_context(application):
        await asyncio.wait_for(swept.wait(), 5)
