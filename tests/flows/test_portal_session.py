"""The portal's real pages over the real access server: idle time, and two accounts with each other's names."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from access.app import create_app
from access.kernel import Kernel
from access.passwords import Hasher
from panelgate.access_client import AccessClient
from panelgate.clock import FakeClock
from panelgate.pki import Role
from tests.fakes.access_world import full_session, make_account, make_data, make_identity, make_kernel, make_user
from tests.fakes.portal_access import FakeWeb, portal
from webproxy.pages.routes import routes

ORIGIN = "http://portal.localhost:8080"
FORM = {"name": "HMI", "slug": "hmi", "host": "192.168.0.10", "port": "80", "protocol": "http", "visible": "yes"}


class Site:
    """Access and portal in this process; `browser(token)` is somebody's."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.kernel: Kernel = make_kernel(directory, self.clock, Hasher(time_cost=1, memory_kib=8))
        transport = httpx.ASGITransport(app=create_app(self.kernel), raise_app_exceptions=False)
        identity = make_identity(self.kernel, Role.WEBPROXY, "w" * 32)
        self.access = AccessClient("https://access.test", identity, clock=self.clock, transport=transport)
        self._portal = portal(FakeWeb(self.access))  # type: ignore[arg-type]

    def browser(self, token: str) -> httpx.AsyncClient:
        headers = {"cookie": f"__Host-pgs={token}", "origin": ORIGIN, "user-agent": "test"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._portal), base_url=ORIGIN, headers=headers)

    async def furnish(self, account: str, administrator: str, device: str) -> tuple[str, dict[str, str]]:
        """An account with a machine, a service and a worker: its administrator's token, and its names."""
        ids = make_account(self.kernel, account, administrator)
        token, second = full_session(self.kernel, *ids), full_session(self.kernel, *ids)
        worker = make_user(self.kernel, ids[0], f"worker-of-{account}")
        body = {"name": device.title(), "slug": device, "lan": ["192.168.0.0/24"]}
        made = (await self.access.call("POST", "/admin/v1/devices", json=body, session=token))["device"]
        service = {"name": "HMI", "slug": "hmi", "host": "192.168.0.10", "port": 80, "protocol": "http"}
        path = f"/admin/v1/devices/{made['id']}/services"
        row = (await self.access.call("POST", path, json=service, session=token))["service"]
        session = (await self.access.call("GET", "/webproxy/v1/session", session=second))["session_id"]
        names = {
            "account": account, "slug": device, "service": row["id"], "person": worker, "session": session,
            "label": row["host_label"],
        }  # fmt: skip
        return token, names


