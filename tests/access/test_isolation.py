"""Two accounts, every call, ids swapped: what is another's looks exactly like what is not there at all.

The table below must name every call of the API that works for a signed-in user; a new one that isn't in it fails here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access.app import create_app
from tests.fakes.access_world import PASSWORD, Api, full_session, make_account, make_user

LAN = ["192.168.0.0/24"]
SERVICE = {"name": "HMI", "slug": "hmi", "host": "192.168.0.10", "port": 80, "protocol": "http"}
NOWHERE = {
    "user": "0" * 32, "device": "1" * 32, "service": "2" * 32, "session": "3" * 32, "slug": "nowhere",
    "label": "hmi--nowhere--nobody", "account": "nobody",
}  # fmt: skip
NONCE = "a" * 64

# Calls that name something by id, slug or label. Each works with one's own names, and is a neutral 404 with others'.
CALLS: dict[tuple[str, str], Any] = {
    ("POST", "/webproxy/v1/me/sessions/{session}/revoke"): None,
    ("GET", "/webproxy/v1/devices/{slug}"): None,
    ("POST", "/webproxy/v1/services/{service}/look"): None,
    ("POST", "/webproxy/v1/resolve"): {"account": "{account}", "device": "{slug}", "service": "hmi"},
    ("POST", "/webproxy/v1/handoff"): {"host_label": "{label}", "nonce_hash": NONCE},
    ("GET", "/admin/v1/users/{user}/grants"): None,
    ("PUT", "/admin/v1/users/{user}/grants"): {"all": "see"},
    ("POST", "/admin/v1/users/{user}/reset-factor"): None,
    ("POST", "/admin/v1/users/{user}/unlock"): None,
    ("PATCH", "/admin/v1/users/{user}"): {"display_name": "Other", "password": "another horse"},
    ("PATCH", "/admin/v1/devices/{device}"): {"name": "Other"},
    ("POST", "/admin/v1/devices/{device}/activation-key"): None,
    ("POST", "/admin/v1/devices/{device}/release"): None,
    ("POST", "/admin/v1/devices/{device}/services"): SERVICE | {"slug": "second", "port": 81},
    ("PATCH", "/admin/v1/services/{service}"): {"name": "Other", "password": "geheim"},
    ("POST", "/admin/v1/services/{service}/keep"): None,
    ("DELETE", "/admin/v1/services/{service}"): None,
    ("DELETE", "/admin/v1/devices/{device}"): None,
    ("DELETE", "/admin/v1/users/{user}"): None,
}
# What a call says of one's own things when they are not in the state for it: not that they are not there.
OF_OWN_STATE = {"not_adhoc", "not_enrolled", "wrong_purpose"}
# Bodies that name things beside the path.
INSIDE: list[tuple[str, str, Any]] = [
    ("PUT", "/admin/v1/users/{own_user}/grants", {"devices": {"{device}": "see"}}),
    ("PUT", "/admin/v1/users/{own_user}/grants", {"services": {"{service}": "see"}}),
    ("POST", "/webproxy/v1/resolve", {"account": "{account}", "device": "{slug}"}),
    ("POST", "/webproxy/v1/resolve", {"account": "{account}", "device": "{slug}", "ip": "192.168.0.10", "port": 80}),
]
# Calls of a signed-in user that name nothing: they must not show anything of the other account.
READS = (
    "/webproxy/v1/session", "/webproxy/v1/me", "/webproxy/v1/devices", "/admin/v1/users", "/admin/v1/account",
    "/admin/v1/audit",
)  # fmt: skip
# They act on the session's own account by their nature, or are shown isolated by tests of their own modules.
NAMELESS = {
    ("POST", "/webproxy/v1/sign-in/totp"), ("POST", "/webproxy/v1/sign-in/recovery"),
    ("POST", "/webproxy/v1/factor/begin"), ("POST", "/webproxy/v1/factor/confirm"), ("POST", "/webproxy/v1/sign-out"),
    ("POST", "/webproxy/v1/me/password"), ("POST", "/webproxy/v1/me/recovery-codes"), ("POST", "/admin/v1/users"),
    ("PATCH", "/admin/v1/account"), ("GET", "/admin/v1/audit/verify"), ("POST", "/admin/v1/devices"),
}  # fmt: skip


def fill(value: Any, names: dict[str, str]) -> Any:
    """`value` with {name} replaced in all its texts."""
    text = json.dumps(value)
    for name, real in names.items():
        text = text.replace("{" + name + "}", real)
    return json.loads(text)


async def furnish(api: Api, account: str, administrator: str, device: str) -> tuple[str, dict[str, str]]:
    """An account with one of everything: its administrator's token, and the names of its things."""
    ids = make_account(api.kernel, account, administrator)
    token, other = full_session(api.kernel, *ids), full_session(api.kernel, *ids)
    user = make_user(api.kernel, ids[0], f"worker-of-{account}")
    made = await api.post("/admin/v1/devices", {"name": device, "slug": device, "lan": LAN}, session=token)
    path = f"/admin/v1/devices/{made['device']['id']}/services"
    service = (await api.post(path, SERVICE, session=token))["service"]
    session = (await api.get("/webproxy/v1/session", session=other))["session_id"]
    return token, {
        "user": user, "device": made["device"]["id"], "service": service["id"], "session": session, "slug": device,
        "label": service["host_label"], "account": account,
    }  # fmt: skip


