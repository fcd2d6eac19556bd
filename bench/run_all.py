"""Run every benchmark and write bench/RESULTS.md. `make bench`."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

BENCHES = ("http", "tunnel", "cost")
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Each benchmark in a process of its own; 1 when a goal was missed."""
    rows = []
    for name in BENCHES:
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d} on {platform.machine()}, Python {platform.python_version()}: `make bench`.",
        "Medians of interleaved runs; the ratio is the median of the pairs, with the least and the greatest.",
        "A goal of 0 means: shown for comparison, nothing promised.",
        "",
        "| measure | rival | ours | theirs | unit | ratio | spread | goal | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spread = f"{row['low']} to {row['high']}"
        lines.append(
            f"| {row['name']} | {row['rival']} | {row['ours']:,.0f} | {row['theirs']:,.0f} | {row['unit']} "
            f"| {row['ratio']} | {spread} | {row['goal']} | {'yes' if row['met'] else 'no'} |"
        )
    RESULTS.write_text("\n".join(lines) + "\n")
    print(RESULTS.read_text())
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
