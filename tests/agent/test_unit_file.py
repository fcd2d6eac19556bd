"""The systemd unit: it parses, starts the right command, and gives away nothing it does not need."""

from collections import defaultdict
from pathlib import Path

import pytest

from agent.cli import group
from agent.state import DEFAULT_DIRECTORY

UNIT = Path(__file__).parents[2] / "deploy" / "panelgate-agent.service"


def parse() -> dict[str, dict[str, list[str]]]:
    """Sections of a unit file (systemd.syntax(7)): keys may repeat."""
    sections: dict[str, dict[str, list[str]]] = {}
    keys: dict[str, list[str]] | None = None
    for number, raw in enumerate(UNIT.read_text().splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            keys = sections.setdefault(line[1:-1], defaultdict(list))
            continue
        key, equals, value = line.partition("=")
        assert equals, f"line {number} is not a setting: {line}"
        assert keys is not None, f"line {number} is in no section"
        assert key.isalnum(), f"line {number}: odd key {key}"
        keys[key].append(value)
    return sections


def test_sections() -> None:
    assert list(parse()) == ["Unit", "Service", "Install"]


def test_it_runs_a_command_that_exists_with_the_default_folder() -> None:
    service = parse()["Service"]
    (command,) = service["ExecStart"]
    assert command.split()[-3:-1] == ["panelgate", "agent"]
    assert command.split()[-1] in group.commands
    assert Path("/var/lib") / service["StateDirectory"][0] == DEFAULT_DIRECTORY
    assert parse()["Unit"]["ConditionPathExists"] == [str(DEFAULT_DIRECTORY / "agent.json")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("User", "panelgate-agent"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectControlGroups", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("LockPersonality", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("SystemCallArchitectures", "native"),
        ("SocketBindDeny", "any"),
        ("StateDirectoryMode", "0700"),
        ("UMask", "0077"),
        ("Restart", "always"),
    ],
)
def test_hardening(key: str, value: str) -> None:
    assert parse()["Service"][key] == [value]


def test_it_can_still_read_its_own_addresses() -> None:
    # ProcSubset=pid would hide /proc/net, and with it the addresses that must never be dialled.
    assert "ProcSubset" not in parse()["Service"]


def test_nothing_secret_is_in_it() -> None:
    text = UNIT.read_text()
    assert "pgk-" not in text
    assert "Environment=PANELGATE_AGENT_KEY" not in text
