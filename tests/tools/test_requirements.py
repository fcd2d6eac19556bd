"""The pinned requirements still fit pyproject.toml, carry hashes, and name no registry."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = {
    "agent": PROJECT["dependencies"],
    "server": [*PROJECT["dependencies"], *EXTRAS["server"]],
    "dev": [*PROJECT["dependencies"], *EXTRAS["server"], *EXTRAS["dev"]],
}


def pinned(name: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {name: Version(version) for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize("name", WANTED)
def test_every_dependency_is_pinned_to_a_version_that_fits(name: str):
    found = pinned(name)
    for line in WANTED[name]:
        wanted = Requirement(line)
        key = re.sub(r"[-_.]+", "-", wanted.name).lower()
        assert key in found, f"{key} is missing: run make pins"
        assert found[key] in wanted.specifier, f"{key} {found[key]} does not fit {line}: run make pins"


def test_the_smaller_sets_are_parts_of_the_larger_ones():
    agent, server, dev = (pinned(name).items() for name in ("agent", "server", "dev"))
    assert agent <= server <= dev


@pytest.mark.parametrize("name", [*WANTED, "build"])
def test_every_pin_has_hashes(name: str):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for block in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text
    assert "--index-url" not in text


def test_an_agent_needs_no_server_library():
    assert (
        not {"starlette", "fastapi", "uvicorn", "uvloop", "pydantic", "sqlalchemy", "jinja2"} & pinned("agent").keys()
    )
