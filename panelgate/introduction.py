"""How a newcomer gets to know the installation: the secret it was given names the authority's fingerprint.

    pgk-<26 base32>-<32 base32>    activation key of an agent; pgj-... is the join token of a relay or web proxy
        128 bits     first 160 bits of the SHA-256 of the authority's certificate (DER)

The authority's certificate is fetched over a connection that nothing vouches for yet, and counts only when it matches
the second part. The first part is sent afterwards, to a server that this authority vouches for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import ssl
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from panelgate.clock import Clock
from panelgate.errors import BadInput, Refused, Unavailable
from panelgate.pki import from_pem

ACTIVATION: Final = "pgk"
JOIN: Final = "pgj"
CA_BYTES: Final = 20  # of the SHA-256: what fits into a key that a person may have to type
FETCH_SECONDS: Final = 10.0  # as for every other call of the access server
SKEW_SECONDS: Final = 60.0  # more, and no proof of identity would be accepted later
ANSWER_LIMIT: Final = 64 * 1024  # bytes; a certificate is under 1 KiB
_TEXT: Final = re.compile(r"(pgk|pgj)-([a-z2-7]{26})-([a-z2-7]{32})")


def ca_part(ca: x509.Certificate) -> str:
    """The 32 characters that name an authority's certificate."""
    return base64.b32encode(hashlib.sha256(ca.public_bytes(Encoding.DER)).digest()[:CA_BYTES]).decode().lower()


def tidy(text: str, kind: str) -> str:
    """The secret as it is meant, from what a person typed. BadInput("bad_key") when it isn't one of this kind."""
    found = text.strip().lower()
    match = _TEXT.fullmatch(found)
    if match is None or match[1] != kind:
        what = "activation key" if kind == ACTIVATION else "join token"
        raise BadInput(
            "bad_key", f"This is not a complete {what}. Copy it again, from '{kind}-' to its last character."
        )
    return found


async def fetch_authority(
    access_url: str, secret: str, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
) -> x509.Certificate:
    """The installation's authority, checked against `secret` (already tidied).

    Refused: `not_https`, `wrong_ca`, `clock_skew`. Unavailable: `access_down`, `bad_answer`.
    """
    parts = urlsplit(access_url)
    if parts.scheme != "https" or not parts.hostname:
        raise Refused(
            "not_https", "The access server's address must start with https://", {"address": access_url[:200]}
        )
    context = ssl.create_default_context()
    # Nothing is secret in this call, and its answer counts only when it matches the fingerprint in the key.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with httpx.AsyncClient(
            verify=context, timeout=FETCH_SECONDS, trust_env=False, follow_redirects=False, transport=transport
        ) as client:
            answer = await client.get(access_url.rstrip("/") + "/v1/ca")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(
            "access_down",
            f"The access server at {access_url} can't be reached ({error}). Check the address, this machine's network "
            "and its firewall: outgoing HTTPS is needed.",
            {"address": access_url},
        ) from error
    if not answer.is_success or len(answer.content) > ANSWER_LIMIT:
        raise Unavailable(
            "bad_answer",
            f"What answers at {access_url} is not a Panelgate access server (HTTP {answer.status_code}). Check the "
            "address.",
        )
    try:
        authority = from_pem(answer.text)
    except BadInput as error:
        raise Unavailable(
            "bad_answer", f"What answers at {access_url} is not a Panelgate access server. Check the address."
        ) from error
    if not hmac.compare_digest(ca_part(authority), secret.rpartition("-")[2]):
        raise Refused(
            "wrong_ca",
            f"The server at {access_url} does not belong to the installation that made this key: either the address is "
            "wrong, or something between here and there answers in its place. Nothing was sent to it.",
        )
    check_clock(answer.headers.get("date"), clock)
    return authority


def check_clock(date: str | None, clock: Clock) -> None:
    """Refused("clock_skew") when this machine's clock is too far from the server's Date header; no header, no check."""
    try:
        server = parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        server = None
    if server is None:
        return
    behind = server - clock.now()
    if abs(behind) > SKEW_SECONDS:
        raise Refused(
            "clock_skew",
            f"This machine's clock is {_length(abs(behind))} {'behind' if behind > 0 else 'ahead of'} the server's. "
            "Set it (timedatectl set-ntp true), then try again: certificates and tickets depend on the time.",
            {"seconds": round(behind)},
        )


def _length(seconds: float) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {word}{'' if count == 1 else 's'}"
    return f"{round(seconds)} seconds"
