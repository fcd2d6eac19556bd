"""Bulk: bytes a second of 1 MiB responses and of one large download through the whole chain.

Beside an OpenSSH reverse tunnel and nginx as a plain reverse proxy. `make bench-tunnel`.
"""

from __future__ import annotations

import subprocess

from bench.measure import Goal, compare, wrk
from bench.stage import stage


def download(url: str, *headers: str) -> float:
    """Bytes a second of one download by curl."""
    arguments = [part for header in headers for part in ("-H", header)]
    done = subprocess.run(
        ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{speed_download}", *arguments, url],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    """Measure."""
    with stage() as s:
        compare(
            "1 MiB, 16 connections", "OpenSSH -R", "bytes/s", Goal.RATIO, 1.2,
            lambda: wrk(f"{s.ours}/1m", 16, *s.headers).bytes, lambda: wrk(f"{s.ssh}/1m", 16).bytes,
        )  # fmt: skip
        compare(
            "256 MiB, 1 download", "OpenSSH -R", "bytes/s", Goal.SHOWN, 0,
            lambda: download(f"{s.ours}/big", *s.headers), lambda: download(f"{s.ssh}/big"),
        )  # fmt: skip
        compare(
            "1 MiB, 16 connections", "nginx reverse proxy", "bytes/s", Goal.SHOWN, 0,
            lambda: wrk(f"{s.ours}/1m", 16, *s.headers).bytes, lambda: wrk(f"{s.nginx}/1m", 16).bytes, 3,
        )  # fmt: skip


if __name__ == "__main__":
    main()
