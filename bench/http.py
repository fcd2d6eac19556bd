"""Small responses (1 KiB) over kept connections: requests a second through the whole chain.

Beside an OpenSSH reverse tunnel, and beside nginx as a plain reverse proxy without any tunnel. `make bench-http`.
"""

from __future__ import annotations

from bench.measure import compare, wrk
from bench.stage import stage


def main() -> None:
    """Measure; the last line is the comparison that has the goal."""
    with stage() as s:

        def ours(connections: int) -> float:
            return wrk(f"{s.ours}/1k", connections, *s.headers).requests

        compare(
            "1 KiB, 1 connection", "nginx reverse proxy", "requests/s", 0.0,
            lambda: ours(1), lambda: wrk(f"{s.nginx}/1k", 1).requests, 3,
        )  # fmt: skip
        compare(
            "1 KiB, 16 connections", "nginx reverse proxy", "requests/s", 0.0,
            lambda: ours(16), lambda: wrk(f"{s.nginx}/1k", 16).requests, 3,
        )  # fmt: skip
        compare(
            "1 KiB, 64 connections", "OpenSSH -R", "requests/s", 1.0,
            lambda: ours(64), lambda: wrk(f"{s.ssh}/1k", 64).requests,
        )  # fmt: skip
        compare(
            "1 KiB, 16 connections", "OpenSSH -R", "requests/s", 1.0,
            lambda: ours(16), lambda: wrk(f"{s.ssh}/1k", 16).requests,
        )  # fmt: skip


if __name__ == "__main__":
    main()
