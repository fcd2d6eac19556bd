"""Small responses (1 KiB) over kept connections through the whole chain: requests a second, and the time of one.

Beside an OpenSSH reverse tunnel, and beside nginx as a reverse proxy without any tunnel, by HTTP and by HTTPS.
`make bench-http`.
"""

from __future__ import annotations

from bench.measure import Goal, compare, wrk
from bench.stage import stage


def main() -> None:
    """Measure."""
    with stage() as s:

        def ours(connections: int) -> float:
            return wrk(f"{s.ours}/1k", connections, *s.headers).requests

        compare(
            "1 KiB, 16 connections", "OpenSSH -R", "requests/s", Goal.RATIO, 3.5,
            lambda: ours(16), lambda: wrk(f"{s.ssh}/1k", 16).requests,
        )  # fmt: skip
        compare(
            "1 KiB, 64 connections", "OpenSSH -R", "requests/s", Goal.RATIO, 2.5,
            lambda: ours(64), lambda: wrk(f"{s.ssh}/1k", 64).requests,
        )  # fmt: skip
        compare(
            "1 KiB, 16 connections, HTTPS in front", "nginx HTTPS reverse proxy", "requests/s", Goal.RATIO, 0.4,
            lambda: wrk(f"{s.ours_tls}/1k", 16, *s.headers_tls).requests,
            lambda: wrk(f"{s.nginx_tls}/1k", 16).requests,
        )  # fmt: skip
        compare(
            "1 KiB, 16 connections", "nginx reverse proxy", "requests/s", Goal.SHOWN, 0,
            lambda: ours(16), lambda: wrk(f"{s.nginx}/1k", 16).requests, 3,
        )  # fmt: skip
        compare(
            "1 KiB, 1 connection, p50", "nginx reverse proxy", "ms", Goal.MORE, 0.35,
            lambda: wrk(f"{s.ours}/1k", 1, *s.headers).median_ms, lambda: wrk(f"{s.nginx}/1k", 1).median_ms,
        )  # fmt: skip


if __name__ == "__main__":
    main()
