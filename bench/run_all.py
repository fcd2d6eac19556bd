"""Run every benchmark and write bench/RESULTS.md. `make bench`."""

from __future__ import annotations

import json
import platform
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import Goal

BENCHES = ("http", "tunnel", "cost", "memory", "events", "fuxa")
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Each benchmark in a process of its own; 1 when a goal was missed."""
    rows = []
    for name in BENCHES:
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    # A third of bulk's cost is AES-GCM, and versions differ by a factor of two in it.
    versions = f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION.rsplit(' ', 3)[0]}"
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d} on {platform.machine()}, {versions}: `make bench`.",
        "Medians of interleaved runs; compared is the median of the pairs, with the least and the greatest.",
        "A difference is ours less theirs; `shown` means: for comparison, nothing promised.",
        "",
        "| measure | rival | ours | theirs | unit | compared | spread | goal | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        goal = row["kind"] if row["kind"] == Goal.SHOWN else f"{row['kind']} {row['goal']:g}"
        numbers = [f"{row[key]:,.0f}" if row[key] >= 1000 else f"{row[key]:.3g}" for key in ("ours", "theirs")]
        lines.append(
            f"| {row['name']} | {row['rival']} | {numbers[0]} | {numbers[1]} | {row['unit']} | {row['compared']:.3g} "
            f"| {row['low']:.3g} to {row['high']:.3g} | {goal} | {'yes' if row['met'] else 'no'} |"
        )
    RESULTS.write_text("\n".join(lines) + "\n")
    print(RESULTS.read_text())
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
