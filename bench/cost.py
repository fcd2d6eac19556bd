"""Processor time for each small request: web proxy, relay and agent together, beside both ends of an OpenSSH tunnel.

Requests a second need a quiet machine; processor time bears a busy one. The ratio is theirs over ours, so more is
better here as well. `make bench-cost`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from bench.measure import SECONDS, compare, wrk
from bench.stage import stage

ROLES = (("webproxy", "serve"), ("relay", "serve"), ("agent", "run"))


def spent(processes: list[psutil.Process]) -> float:
    """Seconds on a processor of each main thread, which does the work; the scheduler counts in nanoseconds."""
    return sum(int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) for process in processes) / 1e9


def per_second(processes: list[psutil.Process], url: str, connections: int, *headers: str) -> float:
    """Requests for each second of processor time."""
    before = spent(processes)
    requests = wrk(url, connections, *headers).requests * SECONDS
    return requests / (spent(processes) - before)


def main() -> None:
    """Measure; shown for comparison, since the tunnel does without HTTP, sign-in and encryption end to end."""
    with stage() as s:
        children = psutil.Process().children(recursive=True)
        chain = [p for p in children for words in ROLES if " ".join(words) in " ".join(p.cmdline())]
        tunnel = [p for p in children if p.name().startswith("ssh")]
        assert len(chain) == len(ROLES), chain

        def ours(path: str, connections: int) -> Callable[[], float]:
            return lambda: per_second(chain, s.ours + path, connections, *s.headers)

        def theirs(path: str, connections: int) -> Callable[[], float]:
            return lambda: per_second(tunnel, s.ssh + path, connections)

        for path, name in (("/1k", "1 KiB"), ("/1m", "1 MiB")):
            for connections in (64, 16):
                compare(
                    f"{name}, {connections} connections, by processor time", "OpenSSH -R",
                    "requests for each second of processor time", 0.0, ours(path, connections),
                    theirs(path, connections), 3,
                )  # fmt: skip


if __name__ == "__main__":
    main()
