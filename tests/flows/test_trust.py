"""Whom an agent trusts, whom a relay and an agent let in, and that no two circuits share a key."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.backoff import Backoff
from agent.loop import Agent
from panelgate import assertion
from panelgate.access_client import AccessClient
from panelgate.carrier import connect
from panelgate.errors import PanelgateError
from panelgate.pki import Authority, Identity, Role, make_csr
from relay.server import CONTROL_PATH
from tests.fakes.access_api import NAMES, WAIT_SECONDS
from tests.fakes.plant import Browser, Plant, at_once, plant


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path, run=False) as found:
        await found.enrol()
        yield found


async def last_error(site: Plant) -> str:
    """What an agent says after it could not connect; it must never have come as far as a relay."""
    agent = Agent(site.state, backoff=Backoff(at_once))
    task = asyncio.get_running_loop().create_task(agent.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while agent.status.now.last_error is None:  # noqa: ASYNC110  # the status announces itself to nobody
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert agent.status.now.state != "online"
    return agent.status.now.last_error


def shown(site: Plant, part: str) -> Identity:
    """A certificate that a server of ours would not have: of another authority, for another name, or expired."""
    authority = Authority.create() if part == "authority" else site.access.authority
    names = ("access.elsewhere.example",) if part == "name" else NAMES
    identity = authority.new_identity(Role.ACCESS, "access", names=names)
    if part == "time":
        # The certificate begins an hour in the past: a day less than that is over.
        old = authority.issue(make_csr(identity.key), Role.ACCESS, "access", names=names, days=-1 / 48)
        identity = Identity(Role.ACCESS, "access", identity.key, old, authority.certificate)
    return identity.save(site.directory / f"wrong-{part}")


@pytest.mark.parametrize("part", ["authority", "name", "time"])
async def test_an_agent_refuses_an_access_server_that_is_not_its_own(site: Plant, part: str) -> None:
    """Row C9, towards the access server."""
    await site.start_relay()
    await site.access.down()
    site.access._context = shown(site, part).server_context()
    await site.access.up()
    before = len(site.access.asked("/agent/v1/connect"))
    said = await last_error(site)
    assert "certificate" in said
    assert len(site.access.asked("/agent/v1/connect")) == before, "nothing was said to it"


@pytest.mark.parametrize("part", ["authority", "name", "time"])
async def test_an_agent_refuses_a_relay_that_is_not_the_installations(site: Plant, part: str) -> None:
    """Row C9, towards the relay: the ticket is not given to it."""
    got: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(65536))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=shown(site, part).server_context())
    site.access.relays["relay-1"] = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert await last_error(site)
    server.close()
    await server.wait_closed()
    assert not any(got)


async def test_a_relay_refuses_an_agent_that_cannot_prove_itself(site: Plant) -> None:
    """Row C10: a control ticket without its owner's certificate, or with a foreign one, opens nothing."""
    await site.start_relay()
    ticket = (await _connect_call(site))["ticket"]
    foreign = Authority.create().new_identity(Role.AGENT, site.device.id).save(site.directory / "foreign")
    stranger = assertion.sign(foreign, "GET", CONTROL_PATH, site.access.clock.now())
    for headers in ({}, {"Panelgate-Ticket": ticket}, {"Panelgate-Ticket": ticket, assertion.HEADER: stranger}):
        with pytest.raises(PanelgateError) as refused:
            await connect(
                f"wss://127.0.0.1:{site.relay_port}{CONTROL_PATH}", ssl=site.webproxy.client_context(),
                headers=headers, protocol=Browser(), timeout=WAIT_SECONDS,  # type: ignore[arg-type]
            )  # fmt: skip
        assert refused.value.status in (400, 401, 403), refused.value
    assert site.relay is not None
    assert len(site.relay.controls) == 0


async def _connect_call(site: Plant) -> dict[str, object]:
    async with AccessClient(site.access.url, site.state.identity()) as access:
        return await access.call("POST", "/agent/v1/connect", json={"version": "1", "lan": []})


async def test_two_circuits_have_different_keys_and_neither_resumes(
    site: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row C11."""
    log = site.directory / "keys.log"
    contexts: list[ssl.SSLContext] = []
    original = Identity.circuit_context

    def noting(self: Identity, *, server: bool) -> ssl.SSLContext:
        context = original(self, server=server)
        if not server:
            context.keylog_filename = str(log)
        contexts.append(context)
        return context

    monkeypatch.setattr(Identity, "circuit_context", noting)
    await site.start_relay()
    await site.start_agent()
    for _ in range(2):
        circuit = await site.circuit()
        browser = Browser()
        circuit.open_stream("echo", browser).write(b"hello")
        await browser.until(lambda got=browser: got.received == b"hello")  # type: ignore[misc]
        circuit.close()
    secrets = [line.split() for line in log.read_text().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0")]
    assert len(secrets) == 2
    assert secrets[0][1] != secrets[1][1], "two handshakes"
    assert secrets[0][2] != secrets[1][2], "two keys"
    for context in contexts:
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
        stats = context.session_stats()
        assert stats["hits"] == 0
