"""A circuit without a relay: streams go to real TCP servers on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from panelgate.frames import StreamError


class FakeReset(ConnectionError):
    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class _Leg(asyncio.Protocol):
    def __init__(self, stream: FakeStream) -> None:
        self.stream = stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stream.connected(transport)

    def data_received(self, data: bytes) -> None:
        if not self.stream.gone:
            self.stream.protocol.data_received(data)

    def eof_received(self) -> bool:
        if not self.stream.gone:
            return bool(self.stream.protocol.eof_received())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.stream.lost(FakeReset(StreamError.PEER_RESET) if exc else None)

    def pause_writing(self) -> None:
        self.stream.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.stream.protocol.resume_writing()


class FakeStream(asyncio.Transport):
    def __init__(self, circuit: FakeCircuit, address: tuple[str, int] | FakeReset, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.circuit = circuit
        self.protocol = protocol
        self.gone = False
        self.written = 0
        self.paused = False
        self._early = bytearray()
        self._tcp: Any = None
        loop = asyncio.get_running_loop()
        if isinstance(address, FakeReset):
            loop.call_soon(self.lost, address)
        else:
            self._task = loop.create_task(self._connect(*address))

    async def _connect(self, host: str, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Leg(self), host, port)
        except OSError:
            self.lost(FakeReset(StreamError.CONNECTION_REFUSED))

    def connected(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = transport
        if self.gone:
            self._tcp.abort()
            return
        if self.paused:
            self._tcp.pause_reading()
        if self._early:
            self._tcp.write(bytes(self._early))
            self._early.clear()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.gone, "write after the end"
        self.written += len(data)
        if self._tcp is None:
            self._early += data
        else:
            self._tcp.write(data)

    def pause_reading(self) -> None:
        self.paused = True
        if self._tcp is not None:
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        self.paused = False
        if self._tcp is not None:
            self._tcp.resume_reading()

    def is_closing(self) -> bool:
        return self.gone

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self.gone:
            return
        self.gone = True
        self.circuit.open_streams.discard(self)
        if self._tcp is not None:
            self._tcp.abort()

    def lost(self, exc: Exception | None) -> None:
        if self.gone:
            return
        self.gone = True
        self.circuit.open_streams.discard(self)
        self.protocol.connection_lost(exc)


class FakeCircuit:
    """`targets` maps service ids to (host, port), or to a FakeReset that every stream to it gets."""

    def __init__(self, targets: Mapping[str, tuple[str, int] | FakeReset]) -> None:
        self.targets = targets
        self.is_open = True
        self.closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.open_streams: set[FakeStream] = set()
        self.opened = 0
        self.streams: list[FakeStream] = []

    def open_stream(self, service_id: str, protocol: asyncio.Protocol) -> FakeStream:
        if not self.is_open:
            raise ConnectionError("circuit is closed")
        self.opened += 1
        target = self.targets.get(service_id, FakeReset(StreamError.UNKNOWN_SERVICE))
        stream = FakeStream(self, target, protocol)
        self.open_streams.add(stream)
        self.streams.append(stream)
        return stream

    def close(self, code: int = 0, text: str = "") -> None:
        if not self.is_open:
            return
        self.is_open = False
        for stream in list(self.open_streams):
            leg, stream._tcp = stream._tcp, None
            stream.lost(FakeReset(StreamError.CLOSED, text))
            if leg is not None:
                leg.abort()
        if not self.closed.done():
            self.closed.set_result((code, text))
