"""Processor time for each response: all roles together beside both ends of an OpenSSH tunnel, and the web proxy alone.

Requests a second need a quiet machine; processor time bears a busy one. `make bench-cost`.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil

from bench.measure import SECONDS, Goal, compare, judge, wrk
from bench.stage import Stage, spent, stage

# The bare protocol-level proxy of the first trials: no sign-in, no header rules, no audit, the same 1 KiB from nginx
# at 16 connections. Its figure is from another day, so no pair of runs but a constant stands beside ours.
PROTOTYPE_US = 31.0


def cost(processes: list[psutil.Process], url: str, connections: int, *headers: str) -> float:
    """Microseconds on a processor for each response."""
    before = spent(processes)
    requests = wrk(url, connections, *headers).requests * SECONDS
    return (spent(processes) - before) / requests * 1e6


def main() -> None:
    """Measure; the whole is shown for comparison: the tunnel does without HTTP, sign-in and encryption end to end."""
    with stage() as s:
        runs = [cost([s.role("webproxy", "serve")], f"{s.ours}/1k", 16, *s.headers) for _ in range(4)]
        judge(
            "1 KiB, 16 connections: processor time of the web proxy alone", "bare prototype", "µs", Goal.SHARE, 1.5,
            [(run, PROTOTYPE_US) for run in runs[1:]],
        )  # fmt: skip
        for path, name in (("/1k", "1 KiB"), ("/1m", "1 MiB")):
            for connections in (64, 16):
                compare(
                    f"{name}, {connections} connections: processor time of all processes", "OpenSSH -R", "µs",
                    Goal.SHOWN, 0, *_both(s, path, connections), 3,
                )  # fmt: skip


def _both(s: Stage, path: str, connections: int) -> tuple[Callable[[], float], Callable[[], float]]:
    return (
        lambda: cost(s.chain(), s.ours + path, connections, *s.headers),
        lambda: cost(s.tunnel(), s.ssh + path, connections),
    )


if __name__ == "__main__":
    main()
