"""The agent's configuration: complete, signed, its version only grows, no secrets in it."""

from __future__ import annotations

import pytest

from access import configuration, signing
from panelgate.pki import to_pem
from panelgate.tickets import TicketRefused
from tests.fakes.access_machines import LAN, PANEL_PASSWORD, Plant


def signed(plant: Plant) -> str:
    with plant.reading() as unit:
        return configuration.signed(unit, plant.device(), signing.signer(unit, plant.kernel.keyring))


def test_it_says_what_the_agent_may_dial(plant: Plant) -> None:
    pin = "ab" * 32
    plant.add_service("tls", protocol="https", tls_verify="pin", tls_pin=pin)
    found = plant.verifier().config(signed(plant))
    assert (found["device_id"], found["lan"], found["level"]) == (plant.device_id, [LAN], "enforced")
    assert found["services"][0] == {
        "id": plant.hmi.id, "slug": "hmi", "name": "HMI", "host": "192.168.0.10", "port": 80, "protocol": "http",
        "tls": {"verify": "none", "pin": None}, "compress": "static",
    }  # fmt: skip
    assert "compress" not in found["services"][1]
    assert found["services"][2]["tls"] == {"verify": "pin", "pin": pin, "profile": "modern"}
    assert PANEL_PASSWORD not in str(found)


def test_options_for_the_agent_travel_and_no_others(plant: Plant) -> None:
    ca = to_pem(plant.kernel.authority.certificate)
    options = {"tls_profile": "legacy", "tls_ca": ca, "compress": "off", "auth": "basic", "user": "operator-7"}
    plant.add_service("tls", protocol="https", tls_verify="ca", options=options)
    plant.add_service("untrusted", protocol="https", tls_verify="pin", options={"tls_ca": ca})
    found = plant.verifier().config(signed(plant))["services"]
    assert found[2]["tls"] == {"verify": "ca", "pin": None, "profile": "legacy", "ca": ca}
    assert found[2]["compress"] == "off"
    assert found[3]["tls"] == {"verify": "pin", "pin": None, "profile": "modern"}
    assert "operator-7" not in str(found)


def test_its_version_grows_with_every_change(plant: Plant) -> None:
    versions = [plant.device().config_version]
    for number in range(3):
        plant.add_service(f"s{number}")
        versions.append(plant.verifier().config(signed(plant))["version"])
    assert versions == sorted(set(versions))


def test_a_changed_byte_shows(plant: Plant) -> None:
    token = signed(plant)
    head, body, signature = token.split(".")
    with pytest.raises(TicketRefused):
        plant.verifier().config(".".join((head, body[:-2] + ("A" if body[-2] != "A" else "B") + body[-1], signature)))
