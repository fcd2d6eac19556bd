"""Options as access keeps them: checked against the device's other services, short in the audit."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from access import devices, service_options, services
from panelgate.errors import BadInput
from panelgate.options import CA_LIMIT, ServiceOptions
from panelgate.pki import make_key, to_pem
from tests.fakes.access_machines import Plant
from tests.fakes.access_world import ACTOR


def check(plant: Plant, given: dict[str, Any] | ServiceOptions, of: str = "hmi") -> dict[str, Any]:
    with plant.reading() as unit:
        return service_options.check(unit, services.need(unit, plant.service(of).id)[1], given)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"companions": ["nothing"]}, "companions"),
        ({"companions": ["panel"]}, "companions"),  # a VNC screen
        ({"companions": ["hmi"]}, "companions"),  # itself
        ({"companions": ["foreign"]}, "companions"),  # another machine's
        ({"companions": ["socket", "socket"]}, "companions"),
        ({"auth": "basic"}, "user"),
        ({"auth": "digest", "user": ""}, "user"),
        ({"auth": "basic", "user": "a:b"}, "user"),
        ({"headers": [["Set-Cookie", "a=b"]]}, "headers"),
        ({"tls_ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "tls_ca"),
        ({"tls_ca": "-----BEGIN CERTIFICATE-----"}, "tls_ca"),
        ({"invented": True}, "invented"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_options_name(plant: Plant, given: dict[str, Any], option: str) -> None:
    plant.add_service("socket", port=8080)
    with plant.writing() as unit:
        other = devices.create(unit, ACTOR, slug="saw", name="Saw", lan=["10.0.0.0/24"])
        fields = services.Fields("foreign", "Foreign", "10.0.0.5", "http")
        services.create(unit, plant.kernel.keyring, ACTOR, other, fields)
    with pytest.raises(BadInput) as caught:
        check(plant, given)
    assert (caught.value.code, caught.value.facts["option"]) == ("bad_option", option)


def test_a_web_service_of_the_same_device_can_be_a_companion(plant: Plant) -> None:
    plant.add_service("socket", port=8080)
    assert check(plant, {"companions": ["socket"]}) == {"companions": ["socket"]}
    assert check(plant, ServiceOptions(companions=("socket",))) == {"companions": ["socket"]}


def test_only_what_differs_from_the_defaults_is_stored(plant: Plant) -> None:
    assert check(plant, {"host": "", "compress": "static", "cache": True, "forwarded": True}) == {"forwarded": True}
    assert check(plant, {"forwarded": True}, of="panel") == {}  # options are for web pages


def test_of_an_authority_nothing_but_certificates_is_stored(plant: Plant) -> None:
    ca = to_pem(plant.kernel.authority.certificate)
    assert check(plant, {"tls_ca": f"Our company\n{ca}\nand notes"}) == {"tls_ca": ca}
    with pytest.raises(BadInput) as caught:
        check(plant, {"tls_ca": ca + "-----BEGIN PRIVATE KEY-----"})
    assert "private key" in caught.value.message


def test_what_is_stored_can_be_read_again(plant: Plant) -> None:
    """Pasted in one long line an authority fits that written in lines does not."""
    key, name = make_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Long")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(datetime(2025, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2045, 1, 1, tzinfo=UTC))
    made = made.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(24_100)), False)
    der = made.sign(key, SHA256()).public_bytes(Encoding.DER)
    pasted = f"-----BEGIN CERTIFICATE-----\n{b64encode(der).decode()}\n-----END CERTIFICATE-----\n"
    assert len(pasted) < CA_LIMIT
    with pytest.raises(BadInput) as caught:
        check(plant, {"tls_ca": pasted})
    assert caught.value.facts["option"] == "tls_ca"


def test_the_audit_names_a_certificate_by_its_fingerprint_and_cuts_long_headers(plant: Plant) -> None:
    ca = to_pem(plant.kernel.authority.certificate)
    told = service_options.told({"tls_ca": ca, "headers": [["X-Long", "y" * 4000]], "host": "a"})
    assert told["tls_ca"][0].startswith("sha256 ")
    assert len(str(told)) < 400
    assert told["host"] == "a"


def test_headers_that_differ_behind_the_cut_are_a_change_all_the_same() -> None:
    one, other = {"headers": [["X", "y" * 400]]}, {"headers": [["X", "y" * 401]]}
    assert list(service_options.changes(one, other)) == ["headers"]
    assert service_options.changes(one, one) == {}
    assert service_options.changes({}, {"auth": "basic"}) == {"auth": ["none", "basic"]}
