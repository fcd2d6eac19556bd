import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from panelgate import cli
from panelgate.errors import Refused

HELP = """
import sys
from panelgate.cli import main
try:
    main(["--help"])
finally:
    print(sorted({"access", "relay", "webproxy", "agent"} & set(sys.modules)))
"""


def test_help_names_every_role_without_importing_one() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert done.stdout.endswith("[]\n")


def test_an_unknown_command_is_named() -> None:
    result = CliRunner().invoke(cli.main, ["acces"])
    assert result.exit_code == 2
    assert "acces" in result.output


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "access", ("a_module_that_is_not_there:group", ""))
    result = CliRunner().invoke(cli.main, ["access"])
    assert result.exit_code == 1
    assert "panelgate[server]" in result.output


def test_an_error_of_ours_becomes_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fails() -> None:
        raise Refused("key_used", "This activation key has been used.")

    monkeypatch.setattr(cli._Roles, "get_command", lambda *_: fails)
    result = CliRunner().invoke(cli.main, ["agent"])
    assert (result.exit_code, result.output) == (1, "Error: This activation key has been used.\n")


def test_what_a_role_writes_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def writes() -> None:
        (tmp_path / "database").write_text("")

    monkeypatch.setattr(cli._Roles, "get_command", lambda *_: writes)
    before = os.umask(0o022)
    try:
        assert CliRunner().invoke(cli.main, ["access"]).exit_code == 0
    finally:
        os.umask(before)
    assert (tmp_path / "database").stat().st_mode & 0o777 == 0o600
