"""A relay in thirty lines, identities, and protocols that remember: what tests of carriers and circuits need."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from panelgate.carrier import Carrier, ServerCarrier
from panelgate.circuit import Circuit, accept_circuit, open_circuit
from panelgate.errors import Refused
from panelgate.pki import Authority, Identity, Role
from panelgate.stream import Stream

SECONDS = 10.0  # the time-out of everything in these tests


@dataclass
class Identities:
    relay: Identity
    webproxy: Identity
    agent: Identity
    stranger: Identity  # an agent of the same installation, but another one


def make_identities(directory: Path) -> Identities:
    authority = Authority.create()

    def make(role: Role, name: str, *names: str) -> Identity:
        return authority.new_identity(role, name, names=names).save(directory / name)

    return Identities(
        make(Role.RELAY, "relay", "localhost", "127.0.0.1"), make(Role.WEBPROXY, "webproxy"),
        make(Role.AGENT, "agent"), make(Role.AGENT, "stranger"),
    )  # fmt: skip


class Half:
    """One side at the fake relay."""

    def __init__(self, carrier: Carrier, path: str) -> None:
        self.carrier = carrier
        self.path = path
        self.other: Half | None = None
        self.early: list[bytes] = []

    def carrier_data(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.carrier.write(data)

    def carrier_message(self, text: str) -> None:
        raise AssertionError(text)

    def carrier_closed(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.carrier.close()

    def carrier_pause(self) -> None:
        if self.other is not None:
            self.other.carrier.pause_reading()

    def carrier_resume(self) -> None:
        if self.other is not None:
            self.other.carrier.resume_reading()


class FakeRelay:
    """Joins the first two who name the same circuit; refuses the circuit "no". `halves` are all that came."""

    def __init__(self) -> None:
        self.url = ""
        self.halves: list[Half] = []
        self.circuits: list[Circuit] = []  # what `make_pair` made
        self._waiting: dict[str, Half] = {}

    def _admit(self, path: str, headers: dict[str, str], carrier: Carrier) -> None:
        if path.endswith("/no"):
            raise Refused("ticket_used", "this ticket has been used", status=403)
        half = Half(carrier, path)
        carrier.use(half)
        self.halves.append(half)
        other = self._waiting.pop(path, None)
        if other is None:
            self._waiting[path] = half
            return
        half.other, other.other = other, half
        for data in other.early:
            carrier.write(data)
        other.early.clear()

    @asynccontextmanager
    async def running(self, identity: Identity) -> AsyncIterator["FakeRelay"]:
        server = await asyncio.get_running_loop().create_server(
            lambda: ServerCarrier(self._admit, lambda path, headers: (200, "text/plain", b"ok")),
            "127.0.0.1", 0, ssl=identity.server_context(),
        )  # fmt: skip
        self.url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            for half in self.halves:
                half.carrier.abort()
            for circuit in self.circuits:
                circuit.carrier_closed(None)
            server.close()
            for _ in range(5):  # sockets are closed a turn or two after their abort
                await asyncio.sleep(0)
            await server.wait_closed()


async def make_pair(
    relay: FakeRelay, who: Identities, on_stream: Callable[[Stream, str], None], name: str = "c1"
) -> tuple[Circuit, Circuit]:
    """Both ends of a circuit through `relay`: the web proxy's and the agent's."""
    async with asyncio.TaskGroup() as group:
        near = group.create_task(
            open_circuit(
                relay_url=relay.url,
                circuit_id=name,
                ticket="ticket",
                identity=who.webproxy,
                agent_id="agent",
                agent_fingerprint=who.agent.fingerprint,
                timeout=SECONDS,
            )
        )
        far = group.create_task(
            accept_circuit(
                relay_url=relay.url,
                circuit_id=name,
                join="join",
                identity=who.agent,
                webproxy_fingerprint=who.webproxy.fingerprint,
                on_stream=on_stream,
                timeout=SECONDS,
            )
        )
    relay.circuits += [near.result(), far.result()]
    return near.result(), far.result()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds; for what announces itself to nobody."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.005)


class Recorder(asyncio.Protocol):
    """Remembers everything; `until` waits for a condition. `keep` is what eof_received answers."""

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self.data = b""
        self.eof = False
        self.lost = False
        self.error: Exception | None = None
        self.paused = False
        self.pauses = 0
        self.transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.eof = True
        self._changed.set()
        return self.keep

    def pause_writing(self) -> None:
        self.paused = True
        self.pauses += 1
        self._changed.set()

    def resume_writing(self) -> None:
        self.paused = False
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.error = True, exc
        self._changed.set()

    async def until(self, condition: Callable[["Recorder"], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()
