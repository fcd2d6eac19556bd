"""The fake access server keeps its promises: it is what the other tests of relay and agent lean on."""

from pathlib import Path

import pytest

from panelgate.access_client import AccessClient
from panelgate.errors import Refused, Unavailable
from panelgate.pki import make_csr, make_key
from panelgate.tickets import Verifier
from tests.fakes.access_api import fake_access


async def test_a_relay_registers_and_hears_events(tmp_path: Path) -> None:
    async with fake_access(tmp_path) as access:
        identity = access.relay_identity(tmp_path / "relay")
        async with AccessClient(access.url, identity) as client:
            answer = await client.call("POST", "/relay/v1/register", json={"url": "wss://r", "version": "1"})
            assert answer["relay_id"] == "relay-1"
            events = client.events("/relay/v1/events")
            assert await anext(events) == {"type": "ping"}
            access.send("relay-1", {"type": "device.cut", "device_id": "d1"})
            assert (await anext(events))["device_id"] == "d1"
            await events.aclose()  # type: ignore[attr-defined]
            assert access.asked("/relay/v1/register") == [{"url": "wss://r", "version": "1"}]


async def test_callers_must_prove_who_they_are(tmp_path: Path) -> None:
    async with fake_access(tmp_path) as access, AccessClient(access.url, ca=access.authority.certificate) as client:
        with pytest.raises(Refused):
            await client.call("GET", "/v1/ticket-keys")


async def test_enrolment_works_once_and_tickets_verify(tmp_path: Path) -> None:
    async with fake_access(tmp_path) as access, AccessClient(access.url, ca=access.authority.certificate) as client:
        device = access.add_device()
        body = {"key": device.key, "csr": make_csr(make_key()), "lan": []}
        answer = await client.call("POST", "/agent/v1/enrol", json=body)
        assert Verifier(answer["ticket_keys"]).config(answer["config"])["device_id"] == device.id
        with pytest.raises(Refused):
            await client.call("POST", "/agent/v1/enrol", json=body)


async def test_down_and_up_again(tmp_path: Path) -> None:
    async with fake_access(tmp_path) as access, AccessClient(access.url, ca=access.authority.certificate) as client:
        assert "BEGIN CERTIFICATE" in await client.text("/v1/ca")
        await access.down()
        with pytest.raises(Unavailable):
            await client.text("/v1/ca")
        await access.up()
        assert "BEGIN CERTIFICATE" in await client.text("/v1/ca")
