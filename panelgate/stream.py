"""One byte stream of a circuit, as an asyncio transport.

It behaves like a TCP transport, with three differences that the tunnel needs: it ends with a code and a text
(`StreamReset`), a protocol may be set after data arrived (the data waits), and an exception in the protocol's callbacks
resets this stream and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from panelgate.frames import StreamError
from panelgate.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from panelgate.circuit import Circuit

log = get_logger(__name__)

HIGH_WATER: Final = 256 * 1024  # bytes queued before the writer is paused: one read of a socket fits whole
LINGER_SECONDS: Final = 60.0  # how long a closed stream's last bytes may wait for a reader that has stopped reading


class StreamReset(ConnectionError):
    """The stream ended early; `code` says why, `text` is a short detail for machines."""

    def __init__(self, code: int, text: str = "") -> None:
        name = StreamError(code).name if code in set(StreamError) else f"code {code}"
        super().__init__(f"{name}: {text}" if text else name)
        self.code = code
        self.text = text


class Stream(asyncio.Transport):
    """Made by `Circuit.open_stream` or given to `on_stream`."""

    def __init__(self, circuit: Circuit, ident: int, service: str, protocol: asyncio.Protocol | None) -> None:
        super().__init__({"service": service, "stream_id": ident, "circuit": circuit})
        self.id = ident
        self._circuit = circuit
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        # INVARIANT: what waits here was received and not reported as consumed: at most one window.
        self._waiting: deque[bytes] = deque()
        self._paused = False
        self._got_eof = False  # the other side's FIN came
        self._eof_told = False  # and the protocol knows
        self._sent_eof = False
        self._closing = False
        self._lost = False  # connection_lost was called or is scheduled
        self._after: StreamReset | None = None  # connection_lost's reason, once what waits is read
        self._end: StreamReset | None = None  # connection_lost's reason, once it is lost
        self._linger: asyncio.TimerHandle | None = None
        self._writer_paused = False
        self._delivering = False  # a delivery is scheduled
        self.high_water = HIGH_WATER  # bytes queued from which on the writer is paused
        self._low = HIGH_WATER // 4

    # asyncio.Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is called from now on; what already arrived is delivered soon. Never calls connection_made."""
        self._protocol = cast("asyncio.Protocol", protocol)
        if self._lost:
            self._loop.call_soon(self._tell_lost)
        self._deliver_soon()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is called."""
        return cast("asyncio.BaseProtocol", self._protocol)

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether data is being delivered."""
        return not (self._paused or self._closing)

    def pause_reading(self) -> None:
        """Deliver nothing more; the other side stops when its credit is used up."""
        self._paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._paused:
            self._paused = False
            self._deliver_soon()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue `data`; what is written after a close or a reset is dropped, as with TCP."""
        if self._closing or self._after is not None:
            return
        if self._sent_eof:
            raise RuntimeError("write after write_eof")
        self._circuit.send(self, data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queue them all."""
        for data in list_of_data:
            self.write(data)

    def write_eof(self) -> None:
        """Half-close after what is queued."""
        if not (self._closing or self._sent_eof or self._after):
            self._sent_eof = True
            self._circuit.finish(self)

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes queued and not yet handed to the carrier."""
        return self._circuit.pending(self)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high water mark in bytes."""
        return self._low, self.high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks in bytes; the meaning of None is asyncio's."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError("high must be at least low, and both at least 0")
        self.high_water, self._low = high, low
        self.check_writer()

    def close(self) -> None:
        """Send what is queued, then end; the other side is told to send no more. connection_lost(None) follows."""
        if self._closing:
            return
        self._closing = True
        self._drop_waiting()
        if not self._sent_eof:
            self._sent_eof = True
            self._circuit.finish(self)
        if self._circuit.pending(self):
            # `check_writer` goes on when the queue is empty.
            self._linger = self._loop.call_later(LINGER_SECONDS, self.reset, StreamError.TIMEOUT, "not read")
            return
        self._closed()

    def abort(self) -> None:
        """End at once, without sending what is queued."""
        self.reset(StreamError.CLOSED)

    def reset(self, code: int, text: str = "") -> None:
        """End at once and tell the other side why; connection_lost(None) follows here."""
        if self._lost:
            return
        self._closing = True
        self._drop_waiting()
        self._circuit.reset(self, code, text)
        self._lose(None)

    # What the circuit tells it

    def got_data(self, data: bytes) -> None:
        """DATA arrived."""
        if self._waiting or self._paused or self._protocol is None or self._delivering:
            if self._closing:
                self._circuit.consumed(self, len(data))
            else:
                self._waiting.append(data)
            return
        if not self._closing:
            try:
                self._protocol.data_received(data)
            except Exception as error:  # noqa: BLE001  # whatever a protocol does wrong costs its own stream only
                self._failed(error)
                return
        self._circuit.consumed(self, len(data))

    def got_eof(self) -> None:
        """FIN arrived."""
        self._got_eof = True
        if not (self._closing or self._waiting or self._paused or self._protocol is None or self._delivering):
            self._tell_eof()

    def got_reset(self, error: StreamReset) -> None:
        """RESET arrived, or the circuit ended. What a FIN ended is still delivered."""
        if self._got_eof and not self._eof_told and not self._closing:
            self._after = error
            self._deliver_soon()
            return
        self._closing = True
        self._drop_waiting()
        self._lose(error)

    @property
    def waits_for_room(self) -> bool:
        """Whether `check_writer` has something to do when the queue becomes shorter."""
        return self._writer_paused or self._closing

    def check_writer(self) -> None:
        """The queue became shorter or longer: tell the protocol when a mark was crossed."""
        size = self._circuit.pending(self)
        if self._closing:
            if not size and not self._lost:
                self._closed()
            return
        protocol = self._protocol
        if protocol is None:
            return
        try:
            if self._writer_paused:
                if size <= self._low:
                    self._writer_paused = False
                    protocol.resume_writing()
            elif size > self.high_water:
                self._writer_paused = True
                protocol.pause_writing()
        except Exception as error:  # noqa: BLE001  # whatever a protocol does wrong costs its own stream only
            self._failed(error)

    # Inside

    def _deliver_soon(self) -> None:
        if not self._delivering and (self._waiting or self._got_eof or self._after):
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        waiting = self._waiting
        while waiting and not self._paused and self._protocol is not None and not self._closing:
            data = waiting.popleft()
            try:
                self._protocol.data_received(data)
            except Exception as error:  # noqa: BLE001  # whatever a protocol does wrong costs its own stream only
                self._failed(error)
            self._circuit.consumed(self, len(data))
        self._delivering = False
        if waiting or self._paused or self._protocol is None or self._closing:
            return
        if self._got_eof and not self._eof_told:
            self._tell_eof()
        if self._after is not None and not self._closing:
            self._closing = True
            self._lose(self._after)

    def _tell_eof(self) -> None:
        assert self._protocol is not None  # the callers looked
        self._eof_told = True
        try:
            keep = self._protocol.eof_received()
        except Exception as error:  # noqa: BLE001  # whatever a protocol does wrong costs its own stream only
            self._failed(error)
            return
        if not keep and not self._after:
            self.close()

    def _closed(self) -> None:
        """Everything is sent: nobody reads here any more, and the other side must know."""
        if not self._got_eof:
            self._circuit.reset(self, StreamError.CLOSED, "")
        self._lose(None)

    def _drop_waiting(self) -> None:
        while self._waiting:
            self._circuit.consumed(self, len(self._waiting.popleft()))

    def _failed(self, error: Exception) -> None:
        service = self.get_extra_info("service")
        log.error("stream protocol failed", stream=self.id, service=service, exc_info=error)
        self.reset(StreamError.INTERNAL)

    def _lose(self, error: StreamReset | None) -> None:
        if not self._lost:
            self._lost = True
            self._circuit.forget(self)
            self._end = error
            if self._linger is not None:
                self._linger.cancel()
            self._loop.call_soon(self._tell_lost)

    def _tell_lost(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            try:
                protocol.connection_lost(self._end)
            except Exception:
                log.exception("stream protocol failed", stream=self.id, service=self.get_extra_info("service"))
