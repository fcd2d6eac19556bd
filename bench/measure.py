"""Side by side: our figure and a rival's in turn, A B A B, and each pair compared.

Machines are shared and noisy: two neighbouring runs compared say more than either figure, and the median of several
says how much to believe it. BENCH_ROUNDS and BENCH_SECONDS shorten everything for a first look.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))  # of each run; the first second is the kernel's and the caches'


class Goal(StrEnum):
    """How a pair is compared, and what the goal asks for."""

    SHOWN = "shown"  # the ratio, for comparison: nothing promised
    RATIO = "ratio at least"
    SHARE = "ratio at most"
    MORE = "difference at most"


@dataclass(frozen=True)
class Result:
    """One comparison. `ours` and `theirs` are medians in `unit`, `compared` the median of the pairs' ratios or
    differences, `low` and `high` the least and greatest of them; `met` whether that reaches `goal`."""

    name: str
    rival: str
    ours: float
    theirs: float
    unit: str
    compared: float
    low: float
    high: float
    kind: Goal
    goal: float
    met: bool


def compare(
    name: str, rival: str, unit: str, kind: Goal, goal: float, ours: Callable[[], float], theirs: Callable[[], float],
    rounds: int = ROUNDS, *, warm: bool = True,
) -> Result:  # fmt: skip
    """Measure both in turn, `rounds` times after one warm-up each, and print the comparison as one JSON line."""
    if warm:
        ours()
        theirs()
    pairs = []
    for number in range(min(rounds, ROUNDS)):
        # Who goes first changes, so that a drift of the machine favours nobody.
        if number % 2:
            second, first = theirs(), ours()
        else:
            first, second = ours(), theirs()
        pairs.append((first, second))
        print(f"  {name}: {first:,.3f} against {second:,.3f} {unit}", file=sys.stderr, flush=True)
    return judge(name, rival, unit, kind, goal, pairs)


def judge(
    name: str, rival: str, unit: str, kind: Goal, goal: float, pairs: list[tuple[float, float]]
) -> Result:  # fmt: skip
    """Print what `pairs` of (ours, theirs) come to as one JSON line."""
    compared = sorted(ours - theirs if kind is Goal.MORE else ours / theirs for ours, theirs in pairs)
    middle = statistics.median(compared)
    met = kind is Goal.SHOWN or (middle >= goal if kind is Goal.RATIO else middle <= goal)
    result = Result(
        name, rival, statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs), unit,
        middle, compared[0], compared[-1], kind, goal, met,
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
