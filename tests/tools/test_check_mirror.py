"""The check that every module has a test module."""

from pathlib import Path

from tools.check_mirror import missing


def test_finds_the_module_without_a_test(tmp_path: Path):
    for name in (
        *("agent/__init__.py", "agent/dial.py", "agent/loop.py", "tests/agent/test_dial.py"),
        "access/migrations/versions/1.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(missing(tmp_path)) == [(Path("agent/loop.py"), Path("tests/agent/test_loop.py"))]