@pytest.fixture(scope="module")
def fresh_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder made once; tests get copies, which is much faster."""
    folder = tmp_path_factory.mktemp("portal") / "access"
    make_data(folder)
    return folder


@pytest.fixture
async def site(fresh_data: Path, tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(Path(shutil.copytree(fresh_data, tmp_path / "access")))
    yield made
    await made.access.aclose()
    made.kernel.store.close()


async def test_a_page_left_open_ends_its_session_when_its_person_is_away(site: Site) -> None:
    token, names = await site.furnish("acme", "anna", "press")
    live = {"panelgate-live": "1", "hx-request": "true"}
    async with site.browser(token) as browser:
        for path in ("/machines", f"/machines/{names['slug']}", "/activity", "/machines"):
            site.clock.advance(2 * 3600 - 1)
            assert (await browser.get(path, headers=live)).status_code == 200
        site.clock.advance(60)
        over = await browser.get("/machines", headers=live)
        assert (over.status_code, over.headers["hx-redirect"]) == (204, "/sign-in")


async def test_a_person_who_clicks_stays_signed_in_for_a_day_at_most(site: Site) -> None:
    token, _ = await site.furnish("acme", "anna", "press")
    async with site.browser(token) as browser:
        for _ in range(3):
            site.clock.advance(7 * 3600)
            assert (await browser.get("/machines")).status_code == 200
        site.clock.advance(3 * 3600 + 60)
        assert (await browser.get("/machines")).status_code == 303


# Row H2, the pages' half: every address that names something. (The API's half is tests/access/test_isolation.py.)
PAGES: list[tuple[str, str, dict[str, str] | None]] = [
    ("GET", "/machines/{slug}", None),
    ("GET", "/machines/{slug}/edit", None),
    ("POST", "/machines/{slug}/edit", {"name": "Taken", "lan": "192.168.0.0/24"}),
    ("POST", "/machines/{slug}/remove", {}),
    ("POST", "/machines/{slug}/release", {}),
    ("GET", "/machines/{slug}/connect", None),
    ("POST", "/machines/{slug}/connect", {}),
    ("GET", "/machines/{slug}/services/new", None),
    ("POST", "/machines/{slug}/services/new", FORM),
    ("GET", "/machines/{slug}/services/{service}", None),
    ("POST", "/machines/{slug}/services/{service}", FORM),
    ("POST", "/machines/{slug}/services/{service}/remove", {}),
    ("POST", "/machines/{slug}/services/{service}/keep", {}),
    ("GET", "/machines/{slug}/services/{service}/certificate", None),
    ("POST", "/machines/{slug}/services/{service}/certificate", {"do": "look"}),
    ("POST", "/machines/{slug}/services/{service}/certificate", {"do": "trust", "fingerprint": "ab" * 32}),
    ("GET", "/people/{person}", None),
    ("POST", "/people/{person}", {"display_name": "Taken", "role": "administrator"}),
    ("POST", "/people/{person}/disable", {}),
    ("POST", "/people/{person}/remove", {}),
    ("POST", "/people/{person}/reset-factor", {}),
    ("POST", "/people/{person}/unlock", {}),
    ("POST", "/people/{person}/grants", {"all": "manage"}),
    ("POST", "/settings/sessions/{session}/end", {}),
    ("GET", "/{account}/{slug}", None),
    ("GET", "/{account}/{slug}/hmi/x", None),
    ("GET", "/{account}/{slug}/proxy/192.168.0.10/x", None),
    ("GET", "/launch?host={label}&n=" + "a" * 64 + "&state=s1", None),
]
NOWHERE = {
    "account": "nobody", "slug": "nowhere", "service": "2" * 32, "person": "0" * 32, "session": "3" * 32,
    "label": "hmi--nowhere--nobody",
}  # fmt: skip


def test_the_table_has_every_address_that_names_something() -> None:
    named = {getattr(route, "path", "") for route in routes if "{" in getattr(route, "path", "")}
    shape = {path.partition("?")[0].replace("{service}", "{id}") for _, path, _ in PAGES}
    shape = {path.replace("{person}", "{id}").replace("{session}", "{id}") for path in shape}
    links = {"/{account}/{device}", "/{account}/{device}/{rest:path}"}
    assert named - links - {"/static/{path:path}", "/{unknown:path}"} <= shape


@pytest.mark.parametrize(("method", "path", "form"), PAGES)
async def test_what_is_anothers_is_not_there(site: Site, method: str, path: str, form: dict[str, str] | None) -> None:
    token, own = await site.furnish("acme", "anna", "press")
    theirs, foreign = await site.furnish("zeta", "zoe", "saw")
    seen = {}
    async with site.browser(token) as browser, site.browser(theirs) as victim:

        async def state() -> list[str]:
            pages = ("/machines/saw", f"/people/{foreign['person']}", "/people", "/settings")
            return [(await victim.get(page)).text for page in pages]

        before = await state()
        # All names foreign; a foreign id under an own machine; nothing of the kind at all.
        for kind, names in (
            ("foreign", foreign), ("mixed", foreign | {"slug": own["slug"], "account": own["account"]}),
            ("unknown", NOWHERE),
        ):  # fmt: skip
            if kind == "mixed" and not any("{" + word + "}" in path for word in ("service", "person", "session")):
                continue
            answer = await browser.request(method, path.format(**names), data=form)
            assert answer.status_code == 404, (kind, answer.status_code)
            seen[kind] = answer.text
        assert await state() == before
    assert all(name not in seen["foreign"] for name in ("Zeta", "Saw", "zoe"))
