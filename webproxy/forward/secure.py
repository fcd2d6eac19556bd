"""HTTPS only: what crossed a network in plain text although browsers are to use HTTPS is not served.

Where the web proxy ends HTTPS itself nothing else can arrive. Behind a load balancer the way to us is plain: whoever
else reaches this port, and what the load balancer took in plain text, is sent to HTTPS or refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from panelgate.names import Sites
from webproxy.forward.clients import Clients

SCHEME_HEADER = b"x-forwarded-proto"


class Line(Enum):
    """What is known of a connection before its first request."""

    FINE = "fine"  # HTTPS up to us, or an installation on localhost
    TOLD = "told"  # from a trusted load balancer, which may say of each request how it came
    PLAIN = "plain"


def line_of(sites: Sites, clients: Clients, peer: tuple[str, int] | None, *, tls: bool) -> Line:
    """Judge a connection from `peer`; `tls`: our own listener decrypts it."""
    if tls or sites.scheme != "https":
        return Line.FINE
    return Line.TOLD if peer is not None and clients.trusts(peer[0]) else Line.PLAIN


def is_plain(line: Line, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request came in plain text, with its raw `headers`.

    A trusted load balancer that says nothing is believed to end HTTPS: that is what it is there for.
    """
    if line is not Line.TOLD:
        return line is Line.PLAIN
    said = [value for name, value in headers if name.lower() == SCHEME_HEADER]
    return any(scheme.strip().lower() != b"https" for value in said for scheme in value.split(b","))
