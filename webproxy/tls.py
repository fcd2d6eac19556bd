"""HTTPS of the web proxy's own: a certificate from files, read again when they change."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from panelgate.errors import BadInput
from panelgate.log import get_logger

LOOK_SECONDS = 10.0  # between looks at the files; a renewed certificate is in use this soon

log = get_logger(__name__)


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server context; BadInput when the files can't be read or don't fit each other."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            "bad_certificate", f"the certificate {certificate} with the key {key} can't be used: {error}"
        ) from error


def _stamp(*files: Path) -> tuple[tuple[int, int], ...]:
    return tuple((found.st_mtime_ns, found.st_ino) for found in (file.stat() for file in files))


async def keep_fresh(context: ssl.SSLContext, certificate: Path, key: Path, *, seconds: float = LOOK_SECONDS) -> None:
    """Load the files into `context` again whenever they change, until cancelled. New connections use the new ones."""
    seen = _stamp(certificate, key)
    while True:
        await asyncio.sleep(seconds)
        try:
            now = _stamp(certificate, key)
            if now == seen:
                continue
            # Tried on a context of its own first: half-written files must not spoil the one in use.
            make_context(certificate, key)
            _load(context, certificate, key)
        except (OSError, BadInput) as error:
            log.warning("certificate not reloaded", reason=str(error))
            continue
        seen = now
        log.info("certificate reloaded", file=str(certificate))
