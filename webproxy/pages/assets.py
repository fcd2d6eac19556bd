"""Our browser files: where they are, their versioned addresses, and how they are answered.

The portal serves them under /static/,
every service origin under /.pg/static/. An address with the right ?v= is immutable;
any other (a module imported by a module) is checked again by its ETag.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_HERE = Path(__file__).resolve().parent
# The wheel carries the files inside the package; a checkout has them in static/.
ROOTS = (_HERE.parent / "assets", _HERE.parent.parent / "static")
# Only these leave the folder: never package.json, node_modules or a stray file.
FOLDERS = ("css", "js", "vendor")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
YEAR = 31_536_000


@dataclass(frozen=True)
class Asset:
    """One file as it goes out."""

    body: bytes
    packed: bytes | None
    type: str
    version: str


def root() -> Path:
    """Return the folder that holds css/, js/ and vendor/."""
    return next((path for path in ROOTS if path.is_dir()), ROOTS[-1])


def _locate(path: str) -> Path | None:
    parts = path.split("/")
    if parts[0] not in FOLDERS or any(
        part in {"", ".", ".."} or part.startswith(".") or "\\" in part for part in parts
    ):
        return None
    found = root().joinpath(*parts)
    return found if found.is_file() else None


@lru_cache(maxsize=512)
def _load(file: Path, changed: int) -> Asset:
    body = file.read_bytes()
    packed = file.with_name(file.name + ".gz")
    kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Asset(body, packed.read_bytes() if packed.is_file() else None, kind, hashlib.sha256(body).hexdigest()[:12])


def find(path: str) -> Asset | None:
    """Return the file at `path` ("css/panelgate.css"), or None when there is none that may go out."""
    file = _locate(path)
    return _load(file, file.stat().st_mtime_ns) if file else None


def address(path: str, base: str = "/static/") -> str:
    """Return the address of `path` with its version, so that it may be cached for ever."""
    found = find(path)
    return f"{base}{path}?v={found.version}" if found else f"{base}{path}"


def answer(
    path: str, version: str | None, if_none_match: str | None, accept_encoding: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body for a request of an asset; used by the portal and by service origins alike."""
    found = find(path)
    if found is None:
        return 404, {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}, b"Not found"
    etag = f'"{found.version}"'
    cache = f"public, max-age={YEAR}, immutable" if version == found.version else "no-cache"
    headers = {
        "content-type": found.type, "cache-control": cache, "etag": etag, "vary": "Accept-Encoding",
        "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin",
    }  # fmt: skip
    if if_none_match == etag:
        return 304, headers, b""
    if found.packed is not None and "gzip" in accept_encoding:
        return 200, headers | {"content-encoding": "gzip"}, found.packed
    return 200, headers, found.body


async def static(request: Request) -> Response:
    """GET /static/{path}."""
    status, headers, body = answer(
        request.path_params["path"],
        request.query_params.get("v"),
        request.headers.get("if-none-match"),
        request.headers.get("accept-encoding", ""),
    )
    return Response(body, status, headers)
