"""Which requests another site may cause: the cross-origin rules for service origins. No I/O.

Service origins under one domain are the same "site", so SameSite cookies protect none of them from another: the
browser's Origin and Sec-Fetch-* headers are compared here, before anything else is looked up.
"""

from __future__ import annotations

import enum

from webproxy.forward.request import SAFE_METHODS, RequestHead

_OWN = (b"same-origin", b"none")


class Verdict(enum.Enum):
    """What becomes of a request."""

    GO = "go"
    ASK = "ask"  # another site leads to an address with a query: the person must say yes, at the portal
    FORBID = "forbid"


def judge(head: RequestHead, public_origin: bytes) -> Verdict:
    """Whether this request may be one of the service's own pages or the person's own doing."""
    if head.service_worker and (head.target.startswith(b"/.pg/") or head.site not in (b"", b"same-origin")):
        # Whether the service may have workers at all is looked at when it is known; from our paths, never.
        return Verdict.FORBID
    own_origin = head.origin == public_origin
    if head.is_websocket:
        # Chromium sends no Sec-Fetch-* with these: Origin is all there is.
        return Verdict.GO if own_origin else Verdict.FORBID
    if head.method not in SAFE_METHODS:
        if head.origin is not None:
            return Verdict.GO if own_origin else Verdict.FORBID
        return Verdict.GO if head.site in _OWN else Verdict.FORBID
    if head.site and head.site not in _OWN:
        if head.method != b"GET" or head.mode != b"navigate" or head.dest != b"document":
            return Verdict.FORBID
        return Verdict.ASK if b"?" in head.target else Verdict.GO
    if head.origin is not None and not own_origin:
        return Verdict.FORBID
    return Verdict.GO