@pytest.fixture
async def acme(api: Api) -> tuple[str, dict[str, str]]:
    return await furnish(api, "acme", "anna", "press")


@pytest.fixture
async def zeta(api: Api) -> tuple[str, dict[str, str]]:
    return await furnish(api, "zeta", "zoe", "saw")


def test_the_table_names_every_call(api: Api) -> None:
    document = create_app(api.kernel).openapi()
    signed_in = set()
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            if any(p["name"] == "Panelgate-Session" for p in call.get("parameters", [])):
                signed_in.add((method.upper(), path.replace("_id}", "}")))
    assert signed_in == CALLS.keys() | NAMELESS | {("GET", path) for path in READS}


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_ids_of_another_account_are_not_there(
    api: Api, acme: tuple[str, dict[str, str]], zeta: tuple[str, dict[str, str]], method: str, path: str
) -> None:
    token, own = acme
    body = CALLS[method, path]
    foreign = await api.call(method, fill(path, zeta[1]), fill(body, zeta[1]), session=token)
    unknown = await api.call(method, fill(path, NOWHERE), fill(body, NOWHERE), session=token)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content
    assert {k: v for k, v in foreign.headers.items() if k != "date"} == dict(unknown.headers)
    # And the same call with one's own names works, so the 404 was not about something else.
    answer = await api.call(method, fill(path, own), fill(body, own), session=token)
    assert answer.status_code == 200 or answer.json()["error"]["code"] in OF_OWN_STATE


@pytest.mark.parametrize(("method", "path", "body"), INSIDE)
async def test_ids_inside_bodies(
    api: Api, acme: tuple[str, dict[str, str]], zeta: tuple[str, dict[str, str]], method: str, path: str, body: Any
) -> None:
    token, own = acme
    path = path.replace("{own_user}", own["user"])
    foreign = await api.call(method, path, fill(body, zeta[1]), session=token)
    unknown = await api.call(method, path, fill(body, NOWHERE), session=token)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content
    assert (await api.call(method, path, fill(body, own), session=token)).status_code == 200


@pytest.mark.parametrize("path", READS)
async def test_reading_shows_nothing_of_another_account(
    api: Api, acme: tuple[str, dict[str, str]], zeta: tuple[str, dict[str, str]], path: str
) -> None:
    answer = await api.call("GET", path, session=acme[0])
    assert answer.status_code == 200
    assert not [name for name, value in zeta[1].items() if value in answer.text]
    assert "zoe" not in answer.text


async def test_nothing_of_the_other_account_changed(
    api: Api, acme: tuple[str, dict[str, str]], zeta: tuple[str, dict[str, str]]
) -> None:
    token, _ = acme

    async def state() -> list[Any]:
        return [await api.get(path, session=zeta[0]) for path in READS if path != "/webproxy/v1/me"]

    before = await state()
    for (method, path), body in CALLS.items():
        await api.call(method, fill(path, zeta[1]), fill(body, zeta[1]), session=token)
    assert await state() == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_mixture_of_names_is_refused(api: Api, data: st.DataObject) -> None:
    """Property: whatever mixture of own, foreign and unknown names a call has, a foreign one makes it a 404."""
    world: Any = getattr(api, "world", None)
    if world is None:
        world = (await furnish(api, "acme", "anna", "press"), await furnish(api, "zeta", "zoe", "saw"))
        api.world = world  # type: ignore[attr-defined]
    (token, own), (_, foreign) = world
    method, path = data.draw(st.sampled_from(sorted(CALLS)))
    body = CALLS[method, path]
    used = [name for name in own if "{" + name + "}" in path + json.dumps(body)]
    choice = {name: data.draw(st.sampled_from(["own", "foreign", "unknown"]), label=name) for name in used}
    if "own" in choice.values() and len(set(choice.values())) == 1:
        choice[used[0]] = "foreign"
    source = {"own": own, "foreign": foreign, "unknown": NOWHERE}
    names = {name: source[choice[name]][name] for name in used}
    answer = await api.call(method, fill(path, names), fill(body, names), session=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_signing_in_to_another_account_needs_its_password(api: Api) -> None:
    make_account(api.kernel, "acme", "anna")
    make_account(api.kernel, "zeta", "zoe")
    body = {"account": "zeta", "user": "anna", "password": PASSWORD, "client": {"address": "203.0.113.7"}}
    assert await api.refused("POST", "/webproxy/v1/sign-in", body) == (401, "wrong_credentials")
