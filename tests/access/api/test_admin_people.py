"""Administration of people over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from access import audit
from access.models.audit import AuditRow
from access.models.machines import Device, Service
from tests.fakes.access_world import PASSWORD, Api, full_session, make_account, make_user

V1 = "/admin/v1"


class Office:
    """Two accounts; the token of acme's administrator, and of its member bert."""

    def __init__(self, api: Api) -> None:
        self.kernel = api.kernel
        self.account, self.anna = make_account(api.kernel, "acme")
        self.other_account, self.zoe = make_account(api.kernel, "zeta", "zoe")
        self.bert = make_user(api.kernel, self.account, "bert")
        self.token = full_session(api.kernel, self.account, self.anna)
        self.member = full_session(api.kernel, self.account, self.bert)
        self.device, self.service = self.machine(self.account, "press")
        self.other_device, self.other_service = self.machine(self.other_account, "saw")

    def machine(self, account: str, slug: str) -> tuple[str, str]:
        with self.kernel.store.account(account, write=True) as unit:
            device = unit.add(Device(slug=slug, name=slug, created=unit.now))
            label = f"hmi--{slug}--{account[:8]}"
            service = Service(
                device_id=device.id, slug="hmi", name="HMI", host="192.168.0.2", port=80, protocol="http",
                host_label=label, created=unit.now,
            )  # fmt: skip
            return device.id, unit.add(service).id


@pytest.fixture
def office(api: Api) -> Office:
    return Office(api)


async def test_users_from_creation_to_removal(api: Api, office: Office) -> None:
    body = {"user": "Carl", "display_name": "Carl C.", "role": "member", "password": PASSWORD}
    carl = (await api.post(f"{V1}/users", body, session=office.token))["user"]
    assert carl | {"id": ""} == {
        "id": "", "name": "carl", "display_name": "Carl C.", "role": "member", "disabled": False,
        "created": "2027-01-15T08:00:00Z", "last_seen": None, "locked_until": None, "totp_since": None,
        "recovery_codes_left": 0,
    }  # fmt: skip
    assert await api.refused("POST", f"{V1}/users", body, session=office.token) == (409, "user_taken")
    listed = (await api.get(f"{V1}/users", session=office.token))["users"]
    assert [user["name"] for user in listed] == ["anna", "bert", "carl"]
    path = f"{V1}/users/{carl['id']}"
    changed = await api.call("PATCH", path, {"role": "administrator", "disabled": True}, session=office.token)
    assert (changed.json()["user"]["role"], changed.json()["user"]["disabled"]) == ("administrator", True)
    weak = {"password": "carl"}
    assert await api.refused("PATCH", path, weak, session=office.token) == (400, "weak_password")
    assert (await api.call("PATCH", path, {"password": "another horse"}, session=office.token)).status_code == 200
    for action in ("reset-factor", "unlock"):
        assert await api.post(f"{path}/{action}", session=office.token) == {}
    assert (await api.call("DELETE", path, session=office.token)).json() == {}
    assert await api.refused("DELETE", path, session=office.token) == (404, "not_found")


async def test_disabling_ends_the_sessions_at_once(api: Api, office: Office) -> None:
    await api.get("/webproxy/v1/me", session=office.member)
    await api.call("PATCH", f"{V1}/users/{office.bert}", {"disabled": True}, session=office.token)
    assert await api.refused("GET", "/webproxy/v1/me", session=office.member) == (401, "no_session")


async def test_the_last_administrator(api: Api, office: Office) -> None:
    path = f"{V1}/users/{office.anna}"
    for change in ({"role": "member"}, {"disabled": True}):
        assert await api.refused("PATCH", path, change, session=office.token) == (409, "last_administrator")
    assert await api.refused("DELETE", path, session=office.token) == (409, "last_administrator")


