"""A refused certificate is an event with both fingerprints, and no flood."""

from __future__ import annotations

import pytest

from access import certificates
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, Refused
from tests.fakes.access_machines import Plant

PIN = "ab" * 32


def note(plant: Plant, shown: str, slug: str = "tls", token: str = "") -> bool:
    kernel, service = plant.kernel, plant.service(slug)
    return certificates.refused(
        kernel.store, kernel.limits, token=token or plant.open(service), host_label=service.host_label,
        fingerprint=shown,
    )  # fmt: skip


def test_both_fingerprints_are_in_the_row_once_an_hour(plant: Plant, clock: FakeClock) -> None:
    plant.add_service("tls", protocol="https", tls_verify="pin", tls_pin=PIN)
    assert note(plant, "c" * 64)
    assert not note(plant, "c" * 64)
    (row,) = plant.audit(certificates.ACTION)
    assert (row["user"], row["device"], row["service"], row["result"]) == ("anna", "press", "tls", "refused")
    assert row["facts"] == {"shown": "c" * 64, "pinned": PIN, "verify": "pin"}
    assert note(plant, "d" * 64)  # another certificate is another event
    clock.advance(3601)
    assert note(plant, "c" * 64)


def test_another_services_row_does_not_hide_this_ones(plant: Plant) -> None:
    for slug in ("tls", "other"):
        plant.add_service(slug, protocol="https", tls_verify="pin", tls_pin=PIN)
        assert note(plant, "c" * 64, slug)


def test_a_panel_that_changes_its_certificate_each_time_does_not_flood_the_audit(plant: Plant) -> None:
    plant.add_service("tls", protocol="https", tls_verify="pin")
    written = [note(plant, f"{number:064x}") for number in range(15)]
    assert written.count(True) == certificates.HOURLY_LIMIT


def test_what_is_no_refused_certificate_is_refused(plant: Plant) -> None:
    plant.add_service("tls", protocol="https", tls_verify="pin", tls_pin=PIN)
    for shown, slug, code in (("zz", "tls", "bad_fingerprint"), ("c" * 64, "hmi", "wrong_purpose")):
        with pytest.raises(BadInput) as caught:
            note(plant, shown, slug)
        assert caught.value.code == code
    with pytest.raises(Refused):
        note(plant, "c" * 64, token="x" * 43)
    assert plant.audit(certificates.ACTION) == []
