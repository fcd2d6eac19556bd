"""The text of the one-time secrets with which machines and servers introduce themselves: activation keys, join tokens.

    pgk-<26 characters>-<32 characters>
        128 random bits  first 160 bits of the SHA-256 of the authority's certificate (DER)

Both parts are base32 in lower case (RFC 4648 section 6, no padding). The second lets the newcomer check the authority
certificate, fetched over a connection that nothing vouches for yet, before it sends the first part to anyone.
Only a hash of the first part is stored; 128 random bits need no slow hash.
"""

import base64
import hashlib
import re
import secrets
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from panelgate.errors import BadInput

ACTIVATION: Final = "pgk"
JOIN: Final = "pgj"
SECRET_BYTES: Final = 16
CA_BYTES: Final = 20
_TEXT: Final = re.compile(r"(pgk|pgj)-([a-z2-7]{26})-([a-z2-7]{32})")


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def ca_part(ca: x509.Certificate) -> str:
    """The 32 characters that name an authority's certificate."""
    return _base32(hashlib.sha256(ca.public_bytes(Encoding.DER)).digest()[:CA_BYTES])


def make(kind: str, ca: x509.Certificate) -> tuple[str, str]:
    """A new secret of `kind` ("pgk" or "pgj"): (the text to show once, the hash to store)."""
    secret = _base32(secrets.token_bytes(SECRET_BYTES))
    return f"{kind}-{secret}-{ca_part(ca)}", _hash(secret)


def stored_hash(kind: str, text: str) -> str:
    """The stored form (hex SHA-256) of a secret that somebody typed; upper case and spaces around it are forgiven.

    Raises BadInput(bad_key) when the text is no secret of this kind.
    """
    match = _TEXT.fullmatch(text.strip().lower())
    if match is None or match[1] != kind:
        raise BadInput("bad_key", "This is not a complete key. Copy it again, from the first letter to the last.")
    return _hash(match[2])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
