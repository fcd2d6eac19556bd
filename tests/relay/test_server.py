"""Who is let in at the relay's door; circuits with an agent behind them are in tests/flows."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panelgate import assertion
from panelgate.carrier import Carrier, connect
from panelgate.errors import PanelgateError
from panelgate.pki import Identity, Role
from panelgate.tickets import ControlTicket
from tests.fakes.access_api import WAIT_SECONDS
from tests.fakes.plant import Plant, plant

TIMEOUT = 5.0


class Handler:
    """Remembers messages and the end of a carrier."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.over: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def carrier_data(self, data: bytes) -> None:
        """Nothing."""

    def carrier_message(self, text: str) -> None:
        self.messages.put_nowait(json.loads(text))

    def carrier_closed(self, exc: Exception | None) -> None:
        self.over.set_result(exc)

    def carrier_pause(self) -> None:
        """Nothing."""

    def carrier_resume(self) -> None:
        """Nothing."""


class Door:
    """A running relay and an agent's identity, to knock with."""

    def __init__(self, site: Plant) -> None:
        self.site = site
        self.agent = site.access.authority.new_identity(Role.AGENT, "d1")
        self.url = f"wss://127.0.0.1:{site.relay_port}"

    def ticket(self, **changes: Any) -> ControlTicket:
        usual = ControlTicket("d1", self.agent.fingerprint, "relay-1", 1, self.site.access.clock.now() + 60)
        return replace(usual, **changes)

    async def knock(
        self, ticket: ControlTicket | None = None, *, identity: Identity | None = None, path: str = "/v1/control",
        headers: dict[str, str] | None = None,
    ) -> tuple[Carrier, Handler]:  # fmt: skip
        now = self.site.access.clock.now()
        handler = Handler()
        signed = self.site.access.signer.control(ticket or self.ticket(), min(now, (ticket or self.ticket()).expires))
        usual = {
            "Panelgate-Ticket": signed,
            assertion.HEADER: assertion.sign(identity or self.agent, "GET", "/v1/control", now),
        }
        carrier = await connect(
            self.url + path, ssl=self.agent.client_context(), headers=usual if headers is None else headers,
            protocol=handler, timeout=TIMEOUT, messages=True,
        )  # fmt: skip
        return carrier, handler

    async def refused(self, code: str, **arguments: Any) -> None:
        with pytest.raises(PanelgateError) as refused:
            await self.knock(**arguments)
        assert refused.value.code == code

    async def get(self, path: str) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.site.relay_port, ssl=self.agent.client_context()
        )
        writer.write(f"GET {path} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), TIMEOUT)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with plant(tmp_path, run=False) as site:
        await site.start_relay()
        yield Door(site)


async def test_an_agent_with_its_ticket_is_let_in_and_told_of_the_end(door: Door) -> None:
    _, handler = await door.knock()
    await door.site.stop_relay()
    assert await asyncio.wait_for(handler.messages.get(), TIMEOUT) == {"type": "leave", "reason": "shutdown"}
    await asyncio.wait_for(handler.over, WAIT_SECONDS)


async def test_control_tickets(door: Door) -> None:
    await door.refused("wrong_relay", ticket=door.ticket(relay_id="relay-2"))
    await door.refused("ticket_expired", ticket=door.ticket(expires=door.site.access.clock.now() - 60))
    await door.refused("no_ticket", headers={})
    await door.refused("bad_ticket", headers={"Panelgate-Ticket": "x.y.z"})


async def test_a_copied_ticket_is_worth_nothing_without_the_key(door: Door) -> None:
    thief = door.site.access.authority.new_identity(Role.AGENT, "d1")
    await door.refused("wrong_agent", identity=thief)
    webproxy = door.site.access.authority.new_identity(Role.WEBPROXY, "d1")
    await door.refused("wrong_agent", identity=webproxy)


async def test_an_older_connect_is_refused_and_a_newer_one_replaces(door: Door) -> None:
    _, first = await door.knock(door.ticket(counter=5))
    await door.refused("old_counter", ticket=door.ticket(counter=5))
    await door.refused("old_counter", ticket=door.ticket(counter=4))
    carrier, _ = await door.knock(door.ticket(counter=6))
    assert await asyncio.wait_for(first.messages.get(), TIMEOUT) == {"type": "leave", "reason": "replaced"}
    await asyncio.wait_for(first.over, WAIT_SECONDS)
    assert carrier.is_open


async def test_unknown_paths_and_joins(door: Door) -> None:
    await door.refused("not_found", path="/v1/other")
    await door.refused("not_found", path="/v1/circuit/")
    await door.refused("not_found", path="/v1/circuit/" + "x" * 65)
    await door.refused("no_such_circuit", path="/v1/circuit/c1", headers={"Panelgate-Join": "guess"})


async def test_health_and_metrics(door: Door) -> None:
    status, body = await door.get("/health")
    page = json.loads(body)
    assert (status, page["status"], page["devices"]) == (200, "ok", 0)
    await door.knock()
    assert json.loads((await door.get("/health"))[1])["devices"] == 1
    status, body = await door.get("/metrics")
    assert status == 200
    assert b"panelgate_relay_devices 1.0" in body
    assert (await door.get("/other"))[0] == 404


async def test_health_tells_a_silent_access_server_while_the_relay_serves_on(door: Door) -> None:
    assert door.site.relay is not None
    reporter = door.site.relay.reporter
    await door.site.access.down()
    reporter.reached_at = door.site.access.clock.now() - 60
    status, body = await door.get("/health")
    assert (status, json.loads(body)["status"]) == (200, "no-access")
    await door.knock()


async def test_before_the_first_keys_nobody_is_let_in(door: Door) -> None:
    assert door.site.relay is not None
    door.site.relay._keys.verifier = None
    await door.refused("relay_starting")
    assert (await door.get("/health"))[0] == 503
