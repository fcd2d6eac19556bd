"""Copy what pages use of the npm packages into static/vendor/ (git-ignored), with their licences.

    npm ci --prefix static && python tools/vendor.py

Copied: Tabler's style sheet (and a gzip of it: 640 kB become 80), htmx, noVNC's modules as they are, and one SVG sprite
of those Tabler icons that templates, pages and scripts name.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "static" / "node_modules"
VENDOR = ROOT / "static" / "vendor"
FILES = (
    ("@tabler/core/dist/css/tabler.min.css", "tabler/tabler.min.css"),
    ("htmx.org/dist/htmx.min.js", "htmx/htmx.min.js"),
)
FOLDERS = (("@novnc/novnc/core", "novnc/core"), ("@novnc/novnc/vendor", "novnc/vendor"))
PACKAGES = ("@tabler/core", "@tabler/icons", "htmx.org", "@novnc/novnc")
SOURCES = (("webproxy/templates", "*.html"), ("webproxy", "*.py"), ("static/js", "*.js"))
# icon("name") in templates, Python and scripts; names from tables stand in empty(...) calls and in icons.CHOSEN.
NAMES = (
    re.compile(r"""\bicon\(["']([a-z0-9-]+)["']"""),
    re.compile(r"""\bempty\(["']([a-z0-9-]+)["']"""),
    re.compile(r'data-icon="([a-z0-9-]+)"'),
)
QUOTED = re.compile(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"')


def icon_names(root: Path = ROOT) -> set[str]:
    """Return the names of the icons that the project uses."""
    names: set[str] = set()
    for folder, pattern in SOURCES:
        for file in sorted((root / folder).rglob(pattern)):
            text = file.read_text(encoding="utf-8")
            names.update(name for expression in NAMES for name in expression.findall(text))
    for table in (root / "webproxy/pages/icons.py", root / "webproxy/pages/problem.py"):
        # Tables of names: whatever is quoted there and is an icon's name.
        names.update(name for name in QUOTED.findall(table.read_text(encoding="utf-8")) if icon_file(name))
    names.update(
        name
        for name in QUOTED.findall((root / "webproxy/templates/layout.html").read_text(encoding="utf-8"))
        if icon_file(name)
    )
    return names


def icon_file(name: str) -> Path | None:
    """Return the file of an icon; "filled-x" is x of the filled set."""
    folder, plain = ("filled", name.removeprefix("filled-")) if name.startswith("filled-") else ("outline", name)
    file = MODULES / "@tabler/icons/icons" / folder / f"{plain}.svg"
    return file if file.is_file() else None


def sprite(names: set[str]) -> str:
    """Return one SVG with a symbol for every name; raises SystemExit when Tabler has no such icon."""
    symbols = []
    for name in sorted(names):
        file = icon_file(name)
        if file is None:
            raise SystemExit(f"vendor: Tabler has no icon called {name}")
        inner = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        inner = re.sub(r'<path stroke="none" d="M0 0h24v24H0z" fill="none" ?/>', "", inner)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{" ".join(inner.split())}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def licences() -> str:
    """Return what each package is and its licence; texts that packages bring along are in full."""
    parts = []
    for name in PACKAGES:
        about = json.loads((MODULES / name / "package.json").read_text(encoding="utf-8"))
        parts.append(f"{name} {about['version']}: {about['license']}")
        parts += [
            file.read_text(encoding="utf-8") for file in sorted((MODULES / name).glob("LICEN[SC]E*")) if file.is_file()
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Build static/vendor/ anew."""
    if not MODULES.is_dir():
        raise SystemExit("vendor: static/node_modules is missing; run `npm ci` in static/ first")
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for source, target in FILES:
        (fresh / target).parent.mkdir(parents=True, exist_ok=True)
        text = (MODULES / source).read_bytes()
        # The maps are not copied: a browser's tools would ask for them in vain.
        text = re.sub(rb"\n?(/\*|//)# sourceMappingURL=[^\n*]*(\*/)?", b"", text)
        (fresh / target).write_bytes(text)
        (fresh / f"{target}.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    for source, target in FOLDERS:
        shutil.copytree(MODULES / source, fresh / target)
    names = icon_names()
    (fresh / "icons.svg").write_text(sprite(names), encoding="utf-8")
    (fresh / "LICENCES.txt").write_text(licences(), encoding="utf-8")
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)
    sys.stdout.write(f"vendor: {len(names)} icons, {sum(1 for file in VENDOR.rglob('*') if file.is_file())} files\n")


if __name__ == "__main__":
    main()
