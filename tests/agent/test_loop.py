"""The connect loop and renewal against the fake access server; circuits are in tests/flows."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from agent.backoff import Backoff
from agent.loop import Agent, renew_at
from agent.policy import OwnerPolicy
from agent.state import State
from panelgate.errors import BadInput
from panelgate.joining import Held
from panelgate.pki import ROLE_DAYS, Authority, Role
from panelgate.stream import Stream
from tests.fakes.access_api import WAIT_SECONDS
from tests.fakes.plant import Plant, at_once, plant
from tests.fakes.tunnel import eventually


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path, run=False) as found:
        await found.enrol()
        yield found


async def run_until(site: Plant, condition: object) -> Agent:
    """Run an agent until the condition over the access server's view holds."""
    agent = Agent(site.state, backoff=Backoff(at_once))
    task = asyncio.get_running_loop().create_task(agent.run())
    try:
        await site.access.until(lambda: condition(agent))  # type: ignore[operator]
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=WAIT_SECONDS)
    return agent


def test_an_empty_folder_is_not_an_agent(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="activation key"):
        Agent(State(tmp_path))


async def test_without_a_relay_it_asks_again_and_says_why(site: Plant) -> None:
    agent = await run_until(site, lambda _: len(site.access.asked("/agent/v1/connect")) >= 3)
    assert "no relay" in (agent.status.now.last_error or "")
    assert agent.status.now.state == "stopped"


async def test_it_asks_for_its_relay_at_every_connect(site: Plant) -> None:
    await site.start_relay()
    agent = await site.start_agent()
    assert (agent.status.now.state, agent.status.now.relay) == ("online", f"wss://127.0.0.1:{site.relay_port}")
    assert site.relay is not None
    control = site.relay.controls.of(site.device.id)
    assert control is not None
    control.leave("moved")
    await site.online(1)
    assert len(site.access.asked("/agent/v1/connect")) == 2


async def test_a_revoked_agent_says_so(site: Plant) -> None:
    site.device.revoked = True
    agent = await run_until(site, lambda _: len(site.access.asked("/agent/v1/connect")) >= 2)
    assert "withdrawn" in (agent.status.now.last_error or "")


async def test_an_unreachable_relay_is_named(site: Plant) -> None:
    site.access.relays["relay-1"] = "wss://127.0.0.1:1"
    agent = await run_until(site, lambda _: len(site.access.asked("/agent/v1/connect")) >= 2)
    assert "relay can't be reached" in (agent.status.now.last_error or "")


async def test_an_older_configuration_is_not_taken(site: Plant) -> None:
    site.device.version = 5
    agent = Agent(site.state, backoff=Backoff(at_once))
    await agent._fetch_config()
    site.device.version = 4
    site.device.services.clear()
    await agent._fetch_config()
    assert agent.targets.version == 5
    assert agent.targets.service("echo") is not None
    # It is still there after a restart without an access server.
    await site.access.down()
    assert Agent(site.state).targets.version == 5
    await agent._client.aclose()


async def test_a_new_configuration_counts_for_what_is_open(site: Plant) -> None:
    agent = Agent(site.state, backoff=Backoff(at_once))
    await agent._fetch_config()
    near, end = socket.socketpair()
    stream, _ = await asyncio.get_running_loop().create_connection(Held, sock=end)
    near.setblocking(False)
    agent.forwarder.on_stream(cast("Stream", stream), "echo", ("echo",), "c1")
    await eventually(lambda: any(going.joined for going in agent.forwarder._going))
    site.device.version += 1
    site.device.services.clear()
    await agent._fetch_config()
    async with asyncio.timeout(WAIT_SECONDS):
        assert await asyncio.get_running_loop().sock_recv(near, 1) == b""
    assert agent.forwarder.refused == 1
    near.close()
    await agent._client.aclose()


async def test_the_owners_policy_is_read_from_disk(site: Plant) -> None:
    site.state.save_owner(OwnerPolicy(only=()))
    agent = Agent(site.state)
    assert agent.forwarder._owner.only == ()
    await agent._client.aclose()


async def test_a_certificate_is_renewed_at_two_thirds_and_used_at_once(site: Plant) -> None:
    site.access.certificate_days = 1 / 96  # with the hour of backdating, more than two thirds of its life are over
    await site.start_relay()
    key = site.access.add_device("other", lan=["127.0.99.0/24"])
    site.device = key
    await site.enrol()
    first = site.state.identity().fingerprint
    site.access.certificate_days = 90
    await site.start_agent()
    await site.access.until(lambda: len(key.fingerprints) == 2)
    await site.access.until(lambda: len(site.access.asked("/agent/v1/connect")) >= 2)
    assert site.state.identity().fingerprint == key.fingerprints[1] != first


def test_when_to_renew() -> None:
    identity = Authority.create().new_identity(Role.AGENT, "d1")
    start = identity.certificate.not_valid_before_utc.timestamp()
    end = identity.certificate.not_valid_after_utc.timestamp()
    assert start + (end - start) * 0.6 < renew_at(identity) < start + (end - start) * 0.7
    assert end - renew_at(identity) > ROLE_DAYS / 4 * 86400
