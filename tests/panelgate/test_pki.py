import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from panelgate.errors import BadInput, Broken, Refused
from panelgate.pki import (
    Authority,
    Identity,
    Role,
    fingerprint,
    from_pem,
    make_csr,
    make_key,
    peer_identity,
    peer_of,
    to_pem,
    verify_issued,
    write_private,
)

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def test_the_authority_sets_the_subject_whatever_the_request_says(authority: Authority) -> None:
    key = make_key()
    wish = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent:somebody-else")])
    request = x509.CertificateSigningRequestBuilder().subject_name(wish)
    request = request.add_extension(x509.SubjectAlternativeName([x509.DNSName("portal.example")]), critical=False)
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    issued = authority.issue(csr, Role.AGENT, "mine")
    assert "somebody-else" not in issued.subject.rfc4514_string()
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []
    assert peer_of(issued).id == "mine"


@pytest.mark.parametrize(
    "csr", ["", "no pem", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_a_request_that_is_none_is_refused(authority: Authority, csr: str) -> None:
    with pytest.raises(BadInput) as caught:
        authority.issue(csr, Role.AGENT, "x")
    assert caught.value.code == "bad_csr"


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())], ids=["rsa", "p384"]
)
def test_only_keys_on_p256_are_certified(
    authority: Authority, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(BadInput):
        authority.issue(request.public_bytes(serialization.Encoding.PEM).decode(), Role.AGENT, "x")


def test_an_identity_is_saved_with_a_key_only_its_owner_reads(authority: Authority, tmp_path: Path) -> None:
    identity = authority.new_identity(Role.RELAY, "r1", names=["localhost", "127.0.0.1"]).save(tmp_path / "id")
    loaded = Identity.load(tmp_path / "id")
    assert (loaded.role, loaded.id, loaded.fingerprint) == (Role.RELAY, "r1", identity.fingerprint)
    assert (tmp_path / "id" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_an_identity_that_is_not_there_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(Broken) as caught:
        Identity.load(tmp_path)
    assert str(tmp_path) in caught.value.message


def test_an_authority_survives_saving(authority: Authority, tmp_path: Path) -> None:
    authority.save(tmp_path)
    again = Authority.load(tmp_path)
    assert verify_issued(again.new_identity(Role.AGENT, "a").certificate, authority.certificate, now()).id == "a"


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "secret"
    write_private(target, b"one")
    write_private(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


def now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()


def test_certificates_of_another_installation_are_foreign(authority: Authority) -> None:
    other = Authority.create().new_identity(Role.AGENT, "a")
    with pytest.raises(Refused) as caught:
        verify_issued(other.certificate, authority.certificate, now())
    assert caught.value.code == "foreign_certificate"


@pytest.mark.parametrize(
    ("at", "code"), [(NOW + 91 * DAY, "certificate_expired"), (NOW - DAY, "certificate_not_yet_valid")]
)
def test_certificates_have_their_time(at: float, code: str) -> None:
    authority = Authority.create(NOW)
    certificate = authority.issue(make_csr(make_key()), Role.AGENT, "a", now=NOW)
    with pytest.raises(Refused) as caught:
        verify_issued(certificate, authority.certificate, at)
    assert caught.value.code == code


def test_the_authoritys_own_certificate_names_no_role(authority: Authority) -> None:
    with pytest.raises(Refused):
        peer_of(authority.certificate)


def test_pem_goes_both_ways_and_rubbish_is_refused(authority: Authority) -> None:
    assert from_pem(to_pem(authority.certificate)) == authority.certificate
    with pytest.raises(BadInput):
        from_pem("rubbish")


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str | None) -> tuple[bytes | None, str | None]:
    """Both sides over a socket pair: the client's certificate as the server saw it, and the version spoken."""
    left, right = socket.socketpair()
    seen: list[bytes | None] = [None]

    def serve() -> None:
        with right:
            try:
                with server.wrap_socket(right, server_side=True) as tls:
                    seen[0] = tls.getpeercert(binary_form=True)
                    tls.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with left, client.wrap_socket(left, server_hostname=name) as tls:
            version = tls.version()
            tls.recv(1)
    finally:
        left.close()
        thread.join()
    return seen[0], version


def test_dialling_checks_name_and_authority(authority: Authority, tmp_path: Path) -> None:
    relay = authority.new_identity(Role.RELAY, "r", names=["localhost"]).save(tmp_path / "r")
    agent = authority.new_identity(Role.AGENT, "a").save(tmp_path / "a")
    stranger = Authority.create().new_identity(Role.AGENT, "a").save(tmp_path / "s")
    assert handshake(agent.client_context(), relay.server_context(), "localhost")[1] == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(agent.client_context(), relay.server_context(), "relay.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(stranger.client_context(), relay.server_context(), "localhost")


def test_both_sides_of_a_circuit_show_a_certificate(authority: Authority, tmp_path: Path) -> None:
    proxy = authority.new_identity(Role.WEBPROXY, "w").save(tmp_path / "w")
    agent = authority.new_identity(Role.AGENT, "a").save(tmp_path / "a")
    der, version = handshake(proxy.circuit_context(server=False), agent.circuit_context(server=True), None)
    assert der is not None
    assert peer_identity(der) == (peer := peer_of(proxy.certificate))
    assert (peer.role, peer.id, peer.fingerprint, version) == (
        Role.WEBPROXY,
        "w",
        fingerprint(proxy.certificate),
        "TLSv1.3",
    )


def test_a_circuit_without_a_certificate_fails(authority: Authority, tmp_path: Path) -> None:
    agent = authority.new_identity(Role.AGENT, "a").save(tmp_path / "a")
    naked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    naked.check_hostname = False
    naked.load_verify_locations(cadata=to_pem(authority.certificate))
    with pytest.raises(OSError):  # noqa: PT011  (TLS 1.3: an alert or a reset, whichever arrives first)
        handshake(naked, agent.circuit_context(server=True), None)


def test_an_unsaved_identity_cannot_speak_tls(authority: Authority) -> None:
    with pytest.raises(Broken):
        authority.new_identity(Role.AGENT, "a").server_context()
