"""Circuits through a relay: real sockets, real certificates, both event loops."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from panelgate import circuit as circuits
from panelgate import frames
from panelgate.circuit import Circuit, Stream, StreamReset, _expecting, accept_circuit, open_circuit
from panelgate.errors import Refused, Unavailable
from panelgate.frames import CircuitEnd, Kind, StreamError
from panelgate.mux import Limits, Mux
from panelgate.pki import Peer, Role
from tests.fakes.tunnel import SECONDS, FakeRelay, Identities, Recorder, eventually, make_identities, make_pair


class Echo(asyncio.Protocol):
    """Sends back what comes, with back-pressure."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def data_received(self, data: bytes) -> None:
        self.stream.write(data)

    def pause_writing(self) -> None:
        self.stream.pause_reading()

    def resume_writing(self) -> None:
        self.stream.resume_reading()


class Agent:
    """What the far end does with streams, by the service's name."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.recorders: list[Recorder] = []

    def on_stream(self, stream: Stream, service: str) -> None:
        self.streams.append(stream)
        if service == "echo":
            stream.set_protocol(Echo(stream))
        elif service == "record":
            self.recorders.append(Recorder(keep=True))
            stream.set_protocol(self.recorders[-1])
        elif service == "broken":
            raise RuntimeError("a bug")
        elif service != "later":
            stream.reset(StreamError.UNKNOWN_SERVICE, service)


@pytest.fixture(scope="module")
def who(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("identities"))


@pytest.fixture
async def relay(who: Identities) -> AsyncIterator[FakeRelay]:
    async with FakeRelay().running(who.relay) as relay:
        yield relay


async def ended(circuit: Circuit) -> tuple[int, str]:
    async with asyncio.timeout(SECONDS):
        return await asyncio.shield(circuit.closed)


async def conversation(who: Identities) -> None:
    """Bytes there and back, many streams, both closes: what every event loop must do."""
    agent = Agent()
    async with FakeRelay().running(who.relay) as relay:
        near, far = await make_pair(relay, who, agent.on_stream)
        assert near.peer is not None
        assert (near.peer.id, near.peer.fingerprint) == ("agent", who.agent.fingerprint)
        recorders = [Recorder() for _ in range(10)]
        for number, recorder in enumerate(recorders):
            stream = near.open_stream("echo", recorder)
            assert recorder.transport is stream
            stream.write(bytes([number]) * 500_000)
            stream.write_eof()
        for number, recorder in enumerate(recorders):
            await recorder.until(lambda r: r.lost)
            assert recorder.data == bytes([number]) * 500_000
            assert recorder.error is None
        assert near.bytes_out == near.bytes_in == far.bytes_in == 5_000_000
        assert near.rtt is not None
        assert near.streams == 0
        near.close(CircuitEnd.REVOKED, "session ended")
        assert await ended(far) == (CircuitEnd.REVOKED, "session ended")
        assert await ended(near) == (CircuitEnd.REVOKED, "session ended")
        with pytest.raises(Unavailable):
            near.open_stream("echo", Recorder())
        near.close()


async def test_a_conversation_on_asyncio(who: Identities) -> None:
    await conversation(who)


def test_a_conversation_on_uvloop(who: Identities) -> None:
    uvloop.run(conversation(who))


async def test_refusals_carry_code_and_text(who: Identities, relay: FakeRelay) -> None:
    near, _ = await make_pair(relay, who, Agent().on_stream)
    recorder, broken = Recorder(), Recorder()
    near.open_stream("nothing", recorder)
    near.open_stream("broken", broken)
    await recorder.until(lambda r: r.lost)
    await broken.until(lambda r: r.lost)
    assert isinstance(recorder.error, StreamReset)
    assert (recorder.error.code, recorder.error.text) == (StreamError.UNKNOWN_SERVICE, "nothing")
    assert isinstance(broken.error, StreamReset)
    assert broken.error.code == StreamError.INTERNAL
    assert near.is_open


async def test_a_bug_in_one_stream_leaves_the_others_alone(who: Identities, relay: FakeRelay) -> None:
    class Buggy(Recorder):
        def data_received(self, data: bytes) -> None:
            raise RuntimeError("a bug")

    near, _ = await make_pair(relay, who, Agent().on_stream)
    buggy, good = Buggy(), Recorder()
    near.open_stream("echo", buggy).write(b"x")
    stream = near.open_stream("echo", good)
    await buggy.until(lambda r: r.lost)
    stream.write(b"still here")
    await good.until(lambda r: r.data)
    assert near.is_open


async def test_a_slow_reader_stops_its_writer_and_nobody_else(who: Identities, relay: FakeRelay) -> None:
    agent = Agent()
    near, far = await make_pair(relay, who, agent.on_stream)
    writer, other = Recorder(), Recorder()
    slow = near.open_stream("later", writer)
    async with asyncio.timeout(SECONDS):
        while not writer.paused:
            slow.write(b"x" * 65536)
            await asyncio.sleep(0)
    near.open_stream("echo", other).write(b"y" * 100_000)
    await other.until(lambda r: len(r.data) == 100_000)
    assert writer.paused
    assert far._mux._unread <= 256 * 1024
    sink = Recorder()
    agent.streams[0].set_protocol(sink)
    await writer.until(lambda r: not r.paused)
    slow.close()
    await sink.until(lambda r: r.lost)
    assert len(sink.data) == near.bytes_out - 100_000


async def test_close_delivers_everything_and_abort_says_so(who: Identities, relay: FakeRelay) -> None:
    agent = Agent()
    near, _ = await make_pair(relay, who, agent.on_stream)
    first = near.open_stream("record", Recorder())
    first.write(b"x" * 1_000_000)
    first.close()
    second = near.open_stream("record", Recorder())
    second.write(b"y")
    await eventually(lambda: len(agent.recorders) == 2)
    second.abort()
    for recorder in agent.recorders:
        await recorder.until(lambda r: r.lost)
        assert isinstance(recorder.error, StreamReset)
        assert recorder.error.code == StreamError.CLOSED
    assert len(agent.recorders[0].data) == 1_000_000
    assert agent.recorders[0].eof


async def test_a_lost_carrier_ends_circuit_and_streams(who: Identities, relay: FakeRelay) -> None:
    near, far = await make_pair(relay, who, Agent().on_stream)
    recorder = Recorder()
    near.open_stream("echo", recorder)
    for half in relay.halves:
        half.carrier.abort()
    assert (await ended(near))[0] == (await ended(far))[0] == CircuitEnd.CARRIER
    await recorder.until(lambda r: r.lost)
    assert isinstance(recorder.error, StreamReset)
    assert recorder.error.code == StreamError.CLOSED
    assert not near.is_open


async def test_the_relays_word_is_the_reason(who: Identities, relay: FakeRelay) -> None:
    near, _ = await make_pair(relay, who, Agent().on_stream)
    relay.halves[0].other = None
    relay.halves[1].other = None
    relay.halves[0].carrier.close(1008, "cut_revoked")
    relay.halves[1].carrier.close(1008, "cut_revoked")
    assert await ended(near) == (CircuitEnd.CARRIER, "cut_revoked")


async def open_near(relay: FakeRelay, who: Identities, name: str = "c1", timeout: float = SECONDS) -> Circuit:
    return await open_circuit(
        relay_url=relay.url, circuit_id=name, ticket="t", identity=who.webproxy, agent_id="agent",
        agent_fingerprint=who.agent.fingerprint, timeout=timeout,
    )  # fmt: skip


async def test_a_refused_ticket_and_a_missing_agent(who: Identities, relay: FakeRelay) -> None:
    with pytest.raises(Refused) as refused:
        await open_near(relay, who, "no")
    assert refused.value.code == "ticket_used"
    with pytest.raises(Unavailable) as late:
        await open_near(relay, who, timeout=0.1)
    assert late.value.code == "circuit_timeout"


async def test_the_relay_says_why_the_agent_does_not_come(who: Identities, relay: FakeRelay) -> None:
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_caught(open_near(relay, who)))
        await eventually(lambda: relay.halves)
        relay.halves[0].carrier.close(1013, "agent_timeout")
    error = opening.result()
    assert isinstance(error, Unavailable)
    assert error.code == "agent_timeout"


async def _caught(opening: object) -> BaseException | None:
    try:
        await opening  # type: ignore[misc]
    except BaseException as error:  # noqa: BLE001
        return error
    return None


async def test_somebody_else_at_the_other_end_is_refused(who: Identities, relay: FakeRelay) -> None:
    def impostor(name: str) -> object:
        return accept_circuit(
            relay_url=relay.url, circuit_id=name, join="j", identity=who.stranger,
            webproxy_fingerprint=who.webproxy.fingerprint, on_stream=Agent().on_stream, timeout=SECONDS,
        )  # fmt: skip

    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_caught(open_near(relay, who)))
        group.create_task(_caught(impostor("c1")))
    error = opening.result()
    assert isinstance(error, Refused)
    assert error.code == "wrong_peer"


async def test_the_agent_refuses_another_web_proxy(who: Identities, relay: FakeRelay) -> None:
    accepting = accept_circuit(
        relay_url=relay.url, circuit_id="c1", join="j", identity=who.agent, webproxy_fingerprint="00" * 32,
        on_stream=Agent().on_stream, timeout=SECONDS,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_caught(open_near(relay, who)))
        accepted = group.create_task(_caught(accepting))
    error = accepted.result()
    assert isinstance(error, Refused)
    assert error.code == "wrong_peer"
    assert opening.result() is None or isinstance(opening.result(), Unavailable)  # it may have been up for a moment


async def test_another_installations_certificate_is_refused(who: Identities, relay: FakeRelay, tmp_path: Path) -> None:
    foreign = make_identities(tmp_path)
    mixed = Identities(who.relay, who.webproxy, foreign.agent, who.stranger)
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_caught(open_near(relay, mixed)))
        group.create_task(
            _caught(
                asyncio.wait_for(
                    accept_circuit(
                        relay_url=relay.url.replace("wss", "ws"),
                        circuit_id="c1",
                        join="j",
                        identity=foreign.agent,
                        webproxy_fingerprint=who.webproxy.fingerprint,
                        on_stream=Agent().on_stream,
                        timeout=0.2,
                    ),
                    1.0,
                )
            )
        )
        await eventually(lambda: relay.halves)
        server = Circuit(
            foreign.agent.circuit_context(server=True), initiator=False, check_peer=lambda peer: None,
        )  # fmt: skip
        half = relay.halves[0]
        written: list[bytes] = []

        class Wire:
            """The inner server's carrier: what it writes goes straight to the web proxy."""

            def write(self, data: bytes) -> None:
                written.append(data)
                half.carrier.write(data)

            def close(self) -> None:
                pass

            abort = close

        server.start(Wire())  # type: ignore[arg-type]
        await eventually(lambda: half.early)
        server.carrier_data(b"".join(half.early))
    error = opening.result()
    assert written
    assert isinstance(error, Unavailable)
    assert error.code == "circuit_failed"
    server.close()


