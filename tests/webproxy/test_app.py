from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from panelgate.clock import FakeClock
from panelgate.names import Sites
from panelgate.settings import WebproxySettings
from tests.fakes.access_stub import AccessStub
from webproxy.app import create_app
from webproxy.web import Web


def made() -> Starlette:
    def make() -> Web:
        return Web(WebproxySettings(), AccessStub(), None, clock=FakeClock())  # type: ignore[arg-type]

    return create_app(make, Sites())


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("evil", "/sign-in", 421),
        ("localhost:8080", "/", 421),
        ("a--b--c.apps.localhost:8080", "/sign-in", 421),
        ("a--b--c.apps.localhost:8080", "/.pg/static/css/none.css", 404),
        ("portal.localhost:8080", "/static/css/none.css", 404),
        ("portal.localhost:8080", "/.pg/static/css/none.css", 421),
    ],
)
async def test_hosts(host: str, path: str, status: int) -> None:
    transport = httpx.ASGITransport(app=made())
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        assert (await client.get(path)).status_code == status


async def test_the_parts_live_as_long_as_the_listener() -> None:
    app = made()
    async with app.router.lifespan_context(app) as state:
        web = state["web"]  # type: ignore[index]
        assert app.state.web is web
        assert web._tasks
    assert all(task.done() for task in web._tasks)
