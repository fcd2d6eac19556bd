"""The reporter against the fake access server, which goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from panelgate.access_client import AccessClient
from panelgate.clock import Clock
from panelgate.errors import BadInput
from panelgate.tickets import ControlTicket
from relay.control import Controls, Presence
from relay.limits import Budget, LimitValues
from relay.rendezvous import Rendezvous
from relay.report import Keys, Reporter
from tests.fakes.access_api import WAIT_SECONDS, FakeAccess, fake_access
from tests.fakes.relay_carrier import FakeCarrier, FakeTimers


class Table:
    def __init__(self, access: FakeAccess, client: AccessClient) -> None:
        self.access = access
        self.keys = Keys()
        budget = Budget(LimitValues())
        self.rendezvous = Rendezvous(budget, Clock(), FakeTimers().call_later)
        self.reporter = Reporter(
            client, "wss://r", "1", Clock(), self.keys, self.rendezvous, jitter=lambda low, high: 0.01
        )
        self.controls = Controls(LimitValues(), self.reporter.presence, self.rendezvous.refuse)
        self.reporter.controls = self.controls

    def agent(self, counter: int = 1) -> FakeCarrier:
        carrier = FakeCarrier()
        self.controls.add(ControlTicket("d1", "ff", "relay-1", counter, 0), carrier, "192.0.2.1", 0.0)
        return carrier


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Table]:
    async with fake_access(directory) as access:
        access.report_seconds = 0.02
        async with AccessClient(access.url, access.relay_identity(directory / "relay")) as client:
            table = Table(access, client)
            task = asyncio.get_running_loop().create_task(table.reporter.run())
            try:
                await asyncio.wait_for(table.reporter.ready.wait(), WAIT_SECONDS)
                await access.until(lambda: access.listening("relay-1"))
                yield table
            finally:
                task.cancel()
                await asyncio.wait([task])


async def test_it_registers_fetches_keys_and_reports(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        assert table.access.asked("/relay/v1/register") == [{"url": "wss://r", "version": "1"}]
        assert table.keys.verifier is not None
        table.agent()
        await table.access.until(lambda: table.access.reports and table.access.reports[-1]["devices"])
        row = table.access.reports[-1]["devices"][0]
        assert row == {"device_id": "d1", "counter": 1, "address": "192.0.2.1", "since": "1970-01-01T00:00:00Z"}


async def test_presence_goes_out_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        table.agent()
        await table.access.until(lambda: table.access.presence)
        assert table.access.presence[0] == {
            "device_id": "d1", "counter": 1, "state": "up", "address": "192.0.2.1",
        }  # fmt: skip


async def test_a_presence_that_is_not_accepted_sends_the_agent_away(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        table.access.accept_presence = False
        carrier = table.agent()
        await table.access.until(lambda: len(table.access.reports) > 2 and carrier.closed)
        assert carrier.messages == [{"type": "leave", "reason": "replaced"}]


async def test_access_away_and_back(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        keys = table.keys.verifier
        await table.access.down()
        table.agent()
        assert table.keys.verifier is keys
        await table.access.up()
        await table.access.until(lambda: table.access.presence and table.access.listening("relay-1"))
        assert table.access.presence[-1]["state"] == "up"


async def test_only_the_latest_news_of_a_device_waits(tmp_path: Path) -> None:
    async with (
        fake_access(tmp_path) as access,
        AccessClient(access.url, access.relay_identity(tmp_path / "relay")) as client,
    ):
        table = Table(access, client)
        for number in range(5):
            table.reporter.presence(Presence("d1", number, "up", ""))
        assert len(table.reporter._pending) == 1


async def test_cuts_and_configurations_reach_their_device(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        carrier = table.agent()
        table.access.send("relay-1", {"type": "from a later version"})
        table.access.send("relay-1", {"type": "config.changed", "device_id": "d1", "version": 4})
        table.access.send("relay-1", {"type": "config.changed", "device_id": "elsewhere", "version": 4})
        table.access.send("relay-1", {"type": "device.cut", "device_id": "d1", "reason": "released"})
        await table.access.until(lambda: table.access.reports and carrier.closed)
        assert carrier.messages == [{"type": "config", "version": 4}, {"type": "leave", "reason": "revoked"}]


async def test_a_move_is_called_a_move(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        carrier = table.agent()
        table.access.send("relay-1", {"type": "device.cut", "device_id": "d1", "reason": "moved"})
        await table.access.until(lambda: carrier.closed)
        assert carrier.messages == [{"type": "leave", "reason": "moved"}]


async def test_an_access_server_that_forgot_us_is_told_again(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        relay = table.access._relay

        def forgetful(what: str, relay_id: str, data: dict[str, object]) -> dict[str, object]:
            if what == "report":
                raise BadInput("not_registered")
            return relay(what, relay_id, data)

        table.access._relay = forgetful  # type: ignore[method-assign]
        await table.access.until(lambda: len(table.access.asked("/relay/v1/register")) == 2)


async def test_what_the_event_stream_lost_is_cut_by_the_next_report(tmp_path: Path) -> None:
    async with running(tmp_path) as table:
        relay = table.access._relay
        cut: list[str] = []

        def answer(what: str, relay_id: str, data: dict[str, object]) -> dict[str, object]:
            said = relay(what, relay_id, data)
            return {"cut": ["c1", 7], "revoked": ["d1"]} if what == "report" else said

        table.rendezvous.cut = lambda ident, reason: bool(cut.append(f"{ident} {reason}"))  # type: ignore[method-assign]
        table.access._relay = answer  # type: ignore[method-assign]
        carrier = table.agent()
        await table.access.until(lambda: cut and carrier.closed)
        assert set(cut) == {"c1 revoked"}
        assert carrier.messages == [{"type": "leave", "reason": "revoked"}]


async def test_many_circuits_are_named_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.report.CIRCUITS_LIMIT", 2)
    async with running(tmp_path) as table:
        table.rendezvous.ids = lambda: iter(["a", "b", "c"])  # type: ignore[method-assign]
        seen: set[str] = set()
        for _ in range(3):
            some = table.reporter._some_circuits()
            assert len(some) == 2
            seen.update(some)
        assert seen == {"a", "b", "c"}
