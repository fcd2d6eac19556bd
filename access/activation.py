"""The text of the one-time secrets with which machines and servers introduce themselves: activation keys, join tokens.

    pgk-<26 characters>-<32 characters>
        128 random bits  first 160 bits of the SHA-256 of the authority's certificate (DER)

Both parts are base32 in lower case (RFC 4648 section 6, no padding). The second lets the newcomer check the authority
certificate, fetched over a connection that nothing vouches for yet, before it sends the first part to anyone.
Only a hash of the first part is stored; 128 random bits need no slow hash.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from cryptography import x509

from panelgate import introduction
from panelgate.introduction import ACTIVATION, JOIN

__all__ = ["ACTIVATION", "JOIN", "make", "stored_hash"]
SECRET_BYTES: Final = 16


def make(kind: str, ca: x509.Certificate) -> tuple[str, str]:
    """A new secret of `kind` ("pgk" or "pgj"): (the text to show once, the hash to store)."""
    secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=").lower()
    return f"{kind}-{secret}-{introduction.ca_part(ca)}", _hash(secret)


def stored_hash(kind: str, text: str) -> str:
    """The stored form (hex SHA-256) of a secret that somebody typed; upper case and spaces around it are forgiven.

    Raises BadInput(bad_key) when the text is no secret of this kind.
    """
    return _hash(introduction.tidy(text, kind).split("-")[1])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
