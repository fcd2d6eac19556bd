"""What anybody may ask."""

from __future__ import annotations

from panelgate.pki import from_pem
from tests.fakes.access_world import Api, make_account


async def test_health_needs_no_assertion(api: Api) -> None:
    nobody = api.as_role(None)
    health = await nobody.get("/v1/health")
    assert (health["status"], health["setup_needed"]) == ("ok", True)
    make_account(api.kernel, "acme")
    assert (await nobody.get("/v1/health"))["setup_needed"] is False


async def test_the_authority(api: Api) -> None:
    answer = await api.as_role(None).call("GET", "/v1/ca")
    assert from_pem(answer.text) == api.kernel.authority.certificate
    assert answer.headers["content-type"].startswith("text/plain")