async def test_a_peer_that_breaks_the_protocol_is_cut_and_told(who: Identities, relay: FakeRelay) -> None:
    near, far = await make_pair(relay, who, Agent().on_stream)
    near._tls.write(frames.encode(Kind.DATA, 99, b"for a stream that never was"))
    near._send_outgoing()
    assert (await ended(far))[0] == CircuitEnd.PROTOCOL
    assert (await ended(near))[0] == CircuitEnd.PROTOCOL


async def test_garbage_from_the_relay_ends_the_circuit(who: Identities, relay: FakeRelay) -> None:
    near, far = await make_pair(relay, who, Agent().on_stream)
    relay.halves[0].carrier.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    relay.halves[1].carrier.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert (await ended(near))[0] == (await ended(far))[0] == CircuitEnd.TLS


async def test_too_many_streams(who: Identities, relay: FakeRelay) -> None:
    near, _ = await make_pair(relay, who, Agent().on_stream)
    near._mux._limits = Limits(streams=1)
    near.open_stream("echo", Recorder())
    with pytest.raises(Unavailable) as caught:
        near.open_stream("echo", Recorder())
    assert caught.value.code == "too_many_streams"


async def test_a_writer_that_ignores_pause_loses_its_stream(who: Identities, relay: FakeRelay) -> None:
    near, _ = await make_pair(relay, who, Agent().on_stream)
    recorder = Recorder()
    stream = near.open_stream("later", recorder)
    stream.write(bytes(20 * 1024 * 1024))
    await recorder.until(lambda r: r.lost)
    assert near.is_open


