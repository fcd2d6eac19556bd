"""docs/options.md names every option a service can have, with its default, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from access.targets import TLS_VERIFY
from panelgate.options import DEFAULTS, ServiceOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "options.md").read_text()
OPTIONS, _, REST = PAGE.partition("## Which certificate")
VERIFICATION = REST.partition("\n## ")[0]


def rows(text: str) -> dict[str, list[str]]:
    """The tables' rows by the name in their first cell."""
    found = {}
    for line in text.splitlines():
        named = re.match(r"\| `(\w+)` \|", line)
        if named:
            assert named[1] not in found, "named twice"
            found[named[1]] = [cell.strip() for cell in line.strip("|").split("|")]
    return found


def test_every_option_has_a_row_with_use_and_risk() -> None:
    written = rows(OPTIONS)
    assert set(written) == {field.name for field in fields(ServiceOptions)}
    assert all(len(row) == 4 and all(row) for row in written.values())


def test_the_defaults_are_those_of_the_code() -> None:
    words = {"off": False, "on": True, "none": (), "empty": "", "the panel's address": ""}
    for name, row in rows(OPTIONS).items():
        default = row[1].strip("`") if row[1].startswith("`") else words[row[1]]
        assert default == getattr(DEFAULTS, name), name


def test_every_way_to_verify_is_explained() -> None:
    assert set(rows(VERIFICATION)) == set(TLS_VERIFY)
