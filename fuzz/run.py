"""Run one fuzz target, or all: `python -m fuzz.run [NAME] --seconds 60`. A find ends it, with the input in `--folder`.

Atheris guides by coverage. Where it isn't to be had, seeds are changed at random, which finds less.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TARGETS = ("response", "chunks", "request", "answers")
WATCHED = ("panelgate.response", "webproxy.forward")  # whose branches guide the search
LONGEST = 4096  # bytes of an input: long ones are slow, and limits of sizes have tests of their own
SLOW_SECONDS = 10  # for one input: something runs away
MEMORY_MB = 1024


def main() -> int:
    """0 when nothing was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("target", nargs="?", help=f"one of {', '.join(TARGETS)}, or a module of another name")
    options.add_argument("--seconds", type=int, default=60, help="for each target")
    options.add_argument("--runs", type=int, default=-1, help="inputs at most")
    options.add_argument("--seed", type=int, default=0, help="0: another each time")
    options.add_argument(
        "--folder", type=Path, default=Path(".cache/fuzz"), help="of what was found, kept for next time"
    )
    chosen = options.parse_args()
    if chosen.target is None:
        return max(_alone(target, chosen) for target in TARGETS)
    name = f"fuzz.{chosen.target}" if chosen.target in TARGETS else str(chosen.target)
    folder = chosen.folder / chosen.target
    folder.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("atheris") is None:
        return _at_random(importlib.import_module(name), folder, chosen)
    _guided(name, folder, chosen)
    return 0


def _alone(target: str, chosen: argparse.Namespace) -> int:
    """In a process of its own, which the fuzzer ends."""
    print(f"== {target}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "fuzz.run", target, f"--seconds={chosen.seconds}", f"--runs={chosen.runs}",
         f"--seed={chosen.seed}", f"--folder={chosen.folder}"], check=False,
    ).returncode  # fmt: skip


def _guided(name: str, folder: Path, chosen: argparse.Namespace) -> None:
    import atheris

    with atheris.instrument_imports(include=[*WATCHED, name]):
        target: Any = importlib.import_module(name)
    given = folder / "seeds"
    given.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (given / f"{number:04}").write_bytes(seed)
    found = folder / "corpus"
    found.mkdir(exist_ok=True)
    atheris.Setup(
        [
            "fuzz", str(found), str(given), f"-max_total_time={chosen.seconds}", f"-runs={chosen.runs}",
            f"-seed={chosen.seed}", f"-max_len={LONGEST}", f"-timeout={SLOW_SECONDS}", f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={folder}/", "-print_final_stats=1",
        ],
        target.one,
    )  # fmt: skip
    atheris.Fuzz()  # never returns


def _at_random(target: Any, folder: Path, chosen: argparse.Namespace) -> int:
    dice = random.Random(chosen.seed or None)
    known = list(target.seeds())
    inputs = iter(known)
    end, count = time.monotonic() + chosen.seconds, 0
    while count != chosen.runs and time.monotonic() < end:
        data = next(inputs, None) or changed(dice, known)
        count += 1
        try:
            target.one(data)
        except Exception:
            (folder / "crash-random").write_bytes(data)
            print(f"found with {data!r}")
            raise
    print(f"{count} inputs, nothing found")
    return 0


def changed(dice: random.Random, known: list[bytes]) -> bytes:
    """One of `known` with a few pieces replaced, by noise or by pieces of others."""
    data = dice.choice(known)
    for _ in range(dice.randint(1, 4)):
        at, other = dice.randint(0, len(data)), dice.choice(known)
        start = dice.randint(0, len(other))
        piece = dice.choice((b"", dice.randbytes(dice.randint(1, 3)), other[start : start + dice.randint(1, 20)]))
        data = data[:at] + piece + data[at + dice.choice((0, len(piece), 1)) :]
    return data[:LONGEST]


if __name__ == "__main__":
    sys.exit(main())
