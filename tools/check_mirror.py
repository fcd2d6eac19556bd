"""Every module has its test module, at the mirrored place: access/users.py has tests/access/test_users.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("panelgate", "access", "relay", "webproxy", "agent", "demo")
UNTESTED = ("migrations",)
"""Folders whose modules are scripts that a test of their user runs."""


def missing(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (module, the test module it lacks), both relative to `root`."""
    for package in PACKAGES:
        for module in sorted((root / package).rglob("*.py")):
            relative = module.relative_to(root)
            if module.name == "__init__.py" or set(relative.parts) & set(UNTESTED):
                continue
            test = Path("tests", relative.parent, f"test_{module.name}")
            if not (root / test).is_file():
                yield relative, test


def main() -> int:
    """Print what is missing; 1 when anything is."""
    found = list(missing(ROOT))
    for module, test in found:
        print(f"{module}: no test module {test}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
