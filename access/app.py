"""The access server's application: routers, the error envelope, limits, and the OpenAPI document (/openapi.json)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from access import audit, lockout, sessions, sweeper
from access.api import admin_machines, admin_people, agent, general, relay, webproxy_machines, webproxy_people
from access.api.open import router as open_router
from access.kernel import Kernel
from panelgate.errors import BadInput, Broken, PanelgateError, Unavailable
from panelgate.log import get_logger
from panelgate.tasks import spawn

log = get_logger("access.app")

BODY_LIMIT = 64 * 1024  # bytes; what anybody may send
REPORT_LIMIT = 1024 * 1024  # bytes; a relay's report has about 150 for each of its devices
LARGE_BODIES = frozenset({"/relay/v1/report", "/webproxy/v1/connections/report"})
SWEEP_SECONDS = 30.0  # how late the end of an idle session may show

# One line for each module of access/api that has a `router`.
ROUTERS: tuple[APIRouter, ...] = (
    general.router,
    webproxy_people.router,
    admin_people.router,
    open_router,
    agent.router,
    relay.router,
    webproxy_machines.router,
    admin_machines.router,
)


def create_app(kernel: Kernel) -> FastAPI:
    """The application over the server's parts."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(sweeper.tidy, kernel)  # without a ticket key no call of an agent can be answered
        sweeping = [spawn("sweep people", _sweep_forever(kernel)), spawn("sweep machines", sweeper.run(kernel))]
        try:
            yield
        finally:
            for task in sweeping:
                task.cancel()
            await asyncio.wait(sweeping)
            kernel.store.close()

    # No pages with the interactive document: they load scripts from other hosts.
    app = FastAPI(
        title="Panelgate access", version=version("panelgate"), docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.kernel = kernel
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(PanelgateError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)
    app.add_middleware(BodyLimit)
    return app


async def _sweep_forever(kernel: Kernel) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await asyncio.to_thread(sessions.sweep, kernel)
            await asyncio.to_thread(lockout.sweep, kernel.store)
        except PanelgateError as error:
            log.warning("sweep_failed", code=error.code)


def _answer(error: PanelgateError) -> JSONResponse:
    return JSONResponse(error.as_json(), error.status, headers={"Cache-Control": "no-store"})


def record_refusal(kernel: Kernel, request: Request, error: PanelgateError) -> None:
    """Write down that somebody who is signed in was not allowed to do something."""
    who = getattr(request.state, "who", None)
    if error.code != "not_allowed" or who is None:
        return
    if not kernel.refusals.allows("refused", who.user_id):
        log.warning("refusal_not_recorded", code="too_many", user_id=who.user_id)
        return
    facts = {"what": str(error.facts.get("action", "")), "path": request.url.path, "method": request.method}
    try:
        with kernel.store.account(who.account_id, write=True) as unit:
            audit.append(
                unit, "refused", result="refused", user_id=who.user_id, user=who.user, address=who.address, facts=facts
            )
    except Unavailable as problem:
        log.error("refusal_not_recorded", code=problem.code, user_id=who.user_id)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, PanelgateError):
        return await _on_bug(request, error)
    if isinstance(error, Broken):
        log.error("broken", code=error.code, path=request.url.path, exc_info=error)
    else:
        log.info("refused", code=error.code, status=error.status, path=request.url.path)
    await asyncio.to_thread(record_refusal, request.app.state.kernel, request, error)
    return _answer(error)


async def _on_bad_request(_request: Request, error: Exception) -> JSONResponse:
    fields = []
    if isinstance(error, RequestValidationError):
        # Names and reasons only: the values may be passwords.
        fields = [{"field": ".".join(str(p) for p in e["loc"][1:]), "problem": e["msg"]} for e in error.errors()]
    return _answer(BadInput("bad_input", "The request is not as it should be.", {"fields": fields}))


async def _on_http_error(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "no_such_call", 405: "wrong_method", 413: "too_large"}.get(status, "bad_request")
    return _answer(BadInput(code, "The API has no such call.", status=status))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    log.error("bug", path=request.url.path, exc_info=error)
    return _answer(Broken("internal", "The access server made a mistake. Its log says more."))


class BodyLimit:
    """Refuses request bodies above a limit, whether their length is announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = REPORT_LIMIT if scope["path"] in LARGE_BODIES else BODY_LIMIT
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > limit:
            await _answer(BadInput("too_large", "The request is too large.", status=413))(scope, receive, send)
            return
        got = 0

        async def limited() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, limited, send)
