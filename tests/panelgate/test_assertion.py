import base64

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from panelgate import assertion
from panelgate.assertion import SeenOnce
from panelgate.errors import Refused
from panelgate.pki import Authority, Identity, Role, make_csr, make_key

NOW = 1_800_000_000.0
AUTHORITY = Authority.create(NOW)


def identity() -> Identity:
    key = make_key()
    certificate = AUTHORITY.issue(make_csr(key), Role.RELAY, "r1", now=NOW)
    return Identity(Role.RELAY, "r1", key, certificate, AUTHORITY.certificate)


RELAY = identity()


def check(
    token: str, *, method: str = "POST", path: str = "/relay/v1/report", now: float = NOW, seen: SeenOnce | None = None
) -> str:
    try:
        peer = assertion.verify(token, AUTHORITY.certificate, method, path, now, seen or SeenOnce())
    except Refused as refused:
        return refused.code
    return f"{peer.role}:{peer.id}"


def token(now: float = NOW) -> str:
    return assertion.sign(RELAY, "POST", "/relay/v1/report", now)


def test_a_role_proves_who_it_is() -> None:
    assert check(token()) == "relay:r1"


def test_a_proof_is_for_one_call() -> None:
    assert check(token(), method="GET") == "bad_assertion"
    assert check(token(), path="/relay/v1/register") == "bad_assertion"


def test_a_proof_counts_once() -> None:
    seen = SeenOnce()
    recorded = token()
    assert check(recorded, seen=seen) == "relay:r1"
    assert check(recorded, seen=seen) == "assertion_replayed"
    assert check(token(), seen=seen) == "relay:r1"


@pytest.mark.parametrize("drift", [-121, 121])
def test_a_proof_has_its_minute_and_a_clock_may_drift_a_little(drift: float) -> None:
    assert check(token(NOW + drift)) == "assertion_expired"
    assert check(token(NOW + drift / 3)) == "relay:r1"


def test_a_certificate_of_another_installation_does_not_count() -> None:
    stranger = Authority.create(NOW)
    key = make_key()
    foreign = Identity(
        Role.RELAY, "r1", key, stranger.issue(make_csr(key), Role.RELAY, "r1", now=NOW), stranger.certificate
    )
    assert check(assertion.sign(foreign, "POST", "/relay/v1/report", NOW)) == "foreign_certificate"


def test_an_expired_certificate_does_not_count() -> None:
    assert check(token(NOW + 91 * 86400), now=NOW + 91 * 86400) == "certificate_expired"


def test_somebody_elses_certificate_needs_his_key() -> None:
    der = base64.b64encode(RELAY.certificate.public_bytes(serialization.Encoding.DER)).decode()
    pem = make_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    forged = jwt.encode(
        {"alg": "ES256", "typ": assertion.TYPE, "x5c": [der]},
        {"iat": int(NOW), "jti": "x", "htm": "POST", "htp": "/relay/v1/report"},
        ECKey.import_key(pem),
        registry=assertion._registry,
    )
    assert check(forged) == "bad_assertion"


@given(st.text())
def test_rubbish_is_refused(text: str) -> None:
    assert check(text) == "bad_assertion"


def test_memory_of_seen_proofs_is_bounded_and_forgets() -> None:
    seen = SeenOnce(seconds=10, limit=2)
    assert [seen.first_time(name, 0) for name in ("a", "b", "c")] == [True, True, False]
    assert seen.first_time("c", 11)
    assert seen.first_time("a", 11)


def test_brackets_without_end_are_a_bad_assertion() -> None:
    header = base64.urlsafe_b64encode(b"[" * 2900).rstrip(b"=").decode()
    assert check(f"{header}.e30.AAAA") == "bad_assertion"


def test_one_owner_cannot_fill_the_memory_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assertion, "AGENT_LIMIT", 3)
    key = make_key()
    certificate = AUTHORITY.issue(make_csr(key), Role.AGENT, "a1", now=NOW)
    agent = Identity(Role.AGENT, "a1", key, certificate, AUTHORITY.certificate)
    seen = SeenOnce()
    said = [check(assertion.sign(agent, "POST", "/x", NOW), path="/x", seen=seen) for _ in range(5)]
    assert said == ["agent:a1"] * 3 + ["assertion_replayed"] * 2
    assert check(token(), seen=seen) == "relay:r1"
    # Room comes back with time.
    later = NOW + 1000
    assert check(assertion.sign(agent, "POST", "/x", later), path="/x", now=later, seen=seen) == "agent:a1"
