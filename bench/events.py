"""An event stream: how much later each event arrives through the whole chain than directly. `make bench-events`."""

from __future__ import annotations

import asyncio
import socket
import statistics
import threading
import time
from urllib.parse import urlsplit

from bench.measure import SECONDS, Goal, compare
from bench.stage import DEVICE, stage

EVERY = 0.02  # s between events
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"


class Source:
    """A device that sends an event with the time (monotonic, one clock for the whole machine) every EVERY seconds."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Source:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, DEVICE, 0))
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            while not writer.is_closing():
                writer.write(b"data: %d\n\n" % time.monotonic_ns())
                await writer.drain()
                await asyncio.sleep(EVERY)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def delay(url: str, *headers: str) -> float:
    """The median delay of events in milliseconds."""
    parts = urlsplit(url)
    delays: list[float] = []
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as reader:
        lines = ["GET /events HTTP/1.1", *(headers or [f"Host: {parts.netloc}"]), "Accept: text/event-stream", "", ""]
        reader.sendall("\r\n".join(lines).encode())
        end, rest = time.monotonic() + SECONDS, b""
        while time.monotonic() < end:
            data = reader.recv(65536)
            now = time.monotonic_ns()
            assert data, "the stream ended"
            *whole, rest = (rest + data).split(b"\n\n")
            # The last one only: what waited for it in this read is no event's own delay, and the head is none.
            if whole and b"data: " in whole[-1]:
                delays.append((now - int(whole[-1].rpartition(b"data: ")[2])) / 1e6)
    assert len(delays) > SECONDS / EVERY / 2, f"only {len(delays)} events"
    return statistics.median(delays)


def main() -> None:
    """Measure."""
    with Source() as source, stage() as s:
        headers = s.service("events", source.port)
        compare(
            "event stream, delay of an event, p50", "directly", "ms", Goal.MORE, 5,
            lambda: delay(s.ours, *headers), lambda: delay(f"http://{DEVICE}:{source.port}"), 3,
        )  # fmt: skip


if __name__ == "__main__":
    main()
