"""docs/attacks.md names a test for every attack, and the tests it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| ([A-Z]\d+) \|.*\|([^|]*)\|$", (ROOT / "docs" / "attacks.md").read_text(), re.MULTILINE)
NOT_BUILT = {"A29"}  # passkeys


@pytest.mark.parametrize(("table", "size"), [("A", 35), ("B", 29)])
def test_all_are_there(table: str, size: int) -> None:
    assert [name for name, _ in ROWS if name[0] == table] == [f"{table}{number}" for number in range(1, size + 1)]
    assert len(dict(ROWS)) == len(ROWS), "a number stands for one attack"


@pytest.mark.parametrize(("name", "tests"), ROWS, ids=[name for name, _ in ROWS])
def test_the_tests_of_an_attack_exist(name: str, tests: str) -> None:
    named = re.findall(r"`([^`]+)::(\w+)`", tests)
    assert bool(named) == (name not in NOT_BUILT)
    for path, test in named:
        assert re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"
