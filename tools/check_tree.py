"""What no file of the repository may hold: registry addresses, paths of one machine, notes to oneself, many lines."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600
"""Of a file of code; past that it is two modules."""
CODE = {".py", ".js", ".css", ".html", ".sh"}
GENERATED = ("requirements/", "static/package-lock.json", "tests/vectors/")


def _word(*parts: str) -> str:
    """Join a word that this file itself must not hold."""
    return "".join(parts)


_REGISTRIES = (
    *(("pypi", ".org"), ("pythonhosted", ".org"), ("registry.npm", "js.org")),
    *(("registry.yarn", "pkg.com"), ("deb.deb", "ian.org"), ("proxy.go", "lang.org")),
)
_FOLDERS = (("wo", "rk"), ("ho", "me/[a-z]+"), ("ro", "ot"))
_NOTES = (("TO", "DO"), ("FIX", "ME"), ("XX", "X"))


def _any(words: tuple[tuple[str, ...], ...]) -> str:
    return "|".join(_word(*parts) for parts in words)


FORBIDDEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a package registry's address", re.compile(_any(_REGISTRIES).replace(".", r"\."))),
    ("a path of one machine", re.compile(rf"(?<![\w.])/(?:{_any(_FOLDERS)})/")),
    ("a note to oneself", re.compile(rf"\b(?:{_any(_NOTES)})\b")),
)
FORBIDDEN_IN_PYTHON: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("code that isn't written yet", re.compile(_word("NotImplemented", "Error"))),
    ("a test that doesn't run", re.compile(r"pytest\." + _word("sk", "ip") + r"|" + _word("x", "fail"))),
    ("a sleep", re.compile(r"\btime\." + _word("sl", "eep"))),
)


def complaints(name: str, text: str) -> Iterator[str]:
    """Yield what is wrong with the file `name` (relative to the repository) holding `text`."""
    suffix = Path(name).suffix
    lines = text.splitlines()
    rules = FORBIDDEN + (FORBIDDEN_IN_PYTHON if suffix == ".py" else ())
    for number, line in enumerate(lines, 1):
        for what, pattern in rules:
            if pattern.search(line):
                yield f"{name}:{number}: {what}"
    if suffix in CODE and len(lines) > MAX_LINES and not name.startswith(GENERATED):
        yield f"{name}: {len(lines)} lines, more than {MAX_LINES}"


def tracked(root: Path) -> list[str]:
    """Return the names of the files that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    return [name.decode() for name in listed.split(b"\0") if name]


def main() -> int:
    """Print every complaint; 1 when there is any."""
    found = []
    for name in tracked(ROOT):
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a font
        found += complaints(name, text)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
