"""Keys, certificates and the installation's own authority.

Everything is ECDSA on P-256. A certificate's subject is set by the authority and names a role and an id;
whatever subject a certificate request carries is ignored (CVE-2024-33897 is what happens otherwise).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panelgate.errors import BadInput, Broken, Refused

AUTHORITY_DAYS = 3650
ROLE_DAYS = 90  # roles and agents renew at two thirds of this
BACKDATE = timedelta(hours=1)  # a plant's clock may be a little slow
URI_PREFIX = "panelgate:"


class Role(StrEnum):
    """Who a certificate speaks for."""

    ACCESS = "access"
    RELAY = "relay"
    WEBPROXY = "webproxy"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a verified certificate names; `fingerprint` is the hex SHA-256 of its DER form."""

    role: Role
    id: str
    fingerprint: str


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new private key; it never leaves the machine that made it."""
    return ec.generate_private_key(ec.SECP256R1())


def make_csr(key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate request in PEM, with an empty subject: the authority sets it."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    """Hex SHA-256 of a certificate's DER form."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def to_pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def from_pem(text: str) -> x509.Certificate:
    """A certificate from PEM text; BadInput when it is none."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise BadInput("bad_certificate", "this is not a certificate in PEM form") from error


def peer_of(certificate: x509.Certificate) -> Peer:
    """Whom a certificate names; Refused when it isn't one of ours. It does not verify the signature."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        role, _, ident = uri.removeprefix(URI_PREFIX).partition(":")
        if uri.startswith(URI_PREFIX) and ident and role in set(Role):
            return Peer(Role(role), ident, fingerprint(certificate))
    raise Refused("foreign_certificate", "the certificate names no part of a Panelgate installation")


def peer_identity(der: bytes) -> Peer:
    """Like `peer_of`, from DER bytes as `SSLObject.getpeercert(binary_form=True)` gives them."""
    return peer_of(x509.load_der_x509_certificate(der))


def verify_issued(certificate: x509.Certificate, authority: x509.Certificate, now: float) -> Peer:
    """Check signature and validity of `certificate` against `authority` at unix time `now`; whom it names.

    Refused: `certificate_expired`, `certificate_not_yet_valid`, `foreign_certificate`.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise Refused("foreign_certificate", "the certificate was not issued by this installation") from error
    moment = datetime.fromtimestamp(now, UTC)
    if moment > certificate.not_valid_after_utc:
        raise Refused(
            "certificate_expired", "the certificate has expired", {"until": str(certificate.not_valid_after_utc)}
        )
    if moment < certificate.not_valid_before_utc:
        raise Refused("certificate_not_yet_valid", "the certificate is not valid yet: is the clock right?")
    return peer_of(certificate)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise Broken("no_key", f"can't read the private key {path}", {"path": str(path)}) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Broken("no_key", f"{path} is not an elliptic-curve key", {"path": str(path)})
    return key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Broken("no_certificate", f"can't read the certificate {path}", {"path": str(path)}) from error


@dataclass(frozen=True, slots=True)
class Identity:
    """A role's key and certificate, and the authority it trusts. Saved as key.pem (0600), certificate.pem, ca.pem."""

    role: Role
    id: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    ca: x509.Certificate
    directory: Path | None = None

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an identity from its directory; Broken when it is not there or not whole."""
        certificate = _read_certificate(directory / "certificate.pem")
        peer = peer_of(certificate)
        return cls(
            peer.role,
            peer.id,
            _read_key(directory / "key.pem"),
            certificate,
            _read_certificate(directory / "ca.pem"),
            directory,
        )

    def save(self, directory: Path) -> Self:
        """Write the identity into `directory`; the same identity, knowing where it lives."""
        write_private(directory / "key.pem", _key_bytes(self.key))
        write_private(directory / "ca.pem", to_pem(self.ca).encode())
        # The certificate is written last: where it is, the identity is whole.
        write_private(directory / "certificate.pem", to_pem(self.certificate).encode())
        return type(self)(self.role, self.id, self.key, self.certificate, self.ca, directory)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the certificate's DER form."""
        return fingerprint(self.certificate)

    def _load_chain(self, context: ssl.SSLContext) -> ssl.SSLContext:
        if self.directory is None:
            raise Broken("identity_not_saved", "an identity must be saved before it can speak TLS")
        context.load_cert_chain(self.directory / "certificate.pem", self.directory / "key.pem")
        return context

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 for a listener that anybody of the installation may dial (the caller proves itself inside)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return self._load_chain(context)

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 for dialling a relay or the access server: their certificate is checked against our authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=to_pem(self.ca))
        return context

    def circuit_context(self, *, server: bool) -> ssl.SSLContext:
        """TLS 1.3 inside a circuit: both sides show a certificate of this installation, no names are compared.

        Who the peer is must be checked afterwards, by role, id and fingerprint.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=to_pem(self.ca))
        if server:
            # A circuit lives on one TCP connection: resumption tickets would only cost bytes on a metered line.
            context.num_tickets = 0
        return self._load_chain(context)


@dataclass(frozen=True, slots=True)
class Authority:
    """The installation's certificate authority. Saved as ca-key.pem (0600) and ca.pem."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, now: float | None = None) -> Self:
        """A new authority, valid for ten years."""
        key = make_key()
        start = _moment(now)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Panelgate installation authority")])
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - BACKDATE)
            .not_valid_after(start + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an authority from its directory; Broken when it is not there."""
        return cls(_read_key(directory / "ca-key.pem"), _read_certificate(directory / "ca.pem"))

    def save(self, directory: Path) -> None:
        """Write the authority into `directory`."""
        write_private(directory / "ca-key.pem", _key_bytes(self.key))
        write_private(directory / "ca.pem", to_pem(self.certificate).encode())

    def issue(
        self,
        csr: str,
        role: Role,
        ident: str,
        *,
        names: Iterable[str] = (),
        days: float = ROLE_DAYS,
        now: float | None = None,
    ) -> x509.Certificate:
        """A certificate for the key in `csr` (PEM), naming `role` and `ident`; nothing else of the request is used.

        `names` are host names and IP addresses a server answers on. BadInput when the request is broken or weak.
        """
        try:
            request = x509.load_pem_x509_csr(csr.encode())
        except ValueError as error:
            raise BadInput("bad_csr", "this is not a certificate request in PEM form") from error
        key = request.public_key()
        if not request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadInput("bad_csr", "the certificate request must be signed by an elliptic-curve key")
        if not isinstance(key.curve, ec.SECP256R1):
            raise BadInput("bad_csr", "the certificate request's key must be on the curve P-256")
        start = _moment(now)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Panelgate"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{role}:{ident}"),
            ]
        )
        alternative: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{URI_PREFIX}{role}:{ident}")]
        alternative += [_general_name(name) for name in names]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - BACKDATE)
            .not_valid_after(start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def new_identity(self, role: Role, ident: str, *, names: Iterable[str] = ()) -> Identity:
        """A key and certificate made here in one go: the access server's own, and what tests need."""
        key = make_key()
        return Identity(role, ident, key, self.issue(make_csr(key), role, ident, names=names), self.certificate)


def _moment(now: float | None) -> datetime:
    return datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
