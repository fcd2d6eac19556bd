from __future__ import annotations

import importlib
import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fuzz.run import TARGETS, changed

REPOSITORY = Path(__file__).parents[2]
INPUTS = 8000  # of each target, beside the seeds: a second or two
PLANTED = """
def one(data):
    if data[:1] == b"h":
        assert data[1:2] != b"a", "planted"

def seeds():
    yield b"http"
    yield b"X-Name"
"""


def run(target: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """A fuzzer in a process of its own, which it ends as it likes."""
    command = [sys.executable, "-m", "fuzz.run", target, "--seed=1", "--seconds=20", f"--folder={folder}", *more]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_stands_its_seeds_and_what_is_near_them(name: str) -> None:
    target, dice = importlib.import_module(f"fuzz.{name}"), random.Random(7)
    seeds = list(target.seeds())
    for data in (*seeds, *(changed(dice, seeds) for _ in range(500))):
        target.one(data)
    target.one(b"")


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_search_finds_nothing(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, f"--runs={INPUTS}")
    assert done.returncode == 0, done.stderr[-4000:]
    assert not list((tmp_path / name).glob("crash*"))


def test_a_search_that_finds_something_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run("planted", tmp_path / "found")
    assert done.returncode != 0
    assert "planted" in done.stdout + done.stderr
    (crash,) = (tmp_path / "found" / "planted").glob("crash*")
    with pytest.raises(AssertionError):
        planted(tmp_path).one(crash.read_bytes())


def planted(folder: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("planted", folder / "planted.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
