"""One stream as an asyncio transport, over a circuit that only writes down what it is asked."""

import asyncio
from typing import Any, cast

import pytest

from panelgate import stream as streams
from panelgate.circuit import Circuit
from panelgate.frames import StreamError
from panelgate.stream import Stream, StreamReset
from tests.fakes.tunnel import SECONDS, Recorder


class FakeCircuit:
    """Takes `room` bytes at once and keeps the rest pending until told otherwise."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.queued = 0
        self.held = False
        self.eaten = 0

    def send(self, stream: Stream, data: bytes) -> None:
        self.calls.append(("send", bytes(data)))
        self.queued += len(data) if self.held else 0
        stream.check_writer()

    def finish(self, stream: Stream) -> None:
        self.calls.append(("finish",))

    def reset(self, stream: Stream, code: int, text: str) -> None:
        self.queued = 0
        self.calls.append(("reset", code, text))

    def pending(self, stream: Stream) -> int:
        return self.queued

    def consumed(self, stream: Stream, count: int) -> None:
        self.eaten += count

    def forget(self, stream: Stream) -> None:
        self.calls.append(("forget",))


def make(protocol: asyncio.Protocol | None) -> tuple[FakeCircuit, Stream]:
    circuit = FakeCircuit()
    return circuit, Stream(cast("Circuit", circuit), 1, "hmi", protocol)


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_data_is_delivered_and_consumed_at_once() -> None:
    recorder = Recorder()
    circuit, stream = make(recorder)
    stream.got_data(b"one")
    assert (recorder.data, circuit.eaten) == (b"one", 3)
    assert stream.get_extra_info("service") == "hmi"
    assert stream.get_protocol() is recorder


async def test_a_paused_stream_keeps_data_and_is_not_credited() -> None:
    recorder = Recorder()
    circuit, stream = make(recorder)
    stream.pause_reading()
    assert not stream.is_reading()
    stream.got_data(b"one")
    stream.got_data(b"two")
    stream.got_eof()
    assert (recorder.data, recorder.eof, circuit.eaten) == (b"", False, 0)
    stream.resume_reading()
    stream.got_data(b"three")
    await turns()
    assert (recorder.data, recorder.eof, circuit.eaten) == (b"onetwothree", True, 11)


async def test_data_waits_for_a_protocol() -> None:
    circuit, stream = make(None)
    stream.got_data(b"early")
    stream.got_eof()
    recorder = Recorder(keep=True)
    stream.set_protocol(recorder)
    await turns()
    assert (recorder.data, recorder.eof, circuit.eaten) == (b"early", True, 5)


async def test_a_stream_that_is_lost_before_it_has_a_protocol_tells_it() -> None:
    _, stream = make(None)
    stream.got_reset(StreamReset(StreamError.TIMEOUT, "gone"))
    await turns()
    recorder = Recorder()
    stream.set_protocol(recorder)
    await recorder.until(lambda r: r.lost)
    assert isinstance(recorder.error, StreamReset)


async def test_eof_without_keeping_open_closes() -> None:
    recorder = Recorder()
    circuit, stream = make(recorder)
    stream.got_eof()
    assert circuit.calls == [("finish",), ("forget",)]
    await turns()
    assert (recorder.lost, recorder.error) == (True, None)


async def test_close_sends_what_is_queued_and_says_that_nobody_reads() -> None:
    recorder = Recorder()
    circuit, stream = make(recorder)
    circuit.held = True
    stream.write(b"last words")
    stream.close()
    stream.close()
    stream.write(b"dropped")
    assert circuit.calls == [("send", b"last words"), ("finish",)]
    stream.got_data(b"ignored, and credited")
    assert circuit.eaten == 21
    circuit.queued = 0
    stream.check_writer()
    assert circuit.calls[2:] == [("reset", StreamError.CLOSED, ""), ("forget",)]
    await turns()
    assert (recorder.lost, recorder.error, recorder.data) == (True, None, b"")
    stream.close()
    stream.abort()


async def test_a_reader_that_never_reads_the_last_bytes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LINGER_SECONDS", 0.01)
    recorder = Recorder()
    circuit, stream = make(recorder)
    circuit.held = True
    stream.write(b"last words")
    stream.close()
    await recorder.until(lambda r: r.lost)
    assert ("reset", StreamError.TIMEOUT, "not read") in circuit.calls


async def test_half_close() -> None:
    circuit, stream = make(Recorder())
    assert stream.can_write_eof()
    stream.write_eof()
    stream.write_eof()
    assert circuit.calls == [("finish",)]
    with pytest.raises(RuntimeError):
        stream.write(b"x")


async def test_a_reset_ends_with_its_reason() -> None:
    recorder = Recorder()
    _, stream = make(recorder)
    stream.pause_reading()
    stream.got_data(b"never read")
    stream.got_reset(StreamReset(StreamError.CONNECTION_REFUSED, "127.0.0.1:80"))
    await turns()
    assert isinstance(recorder.error, StreamReset)
    assert (recorder.error.code, recorder.error.text) == (StreamError.CONNECTION_REFUSED, "127.0.0.1:80")
    assert str(recorder.error) == "CONNECTION_REFUSED: 127.0.0.1:80"
    assert str(StreamReset(77)) == "code 77"


async def test_a_reset_behind_a_fin_does_not_cost_what_came_before() -> None:
    recorder = Recorder(keep=True)
    circuit, stream = make(recorder)
    stream.pause_reading()
    stream.got_data(b"all of it")
    stream.got_eof()
    stream.got_reset(StreamReset(StreamError.CLOSED))
    stream.write(b"nobody reads this")
    stream.write_eof()
    await turns()
    assert not recorder.lost
    stream.resume_reading()
    await recorder.until(lambda r: r.lost)
    assert (recorder.data, recorder.eof) == (b"all of it", True)
    assert isinstance(recorder.error, StreamReset)
    assert circuit.calls == [("forget",)]


async def test_the_writer_is_paused_and_resumed_at_the_marks() -> None:
    recorder = Recorder()
    circuit, stream = make(recorder)
    circuit.held = True
    stream.set_write_buffer_limits(high=100)
    assert stream.get_write_buffer_limits() == (25, 100)
    stream.writelines([b"x" * 60, b"x" * 60])
    assert recorder.paused
    assert stream.get_write_buffer_size() == 120
    circuit.queued = 26
    stream.check_writer()
    assert recorder.paused
    circuit.queued = 25
    stream.check_writer()
    assert not recorder.paused
    stream.set_write_buffer_limits(low=10)
    assert stream.get_write_buffer_limits() == (10, 40)
    stream.set_write_buffer_limits()
    with pytest.raises(ValueError, match="high"):
        stream.set_write_buffer_limits(high=1, low=2)


@pytest.mark.parametrize("method", ["data_received", "eof_received", "pause_writing", "connection_lost"])
@pytest.mark.parametrize("late", [False, True])
async def test_an_exception_in_a_protocol_resets_its_stream_and_nothing_else(method: str, late: bool) -> None:
    class Buggy(Recorder):
        pass

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    setattr(Buggy, method, fail)
    circuit, stream = make(Buggy(keep=True))
    circuit.held = True
    if late:
        stream.pause_reading()
    stream.got_data(b"x")
    stream.got_eof()
    if late:
        stream.resume_reading()
        await turns()
    stream.write(b"x" * 1_000_000)
    if method == "connection_lost":
        stream.abort()
    async with asyncio.timeout(SECONDS):
        await turns()
    assert circuit.calls[-1] == ("forget",)
    assert circuit.calls[-2][0] == "reset"
