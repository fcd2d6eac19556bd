import base64
import hashlib
import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from access import activation
from panelgate.errors import BadInput
from panelgate.pki import Authority

CA = Authority.create().certificate


def test_the_text_has_the_documented_form_and_names_the_authority():
    text, _ = activation.make("pgk", CA)
    assert re.fullmatch(r"pgk-[a-z2-7]{26}-[a-z2-7]{32}", text)
    digest = hashlib.sha256(CA.public_bytes(Encoding.DER)).digest()[:20]
    assert base64.b32decode(text[-32:].upper()) == digest


def test_the_stored_hash_is_found_again_and_is_not_the_secret():
    text, stored = activation.make("pgk", CA)
    assert activation.stored_hash("pgk", f"  {text.upper()}\n") == stored
    assert text.split("-")[1] not in stored
    assert activation.make("pgk", CA)[1] != stored


def test_half_a_key_and_a_key_of_another_kind_are_refused():
    text, _ = activation.make("pgk", CA)
    for bad in ("", text[:-1], text + "a", text.replace("pgk", "pgj"), text[4:]):
        with pytest.raises(BadInput) as refused:
            activation.stored_hash("pgk", bad)
        assert refused.value.code == "bad_key"
