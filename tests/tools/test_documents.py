"""What the pages say exists: links, commands, settings, make targets."""

import re
from pathlib import Path

import click
import pytest

from panelgate.cli import main
from tools.settings_doc import ROLES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#:\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist(page: Path):
    context = click.Context(main)
    for role, word in re.findall(
        r"\bpanelgate (access|relay|webproxy|agent|demo) ([a-z][a-z-]+)", page.read_text(encoding="utf-8")
    ):
        group = main.get_command(context, role)
        assert isinstance(group, click.Group)
        assert word in group.commands, f"panelgate {role} {word}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_settings_exist(page: Path):
    known = {role.model_config["env_prefix"] + name.upper() for role in ROLES for name in role.model_fields}
    known |= {str(field.validation_alias) for role in ROLES for field in role.model_fields.values()}
    known |= {
        "PANELGATE_RELAY_JOIN_TOKEN",
        "PANELGATE_WEBPROXY_JOIN_TOKEN",
        "PANELGATE_AGENT_KEY",
    }  # options, not settings
    found = set(re.findall(r"\bPANELGATE_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8")))
    assert found <= known


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_exist(page: Path):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^    )make ([a-z][a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name in named if not name.startswith("bench-")} <= targets
