"""Joining over the API, ticket keys, renewal."""

from __future__ import annotations

from typing import Any

from access import joining
from access.kernel import Kernel
from panelgate.pki import Identity, Role, from_pem, make_csr, make_key, peer_of
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import Api


def body(kernel: Kernel, role: Role = Role.RELAY) -> dict[str, Any]:
    with kernel.store.operator(write=True) as unit:
        token, _ = joining.new_token(unit, kernel.authority.certificate, role)
    return {"token": token, "role": str(role), "csr": make_csr(make_key()), "dns_names": ["relay.example.com"]}


async def test_a_joined_relay_may_call_at_once(api: Api, plant: Plant) -> None:
    given = body(plant.kernel)
    key = make_key()
    answer = await api.as_role(None).post("/v1/join", given | {"csr": make_csr(key)})
    assert from_pem(answer["ca"]) == plant.kernel.authority.certificate
    certificate = from_pem(answer["certificate"])
    relay = api.as_role(Identity(Role.RELAY, answer["id"], key, certificate, from_pem(answer["ca"])))
    assert plant.verifier().key_ids == {row["kid"] for row in (await relay.get("/v1/ticket-keys"))["keys"]}
    made = await relay.post("/relay/v1/register", {"url": "wss://relay.example.com", "version": "0.1.0"})
    assert made == {"relay_id": answer["id"], "report_seconds": 5}
    renewed = await relay.post("/v1/renew", {"csr": make_csr(make_key()), "dns_names": ["relay.example.com"]})
    assert peer_of(from_pem(renewed["certificate"])).id == answer["id"]


async def test_a_token_is_used_once(api: Api, kernel: Kernel) -> None:
    given = body(kernel)
    await api.as_role(None).post("/v1/join", given)
    assert await api.as_role(None).refused("POST", "/v1/join", given) == (403, "token_used")
    assert await api.as_role(None).refused("POST", "/v1/join", given | {"token": "x"}) == (400, "bad_key")


async def test_ticket_keys_are_for_the_installations_roles(api: Api, plant: Plant) -> None:
    assert await api.as_role(None).refused("GET", "/v1/ticket-keys") == (401, "bad_assertion")
    keys = (await api.get("/v1/ticket-keys"))["keys"]
    assert keys
    assert all("d" not in key for key in keys)
