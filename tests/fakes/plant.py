"""A whole tunnel in one process: fake access server, real relay and agent, a web proxy's side, a device that echoes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from agent.backoff import Backoff
from agent.enrol import Wish, enrol
from agent.loop import Agent
from agent.policy import OwnerPolicy, parse_networks
from agent.state import State
from panelgate.access_client import AccessClient
from panelgate.circuit import Circuit, open_circuit
from panelgate.pki import Identity
from panelgate.stream import StreamReset
from panelgate.tickets import CircuitTicket
from relay.limits import LimitValues
from relay.server import Relay
from tests.fakes.access_api import WAIT_SECONDS, FakeAccess, FakeDevice, fake_access


class Echo(asyncio.Protocol):
    """A device that says back what it hears, and ends when the other side has ended."""

    def __init__(self, device: "EchoDevice") -> None:
        self._device = device

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by behaviour, not by class.
        self._transport = cast("asyncio.Transport", transport)
        self._device.transports.append(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._transport.write(b"<eof>")
        self._transport.close()
        return True


class EchoDevice:
    """Listens on an address of its own; `transports` are the connections it got."""

    def __init__(self) -> None:
        self.transports: list[asyncio.Transport] = []
        self.port = 0

    async def start(self, host: str) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(lambda: Echo(self), host, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server


class Browser(asyncio.Protocol):
    """The web proxy's end of a stream: collects, and can be waited for."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.eof = False
        self.over: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def eof_received(self) -> bool:
        self.eof = True
        self._news.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(exc)
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def reset(self) -> StreamReset:
        """How the stream was reset."""
        error = await asyncio.wait_for(self.over, WAIT_SECONDS)
        assert isinstance(error, StreamReset), error
        return error


def at_once(low: float, high: float) -> float:
    """A jitter without waiting, for agents that must be quick."""
    return 0.01


class Plant:
    """Everything, with knobs. `service(...)` adds a service before the agent starts or later."""

    HOST = "127.0.99.10"

    def __init__(self, directory: Path, access: FakeAccess, device: EchoDevice) -> None:
        self.directory = directory
        self.access = access
        self.target = device
        self.webproxy = access.webproxy_identity(directory / "webproxy")
        self.device: FakeDevice = access.add_device(lan=["127.0.99.0/24"])
        self.device.services.append(self.row("echo", self.HOST, device.port))
        self.state = State(directory / "agent")
        self.relay: Relay | None = None
        self.relay_port = 0
        self.agent: Agent | None = None
        self._relay_client: AccessClient | None = None
        self._running: dict[str, asyncio.Task[Any]] = {}
        self.limits = LimitValues()

    @staticmethod
    def row(ident: str, host: str, port: int, **changes: Any) -> dict[str, Any]:
        tls = {"verify": "none", "pin": None}
        row = {"id": ident, "slug": ident, "name": ident, "host": host, "port": port, "protocol": "http", "tls": tls}
        return {**row, **changes}

    # Parts

    async def start_relay(self, relay_id: str = "relay-1") -> Relay:
        identity = self.access.relay_identity(self.directory / relay_id, relay_id)
        self._relay_client = AccessClient(self.access.url, identity)
        relay = Relay(identity, self._relay_client, "wss://127.0.0.1:0", values=self.limits)
        await relay.listen("127.0.0.1", self.relay_port)
        self.relay_port = relay.port
        relay.url = relay.reporter.url = f"wss://127.0.0.1:{relay.port}"
        self.relay = relay
        self._running["relay"] = asyncio.get_running_loop().create_task(relay.run())
        await asyncio.wait_for(relay.reporter.ready.wait(), WAIT_SECONDS)
        await self.access.until(lambda: self.access.listening(relay_id))
        return relay

    async def kill_relay(self) -> None:
        """As kill -9 looks from outside: every connection is cut, nobody is told."""
        assert self.relay is not None
        assert self._relay_client is not None
        await self._end("relay")
        self.relay.kill()
        await self._relay_client.aclose()
        self.relay = None

    async def stop_relay(self) -> None:
        assert self.relay is not None
        assert self._relay_client is not None
        await self._end("relay")
        await self.relay.stop()
        await self._relay_client.aclose()
        self.relay = None

    async def enrol(self) -> None:
        wish = Wish(self.device.key, self.access.url, "serial", ("127.0.99.0/24",), True)
        await enrol(wish, self.state)
        self.state.save_owner(OwnerPolicy(parse_networks([self.HOST])))

    async def start_agent(self, name: str = "agent", state: State | None = None) -> Agent:
        agent = Agent(state or self.state, backoff=Backoff(at_once))
        if name == "agent":
            self.agent = agent
        counter = self.device.counter
        self._running[name] = asyncio.get_running_loop().create_task(agent.run())
        await self.online(counter)
        return agent

    async def stop_agent(self, name: str = "agent") -> None:
        await self._end(name)

    async def online(self, after: int = 0) -> None:
        """Wait until the device is reported up with a counter above `after`."""
        await self.access.until(
            lambda: any(row["state"] == "up" and row["counter"] > after for row in self.access.presence)
        )

    async def stop(self) -> None:
        for name in [name for name in self._running if name != "relay"]:
            await self._end(name)
        if self.relay is not None:
            await self.stop_relay()

    async def _end(self, name: str) -> None:
        task = self._running.pop(name)
        task.cancel()
        await asyncio.wait([task])

    # The web proxy's side

    def ticket(self, **changes: Any) -> CircuitTicket:
        return self.access.circuit_ticket(self.device, self.webproxy, **changes)

    async def circuit(
        self, ticket: CircuitTicket | None = None, *, identity: Identity | None = None, circuit_id: str | None = None
    ) -> Circuit:
        ticket = ticket or self.ticket()
        return await open_circuit(
            relay_url=f"wss://127.0.0.1:{self.relay_port}",
            circuit_id=circuit_id or ticket.circuit_id,
            ticket=self.access.sign(ticket),
            identity=identity or self.webproxy,
            agent_id=self.device.id,
            agent_fingerprint=self.device.fingerprints[-1],
            timeout=WAIT_SECONDS,
        )


@asynccontextmanager
async def plant(directory: Path, *, run: bool = True) -> AsyncIterator[Plant]:
    """A plant with its relay and agent running, unless told otherwise; all of it is stopped at the end."""
    async with fake_access(directory) as access:
        access.report_seconds = 0.2
        target = EchoDevice()
        server = await target.start(Plant.HOST)
        found = Plant(directory, access, target)
        try:
            if run:
                await found.start_relay()
                await found.enrol()
                await found.start_agent()
            yield found
        finally:
            await found.stop()
            server.close()
            for transport in target.transports:
                transport.abort()
            await server.wait_closed()
