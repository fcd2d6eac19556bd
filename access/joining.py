"""Relays and web proxies join the installation with a one-time token, and renew their certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509

from access import activation, audit, authority
from access.db import Store, Unit
from access.models.base import new_id
from access.models.machines import JoinToken
from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.pki import Authority, Peer, Role

TOKEN_SECONDS: Final = 86400.0  # made and used on the same day, by the same person
ROLES: Final = (Role.RELAY, Role.WEBPROXY)


def new_token(unit: Unit, ca: x509.Certificate, role: Role) -> tuple[str, float]:
    """Operator: a token with which one `role` may join: (the text to show once, expiry in unix seconds)."""
    if role not in ROLES:
        raise BadInput("bad_role", "Only a relay or a web proxy joins with a token.", {"role": str(role)})
    text, stored = activation.make(activation.JOIN, ca)
    expires = unit.now + TOKEN_SECONDS
    unit.add(JoinToken(role=str(role), hash=stored, created=unit.now, expires=expires))
    audit.append(unit, "role.join_token", facts={"role": str(role)})
    return text, expires


def join(
    store: Store, ca: Authority, token: str, role: str, csr: str, dns_names: Sequence[str], address: str
) -> tuple[str, x509.Certificate]:
    """Let a relay or web proxy in: (its id, its certificate). Refusals are audited.

    `dns_names` are what a relay answers on; a web proxy's certificate carries none, browsers never see it.
    BadInput: bad_key, bad_csr, bad_names. Refused: wrong_token, token_used, token_expired, token_role.
    """
    try:
        stored = activation.stored_hash(activation.JOIN, token)
        with store.operator(write=True) as unit:
            row = unit.find(JoinToken, JoinToken.hash == stored)
            kind = _usable(unit, row, role)
            ident = new_id()
            names = dns_names if kind is Role.RELAY else ()
            certificate = authority.issue(unit, ca, csr, kind, ident, names=names)
            claimed = authority.claimed_subject(csr)
            facts = {"role": str(kind), "id": ident, "names": list(names)} | ({"claimed": claimed} if claimed else {})
            audit.append(unit, "role.join", address=address, facts=facts)
            return ident, certificate
    except Unavailable:
        raise  # nobody was refused: the database is not usable now
    except PanelgateError as error:
        with store.operator(write=True) as unit:
            facts = {"why": error.code, "role": role[:16]}
            audit.append(unit, "role.join", result="refused", address=address, facts=facts)
        raise


def _usable(unit: Unit, row: JoinToken | None, role: str) -> Role:
    if row is None:
        raise Refused("wrong_token", "This join token is not known here. Make one: panelgate access join-token")
    if row.used is not None:
        raise Refused("token_used", "This join token was used already. Make one: panelgate access join-token")
    if unit.now >= row.expires:
        raise Refused("token_expired", "This join token has expired. Make one: panelgate access join-token")
    if role != row.role:
        raise Refused("token_role", f"This join token is for a {row.role}.", {"role": row.role})
    row.used = unit.now
    return Role(row.role)


def renew(unit: Unit, ca: Authority, peer: Peer, csr: str, dns_names: Sequence[str], address: str) -> x509.Certificate:
    """A new certificate for a relay or web proxy that proved itself with the present one, which runs out by itself."""
    names = dns_names if peer.role is Role.RELAY else ()
    certificate = authority.issue(unit, ca, csr, peer.role, peer.id, names=names)
    facts = {"role": str(peer.role), "id": peer.id, "renewed": True}
    audit.append(unit, "role.join", address=address, facts=facts)
    return certificate
