"""The authority at work: the server sets subjects, what is revoked or unknown opens nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from access import authority
from access.kernel import Kernel
from panelgate import pki
from panelgate.errors import BadInput
from panelgate.pki import Identity, Role, make_csr, make_key, peer_of
from tests.fakes.access_world import make_identity

DAY = 86400.0


def csr_naming(common_name: str, uri: str = "") -> str:
    """A request that asks for a name of its own."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_an_authority_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    first = authority.create(tmp_path, 1_800_000_000.0)
    assert authority.create(tmp_path, 1_900_000_000.0).certificate == first.certificate


def test_the_servers_own_certificate_is_kept_until_half_of_its_life(tmp_path: Path, kernel: Kernel) -> None:
    now = kernel.clock.now()
    first = authority.server_identity(tmp_path, kernel.authority, ["localhost", " 127.0.0.1 "], now)
    same = authority.server_identity(tmp_path, kernel.authority, ["localhost"], now + 30 * DAY)
    later = authority.server_identity(tmp_path, kernel.authority, ["localhost"], now + 250 * DAY)
    assert same.fingerprint == first.fingerprint
    assert later.fingerprint != first.fingerprint
    assert (later.role, later.id) == (Role.ACCESS, first.id)


def test_a_new_name_makes_a_new_certificate(tmp_path: Path, kernel: Kernel) -> None:
    now = kernel.clock.now()
    first = authority.server_identity(tmp_path, kernel.authority, ["localhost"], now)
    second = authority.server_identity(tmp_path, kernel.authority, ["localhost", "access.example.com"], now)
    assert second.fingerprint != first.fingerprint
    assert Identity.load(tmp_path).fingerprint == second.fingerprint


def test_the_subject_is_the_servers_and_never_the_requests(kernel: Kernel) -> None:
    csr = csr_naming("agent:somebody-else", "panelgate:agent:somebody-else")
    with kernel.store.operator(write=True) as unit:
        certificate = authority.issue(unit, kernel.authority, csr, Role.AGENT, "d" * 32)
    assert peer_of(certificate).id == "d" * 32
    assert b"somebody-else" not in certificate.public_bytes(serialization.Encoding.DER)
    assert authority.claimed_subject(csr) == "agent:somebody-else, panelgate:agent:somebody-else"


def test_a_request_that_names_nobody_claims_nothing() -> None:
    assert authority.claimed_subject(make_csr(make_key())) == ""
    assert authority.claimed_subject("junk") == ""


@pytest.mark.parametrize(
    "csr", ["", "junk", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "x" * 9000]
)
def test_broken_requests_are_refused(kernel: Kernel, csr: str) -> None:
    with kernel.store.operator(write=True) as unit, pytest.raises(BadInput) as caught:
        authority.issue(unit, kernel.authority, csr, Role.AGENT, "d")
    assert caught.value.code == "bad_csr"


@pytest.mark.parametrize("names", [["a b"], [""], ["x" * 300], ["a"] * 17, ["é.com"]])
def test_odd_names_are_refused(kernel: Kernel, names: list[str]) -> None:
    with kernel.store.operator(write=True) as unit, pytest.raises(BadInput) as caught:
        authority.issue(unit, kernel.authority, make_csr(make_key()), Role.RELAY, "r", names=names)
    assert caught.value.code == "bad_names"


def test_only_certificates_that_were_written_down_and_not_revoked_count(kernel: Kernel) -> None:
    identity = make_identity(kernel, Role.RELAY, "r1")
    peer = peer_of(identity.certificate)
    assert authority.is_revoked(kernel.store, peer) is False
    forgotten = kernel.authority.new_identity(Role.RELAY, "r1")
    assert authority.is_revoked(kernel.store, peer_of(forgotten.certificate)) is True
    with kernel.store.operator(write=True) as unit:
        assert authority.revoke(unit, Role.RELAY, "r1", "lost") == 1
    assert authority.is_revoked(kernel.store, peer) is True


def test_one_certificate_can_be_kept(kernel: Kernel) -> None:
    old, new = make_identity(kernel, Role.AGENT, "a1"), make_identity(kernel, Role.AGENT, "a1")
    with kernel.store.operator(write=True) as unit:
        assert authority.revoke(unit, Role.AGENT, "a1", "renewed", keep=new.fingerprint) == 1
    assert authority.is_revoked(kernel.store, pki.peer_of(old.certificate))
    assert not authority.is_revoked(kernel.store, pki.peer_of(new.certificate))
