"""The installation's certificate authority at work: what it issues is written down, and what is revoked opens nothing.

The subject of a certificate comes from the server's own record, never from the request (CVE-2024-33897: a device that
named itself took over foreign tunnels). A request that tries to name somebody is reported to the caller, who audits it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from access.db import Store, Unit
from access.models.base import new_id
from access.models.machines import Certificate
from panelgate import pki
from panelgate.errors import BadInput, Broken, Refused
from panelgate.pki import Authority, Identity, Peer, Role

CSR_LIMIT: Final = 8192  # characters; a P-256 request takes about 600
SERVER_DAYS: Final = 397.0  # access renews its own certificate when it starts; it must outlast a long uptime
NAMES_LIMIT: Final = 16  # host names in one certificate
_NAME_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:")


def create(folder: Path, now: float) -> Authority:
    """The authority in `folder`, made when there is none: one that is there is never replaced."""
    if not (folder / "ca.pem").exists():
        Authority.create(now).save(folder)
    return Authority.load(folder)


def server_identity(folder: Path, authority: Authority, names: Iterable[str], now: float) -> Identity:
    """The access server's own identity in `folder`, made anew when it is missing, half over, or lacks one of `names`.

    `names` are the host names and addresses the access server answers on.
    """
    wanted = tuple(name for name in (name.strip() for name in names) if name)
    try:
        present = Identity.load(folder)
    except Broken:
        present = None
    if present is not None and _serves(present, authority, wanted, now):
        return present
    key = pki.make_key()
    ident = present.id if present else new_id()
    certificate = authority.issue(pki.make_csr(key), Role.ACCESS, ident, names=wanted, days=SERVER_DAYS, now=now)
    return Identity(Role.ACCESS, ident, key, certificate, authority.certificate).save(folder)


def _serves(identity: Identity, authority: Authority, names: tuple[str, ...], now: float) -> bool:
    certificate = identity.certificate
    try:
        pki.verify_issued(certificate, authority.certificate, now)
    except Refused:
        return False
    left = certificate.not_valid_after_utc.timestamp() - now
    carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = {str(name.value) for name in carried}
    return left > SERVER_DAYS * 86400 / 2 and known.issuperset(names)


def issue(
    unit: Unit, authority: Authority, csr: str, role: Role, ident: str, *, names: Iterable[str] = ()
) -> x509.Certificate:
    """Issue a certificate for the key in `csr`, naming `role` and `ident`, and write it down in the unit's account.

    BadInput: bad_csr, bad_names.
    """
    if len(csr) > CSR_LIMIT:
        raise BadInput("bad_csr", "The certificate request is too long.", {"limit": CSR_LIMIT})
    try:
        certificate = authority.issue(csr, role, ident, names=_checked(names), now=unit.now)
    except (ValueError, TypeError) as error:
        raise BadInput("bad_csr", "The certificate request can't be read.") from error
    unit.add(
        Certificate(
            account_id=unit.account_id, role=str(role), subject_id=ident, fingerprint=pki.fingerprint(certificate),
            issued=unit.now, not_after=certificate.not_valid_after_utc.timestamp(),
        )
    )  # fmt: skip
    return certificate


def _checked(names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(names)
    if len(found) > NAMES_LIMIT or any(not 0 < len(name) <= 253 or set(name) - _NAME_ALPHABET for name in found):
        raise BadInput("bad_names", f"Give at most {NAMES_LIMIT} host names or addresses.", {"limit": NAMES_LIMIT})
    return found


def claimed_subject(csr: str) -> str:
    """The name that a certificate request asks for, "" when it leaves that to us as it should.

    Subject and alternative names both count; the text is bounded and fit for an audit row.
    """
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        claimed = [str(attribute.value) for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        claimed = claimed or ([request.subject.rfc4514_string()] if list(request.subject) else [])
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                claimed += [str(name.value) for name in extension.value]
    except (ValueError, x509.UnsupportedGeneralNameType):
        return ""
    return ", ".join(claimed)[:200]


def is_revoked(store: Store, peer: Peer) -> bool:
    """Whether the certificate a caller showed must not be used: revoked, or not one that was written down.

    Asked at every call, so that a revocation counts at the next one.
    """
    with store.operator() as unit:
        row = unit.find(Certificate, Certificate.fingerprint == peer.fingerprint)
    return row is None or row.revoked_at is not None or (row.role, row.subject_id) != (str(peer.role), peer.id)


def revoke(unit: Unit, role: Role, ident: str, reason: str, *, keep: str | None = None) -> int:
    """Revoke all certificates of a subject but the one with fingerprint `keep`; how many there were."""
    rows = unit.all(
        Certificate,
        Certificate.role == str(role),
        Certificate.subject_id == ident,
        Certificate.revoked_at.is_(None),
        Certificate.fingerprint != (keep or ""),
    )
    for row in rows:
        row.revoked_at = unit.now
        row.revoked_reason = reason
    return len(rows)