async def test_a_silent_peer_is_dead_and_an_idle_one_is_not(
    who: Identities, relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "PING_SECONDS", 0.05)
    monkeypatch.setattr(circuits, "DEAD_SECONDS", 2.5)
    near, far = await make_pair(relay, who, Agent().on_stream)
    near._tick()
    far._tick()
    await asyncio.sleep(0.05)
    heard = near._heard
    await eventually(lambda: near._heard > heard)
    relay.halves[0].other = relay.halves[1].other = HungRelay()
    monkeypatch.setattr(circuits, "DEAD_SECONDS", 0.5)
    assert (await ended(near))[0] == CircuitEnd.DEAD


class HungRelay:
    """A relay that has hung: takes everything, gives nothing."""

    def __init__(self) -> None:
        self.carrier = self

    def write(self, data: bytes) -> None:
        pass

    close = abort = pause_reading = resume_reading = lambda self: None


async def test_an_initiator_takes_no_streams(who: Identities, relay: FakeRelay) -> None:
    near, far = await make_pair(relay, who, Agent().on_stream)
    far._mux = Mux(initiator=True)
    far.open_stream("x", Recorder())
    assert (await ended(near))[0] == CircuitEnd.PROTOCOL


def test_the_right_key_in_the_wrong_role_is_somebody_else() -> None:
    check = _expecting(Role.AGENT, "ab" * 32, "a1")
    check(Peer(Role.AGENT, "a1", "ab" * 32))
    for peer in (
        Peer(Role.RELAY, "a1", "ab" * 32),
        Peer(Role.AGENT, "a2", "ab" * 32),
        Peer(Role.AGENT, "a1", "cd" * 32),
    ):
        with pytest.raises(Refused) as caught:
            check(peer)
        assert caught.value.code == "wrong_peer"
