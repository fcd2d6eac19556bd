"""Side by side: our figure and a rival's in turn, A B A B, and the ratio of each pair.

Machines are shared and noisy: a ratio of two neighbouring runs says more than either figure, and the median of
several says how much to believe it.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

ROUNDS = 5
SECONDS = 4  # of each run; the first second is the kernel's and the caches'


@dataclass(frozen=True)
class Result:
    """One comparison. `ours` and `theirs` are medians in `unit`, `ratio` the median of the pairs' ratios, `low` and
    `high` the least and greatest of them; `met` whether the ratio reaches `goal`."""

    name: str
    rival: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    low: float
    high: float
    goal: float
    met: bool


def compare(
    name: str,
    rival: str,
    unit: str,
    goal: float,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    rounds: int = ROUNDS,
) -> Result:
    """Measure both in turn, `rounds` times after one warm-up each, and print the comparison as one JSON line."""
    ours()
    theirs()
    pairs = []
    for number in range(rounds):
        # Who goes first changes, so that a drift of the machine favours nobody.
        if number % 2:
            second, first = theirs(), ours()
        else:
            first, second = ours(), theirs()
        pairs.append((first, second))
        print(f"  {name}: {first:,.0f} against {second:,.0f} {unit}", file=sys.stderr, flush=True)
    ratios = sorted(first / second for first, second in pairs)
    ratio = statistics.median(ratios)
    result = Result(
        name, rival, round(statistics.median(p[0] for p in pairs), 1), round(statistics.median(p[1] for p in pairs), 1),
        unit, round(ratio, 2), round(ratios[0], 2), round(ratios[-1], 2), goal, ratio >= goal,
    )  # fmt: skip
    print(json.dumps(asdict(result)), flush=True)
    return result


@dataclass(frozen=True)
class Load:
    """What wrk measured: requests and bytes a second, and half of the requests' longest time in milliseconds."""

    requests: float
    bytes: float
    median_ms: float


UNITS = {"": 1.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3}
TIMES = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def wrk(url: str, connections: int, *headers: str, seconds: int = SECONDS) -> Load:
    """Load `url` with wrk over kept connections; AssertionError when an answer is not 2xx or a connection fails."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    for header in headers:
        command += ["-H", header]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    assert "Non-2xx" not in text, text
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    assert failed is None or not any(int(number) for number in failed.groups()), text
    requests = re.search(r"Requests/sec:\s+([\d.]+)", text)
    transfer = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", text)
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    assert requests, text
    assert transfer, text
    assert median, text
    return Load(float(requests[1]), float(transfer[1]) * UNITS[transfer[2]], float(median[1]) * TIMES[median[2]])
