import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from panelgate.tickets import (
    ISSUER,
    SKEW_SECONDS,
    CircuitTicket,
    ControlTicket,
    Signer,
    TicketRefused,
    Verifier,
    new_signing_key,
    public_part,
)

NOW = 1_800_000_000
KEY = new_signing_key()
SIGNER = Signer(KEY)
VERIFIER = Verifier.of(KEY)
CIRCUIT = CircuitTicket("c1", "acc", "usr", "ses", "dev", ("hmi", "panel"), False, "wp", "ab" * 32, "rel", NOW + 60)
CONTROL = ControlTicket("dev", "cd" * 32, "rel", 7, NOW + 60)


def refusal(token: str, now: float = NOW, verifier: Verifier = VERIFIER) -> str:
    with pytest.raises(TicketRefused) as caught:
        verifier.circuit(token, now)
    return caught.value.code


def test_tickets_say_what_was_signed() -> None:
    assert VERIFIER.circuit(SIGNER.circuit(CIRCUIT, NOW), NOW) == CIRCUIT
    assert VERIFIER.control(SIGNER.control(CONTROL, NOW), NOW) == CONTROL


def test_a_ticket_ends() -> None:
    token = SIGNER.circuit(CIRCUIT, NOW)
    assert VERIFIER.circuit(token, CIRCUIT.expires + SKEW_SECONDS)
    assert refusal(token, CIRCUIT.expires + SKEW_SECONDS + 1) == "ticket_expired"
    assert refusal(token, NOW - SKEW_SECONDS - 1) == "ticket_not_yet_valid"


def test_one_kind_is_never_another() -> None:
    assert refusal(SIGNER.control(CONTROL, NOW)) == "bad_ticket"
    assert refusal(SIGNER.config({"device_id": "dev"})) == "bad_ticket"
    with pytest.raises(TicketRefused):
        VERIFIER.control(SIGNER.circuit(CIRCUIT, NOW), NOW)
    with pytest.raises(TicketRefused):
        VERIFIER.config(SIGNER.circuit(CIRCUIT, NOW))


def test_a_key_that_is_not_known_is_told_apart_from_a_forgery() -> None:
    assert refusal(Signer(new_signing_key()).circuit(CIRCUIT, NOW)) == "unknown_key"
    stolen_name = {**new_signing_key(), "kid": KEY["kid"]}
    assert refusal(Signer(stolen_name).circuit(CIRCUIT, NOW)) == "bad_ticket"


def test_old_and_new_keys_verify_side_by_side() -> None:
    newer = new_signing_key()
    both = Verifier({"keys": [public_part(KEY), public_part(newer)]})
    assert both.circuit(SIGNER.circuit(CIRCUIT, NOW), NOW) == both.circuit(Signer(newer).circuit(CIRCUIT, NOW), NOW)


def test_the_public_part_holds_no_secret() -> None:
    assert "d" not in public_part(KEY)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_weak_algorithms_are_refused(algorithm: str) -> None:
    header = {"alg": algorithm, "kid": KEY["kid"], "typ": "pg-circuit"}
    claims = {"iss": ISSUER, "iat": NOW, "exp": NOW + 60}
    if algorithm == "none":
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
        token = ".".join([*parts, ""])
    else:
        # The classic confusion: the public key's text as the secret of a symmetric algorithm.
        token = jwt.encode(header, claims, OctKey.import_key(KEY["x"] + "padding" * 4), algorithms=["HS256"])
    assert refusal(token) == "bad_ticket"


@pytest.mark.parametrize("field", ["circuit_id", "device_id", "webproxy_fingerprint", "relay_id"])
def test_an_empty_claim_is_refused(field: str) -> None:
    assert refusal(SIGNER.circuit(replace(CIRCUIT, **{field: ""}), NOW)) == "bad_ticket"


def test_a_counter_must_be_a_number() -> None:
    with pytest.raises(TicketRefused):
        VERIFIER.control(SIGNER.control(replace(CONTROL, counter=True), NOW), NOW)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_rubbish_is_refused_and_nothing_else_happens(token: str) -> None:
    assert refusal(token) in {"bad_ticket", "unknown_key"}


@given(st.data())
def test_any_changed_character_is_noticed(data: st.DataObject) -> None:
    token = SIGNER.circuit(CIRCUIT, NOW)
    signature_start = token.rindex(".") + 1
    # The last character of a base64url text carries unused bits; every other one counts.
    position = data.draw(st.integers(0, len(token) - 2).filter(lambda i: i != signature_start - 1 and token[i] != "."))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_").filter(lambda c: c != token[position]))
    assert refusal(token[:position] + letter + token[position + 1 :]) in {"bad_ticket", "unknown_key"}


def test_a_configuration_is_read_back_and_guarded() -> None:
    token = SIGNER.config({"device_id": "dev", "version": 3})
    assert VERIFIER.config(token) == {"device_id": "dev", "version": 3}
    header, payload, signature = token.split(".")
    forged = base64.urlsafe_b64encode(b'{"iss":"panelgate-access","cfg":{"version":9}}').rstrip(b"=").decode()
    with pytest.raises(TicketRefused):
        VERIFIER.config(f"{header}.{forged}.{signature}")
    assert payload != forged
