"""A download of 1 GiB by a reader that takes 1 MB/s: how much web proxy, relay and agent grow together.

What is held grows in the first seconds or never, so the reader goes away after SLOW_SECONDS. `make bench-memory`.
"""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import psutil

from bench.measure import Goal, compare, wrk
from bench.stage import stage

SLOW_SECONDS = 30.0
RATE = 1_000_000  # bytes a second
STEP = 50_000  # bytes at once
MIB = 1024 * 1024


def resident(processes: list[psutil.Process]) -> float:
    """MiB in memory."""
    return sum(process.memory_info().rss for process in processes) / MIB


def growth(processes: list[psutil.Process], url: str, *headers: str) -> float:
    """MiB by which `processes` together were at most larger than before while a slow reader downloaded."""
    parts = urlsplit(url)
    before = most = resident(processes)
    pause = threading.Event()
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as reader:
        lines = [f"GET {parts.path} HTTP/1.1", *(headers or [f"Host: {parts.netloc}"]), "", ""]
        reader.sendall("\r\n".join(lines).encode())
        start, got = time.monotonic(), 0
        while (gone := time.monotonic() - start) < SLOW_SECONDS:
            data = reader.recv(STEP)
            assert data, "the download ended early"
            assert got or data.startswith(b"HTTP/1.1 200"), data[:200]
            got += len(data)
            most = max(most, resident(processes))
            pause.wait(max(0.0, got / RATE - gone))
        assert got > SLOW_SECONDS * RATE * 0.8, f"only {got} bytes"
    return most - before


def main() -> None:
    """Measure once, after both ways were used at full speed: what that needs is not the slow reader's."""
    with stage() as s:
        wrk(f"{s.ours}/1k", 16, *s.headers, seconds=2)
        wrk(f"{s.ssh}/1k", 16, seconds=2)
        compare(
            f"1 GiB to a reader at 1 MB/s: growth in the first {SLOW_SECONDS:.0f} s (goal: less than 16 MiB in all)",
            "nothing", "MiB", Goal.MORE, 16, lambda: growth(s.chain(), f"{s.ours}/huge", *s.headers), lambda: 0.0, 1,
            warm=False,
        )  # fmt: skip
        compare(
            "1 GiB to a reader at 1 MB/s: growth", "OpenSSH -R", "MiB", Goal.SHOWN, 0,
            lambda: max(0.1, growth(s.chain(), f"{s.ours}/huge", *s.headers)),
            lambda: max(0.1, growth(s.tunnel(), f"{s.ssh}/huge")), 1, warm=False,
        )  # fmt: skip


if __name__ == "__main__":
    main()
