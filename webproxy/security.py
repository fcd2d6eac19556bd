"""Security headers by kind of page, in one place: what a page of ours may load, who may frame it, what it tells others.

Device pages are not in this list: their own policy passes, with what `webproxy.forward.headers` adds.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["notice", "data", "redirect"]

_BASE = (
    b"Referrer-Policy: same-origin\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\n"
    b"Origin-Agent-Cluster: ?1\r\n"
    b"X-Robots-Tag: noindex\r\n"
)
_NO_STORE = b"Cache-Control: private, no-store\r\n"
_FRAME = b"X-Frame-Options: DENY\r\n"
# A notice may frame nothing, run only our own scripts, and ask only its own origin whether the machine is back.
NOTICE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
HSTS = b"Strict-Transport-Security: max-age=31536000\r\n"


def own_headers(kind: Kind, *, secure: bool) -> bytes:
    """The header lines of a response of ours on a service origin; `secure` when browsers come by HTTPS."""
    policy = NOTICE_POLICY if kind == "notice" else DATA_POLICY
    frame = b"" if kind == "notice" else _FRAME
    hsts = HSTS if secure else b""
    return _BASE + _NO_STORE + frame + hsts + b"Content-Security-Policy: " + policy.encode() + b"\r\n"
