"""Who may call: assertions, roles, revocation."""

from __future__ import annotations

import pytest

from access import authority
from panelgate import assertion
from panelgate.clock import FakeClock
from panelgate.pki import Authority, Identity, Role, make_csr, make_key
from tests.fakes.access_world import Api, make_identity

PATH = "/webproxy/v1/setup"


async def test_nobody_and_strangers_are_refused(api: Api, clock: FakeClock) -> None:
    assert await api.as_role(None).refused("GET", PATH) == (401, "bad_assertion")
    stranger = Authority.create(clock.now()).new_identity(Role.WEBPROXY, "w" * 32)
    status, code = await api.as_role(stranger).refused("GET", PATH)
    assert (status, code) in {(401, "foreign_certificate"), (403, "foreign_certificate")}


@pytest.mark.parametrize("role", [Role.RELAY, Role.AGENT, Role.ACCESS])
async def test_other_roles_may_not_ask_for_people(api: Api, role: Role) -> None:
    other = api.as_role(make_identity(api.kernel, role, "x" * 32))
    assert await other.refused("GET", PATH) == (403, "wrong_role")
    assert await other.refused("GET", "/admin/v1/users") == (403, "wrong_role")


async def test_a_revoked_certificate_counts_no_more(api: Api) -> None:
    await api.get(PATH)
    with api.kernel.store.operator(write=True) as unit:
        authority.revoke(unit, Role.WEBPROXY, "w" * 32, "test")
    assert await api.refused("GET", PATH) == (401, "certificate_revoked")


async def test_a_certificate_that_was_never_written_down_counts_not(api: Api) -> None:
    key = make_key()
    ca = api.kernel.authority
    certificate = ca.issue(make_csr(key), Role.WEBPROXY, "w" * 32, now=api.kernel.clock.now())
    forged = Identity(Role.WEBPROXY, "w" * 32, key, certificate, ca.certificate)
    assert await api.as_role(forged).refused("GET", PATH) == (401, "certificate_revoked")


async def test_an_assertion_is_for_one_call(api: Api, clock: FakeClock) -> None:
    assert api.identity is not None
    headers = {assertion.HEADER: assertion.sign(api.identity, "GET", PATH, clock.now())}
    assert (await api.http.get(PATH, headers=headers)).status_code == 200
    again = await api.http.get(PATH, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "assertion_replayed")
    headers = {assertion.HEADER: assertion.sign(api.identity, "GET", "/webproxy/v1/me", clock.now())}
    assert (await api.http.get(PATH, headers=headers)).json()["error"]["code"] == "bad_assertion"
    headers = {assertion.HEADER: assertion.sign(api.identity, "GET", PATH, clock.now() - 3600)}
    assert (await api.http.get(PATH, headers=headers)).json()["error"]["code"] == "assertion_expired"