async def test_grants(api: Api, office: Office) -> None:
    path = f"{V1}/users/{office.bert}/grants"
    empty = {"all": None, "devices": {}, "services": {}}
    assert await api.get(path, session=office.token) == empty
    body = {"all": "see", "devices": {office.device: "operate"}, "services": {office.service: "manage"}}
    assert (await api.call("PUT", path, body, session=office.token)).json() == body
    assert await api.get(path, session=office.token) == body
    for bad in ({"all": "rule"}, {"devices": {office.device: "administer"}}):
        assert await api.refused("PUT", path, bad, session=office.token) == (400, "bad_level")
    for foreign in ({"devices": {office.other_device: "see"}}, {"services": {office.other_service: "see"}}):
        assert await api.refused("PUT", path, foreign, session=office.token) == (404, "not_found")
    assert await api.get(path, session=office.token) == body
    assert (await api.call("PUT", path, {}, session=office.token)).json() == empty


async def test_the_account(api: Api, office: Office) -> None:
    assert (await api.get(f"{V1}/account", session=office.member))["account"]["slug"] == "acme"
    changed = await api.call("PATCH", f"{V1}/account", {"name": "Acme AG"}, session=office.token)
    assert changed.json()["account"]["name"] == "Acme AG"


async def test_the_audit(api: Api, office: Office) -> None:
    await api.call("PATCH", f"{V1}/users/{office.bert}", {"display_name": "B."}, session=office.token)
    page = await api.get(f"{V1}/audit?limit=1", session=office.token)
    assert page["rows"][0]["action"] == "user.change"
    assert page["rows"][0]["user"] == "anna"
    assert page["rows"][0]["facts"]["display_name"] == ["Bert", "B."]
    rest = await api.get(f"{V1}/audit?limit=100&before={page['next']}", session=office.token)
    assert rest["next"] is None
    assert {row["action"] for row in rest["rows"]} == {"user.create"}
    assert (await api.get(f"{V1}/audit?action=connection", session=office.token))["rows"] == []
    assert len((await api.get(f"{V1}/audit?q=ANN", session=office.token))["rows"]) == 1
    assert await api.refused("GET", f"{V1}/audit?action=coffee", session=office.token) == (400, "bad_action")
    assert await api.refused("GET", f"{V1}/audit?limit=501", session=office.token) == (400, "bad_input")
    assert await api.get(f"{V1}/audit/verify", session=office.token) == {"ok": True, "rows": 3, "first_bad": None}
    with office.kernel.store.operator(write=True) as unit:
        unit.delete(unit.all(AuditRow, AuditRow.chain == office.account, AuditRow.number == 2)[0])
    verdict = await api.get(f"{V1}/audit/verify", session=office.token)
    assert (verdict["ok"], verdict["first_bad"]) == (False, 2)


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/users", None), ("POST", "/users", {"user": "x", "password": PASSWORD}),
    ("PATCH", "/users/{user}", {"disabled": True}), ("DELETE", "/users/{user}", None),
    ("POST", "/users/{user}/reset-factor", None), ("POST", "/users/{user}/unlock", None),
    ("GET", "/users/{user}/grants", None), ("PUT", "/users/{user}/grants", {"all": "manage"}),
    ("PATCH", "/account", {"name": "Mine"}), ("GET", "/audit", None), ("GET", "/audit/verify", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_members_may_not_administer_and_trying_is_recorded(
    api: Api, office: Office, method: str, path: str, body: Any
) -> None:
    path = V1 + path.format(user=office.bert)
    assert await api.refused(method, path, body, session=office.member) == (403, "not_allowed")
    with office.kernel.store.account(office.account) as unit:
        row = audit.page(unit, limit=1)[0][0]
    assert (row.action, row.result, row.user) == ("refused", "refused", "bert")
    assert audit.as_json(row)["facts"]["path"] == path


@pytest.mark.parametrize(("method", "path", "body"), [call for call in CALLS if "{user}" in call[1]])
async def test_users_of_another_account_are_not_there(
    api: Api, office: Office, method: str, path: str, body: Any
) -> None:
    foreign = await api.call(method, V1 + path.format(user=office.zoe), body, session=office.token)
    unknown = await api.call(method, V1 + path.format(user="0" * 32), body, session=office.token)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()
