"""Assertions: how a role proves to the access server that it holds its key.

A JWT signed with the role's own P-256 key, with its certificate beside it (RFC 7515 section 4.1.6), bound to one
method and path and to one minute. It rides in a header and so passes any load balancer that ends TLS.
"""

from __future__ import annotations

import base64
import secrets
from collections import Counter, OrderedDict

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry, extract_compact

from panelgate.errors import Refused
from panelgate.pki import Identity, Peer, Role, verify_issued

HEADER = "Panelgate-Assertion"
ALGORITHM = "ES256"
TYPE = "pg-assertion"
LIFE_SECONDS = 60
SKEW_SECONDS = 60  # a plant's clock; together with the life this bounds how long `SeenOnce` must remember
HEADER_LIMIT = 4096  # bytes; a P-256 certificate takes about 1,000 in the header, the library allows 512
SEEN_LIMIT = 100_000  # assertions remembered at once: 16 MB at most
AGENT_LIMIT = 1_000  # of those one agent's: it calls a few times an hour, and must not fill the memory for all others


class _Registry(JWSRegistry):
    max_header_length = HEADER_LIMIT


_registry = _Registry(algorithms=[ALGORITHM])


def sign(identity: Identity, method: str, path: str, now: float) -> str:
    """An assertion by `identity` for one call; `path` is the request's path without its query."""
    chain = [base64.b64encode(identity.certificate.public_bytes(serialization.Encoding.DER)).decode()]
    pem = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    claims = {"iat": int(now), "jti": secrets.token_urlsafe(16), "htm": method, "htp": path}
    return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "x5c": chain}, claims, ECKey.import_key(pem), registry=_registry)


class SeenOnce:
    """Remembers identifiers until they would be too old anyway, so that a recorded assertion can't be used again."""

    def __init__(self, seconds: float = LIFE_SECONDS + 2 * SKEW_SECONDS, limit: int = SEEN_LIMIT) -> None:
        self._seconds = seconds
        self._limit = limit
        self._seen: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._of_owner: Counter[str] = Counter()

    def first_time(self, identifier: str, now: float, owner: str = "", share: int | None = None) -> bool:
        """Whether `identifier` has not been seen within the time that counts; unknown when overfull, so refused.

        `owner` may fill at most `share` of the memory, so that one of many can't shut the others out.
        """
        while self._seen and next(iter(self._seen.values()))[0] < now - self._seconds:
            _, (_, forgotten) = self._seen.popitem(last=False)
            self._of_owner[forgotten] -= 1
            if not self._of_owner[forgotten]:
                del self._of_owner[forgotten]
        full = len(self._seen) >= self._limit or (share is not None and self._of_owner[owner] >= share)
        if identifier in self._seen or full:
            return False
        self._seen[identifier] = (now, owner)
        self._of_owner[owner] += 1
        return True


def verify(token: str, authority: x509.Certificate, method: str, path: str, now: float, seen: SeenOnce) -> Peer:
    """Who made the call. It says nothing about revocation: the access server looks the fingerprint up.

    Refused: bad_assertion, assertion_expired, assertion_replayed, and what `pki.verify_issued` raises.
    """
    try:
        chain = extract_compact(token.encode(), registry=_registry).headers()["x5c"]
        certificate = x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
        peer = verify_issued(certificate, authority, now)
        public = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        decoded = jwt.decode(token, ECKey.import_key(public), registry=_registry)
        claims = decoded.claims
        issued, identifier = claims["iat"], claims["jti"]
        bound = (decoded.header.get("typ"), claims["htm"], claims["htp"]) == (TYPE, method, path)
    except (JoseError, KeyError, IndexError, TypeError, ValueError, UnicodeError, RecursionError) as error:
        # The last is what a thousand nested brackets in the header make of the JSON reader.
        raise Refused("bad_assertion", "the caller did not prove who it is", status=401) from error
    if not bound or not isinstance(issued, int) or not isinstance(identifier, str):
        raise Refused("bad_assertion", "the proof is for another call", status=401)
    if not issued - SKEW_SECONDS <= now <= issued + LIFE_SECONDS + SKEW_SECONDS:
        raise Refused(
            "assertion_expired", "the caller's clock differs too much from the access server's",
            {"seconds": round(now - issued)}, status=401,
        )  # fmt: skip
    share = AGENT_LIMIT if peer.role is Role.AGENT else None
    if not seen.first_time(identifier, now, f"{peer.role}:{peer.id}", share):
        raise Refused("assertion_replayed", "this proof was used before", status=401)
    return peer
