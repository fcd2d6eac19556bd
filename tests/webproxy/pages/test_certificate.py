"""The certificate page: looked at anew, compared, trusted by who manages the machine and nobody's link."""

from __future__ import annotations

from typing import Any

import pytest

from panelgate.errors import Refused, Unavailable
from tests.fakes.portal_access import FakeAccess, FakeWeb
from tests.fakes.portal_browser import browse, moved, page
from webproxy.forward import problems
from webproxy.forward.certificate import Shown
from webproxy.look import Seen

AB = ":".join(["AB"] * 32)
CD = ":".join(["CD"] * 32)
HERE = "/machines/press-4/services/press-4-drives/certificate"


def web(**service: Any) -> FakeWeb:
    made = FakeWeb()
    (found,) = [one for device in made.access.devices for one in device["services"] if one["slug"] == "drives"]
    found |= {"tls_verify": "pin", "tls_pin": None} | service
    return made


async def test_it_is_looked_at_compared_and_trusted() -> None:
    parts = web()
    async with browse(web=parts) as client:
        first = await page(client, HERE)
        assert "Show the panel's certificate" in first.words
        assert "no certificate is trusted yet" in first.words
        seen = await page(client, HERE, do="look")
        assert AB in seen.words
        assert "Trust this certificate" in seen.words
        (carried,) = seen.all("input", name="fingerprint")
        assert carried["value"] == "ab" * 32
        assert not [call for call in parts.access.calls if call[0] == "PATCH"]  # looking changes nothing
        went = await moved(client, HERE, do="trust", fingerprint=carried["value"])
    assert went == "/machines/press-4?done=certificate-trusted"
    assert parts.access.calls[-1] == (
        "PATCH", "/admin/v1/services/press-4-drives", {"tls_verify": "pin", "tls_pin": "ab" * 32},
    )  # fmt: skip


async def test_another_certificate_than_the_trusted_one_is_an_alarm_with_both() -> None:
    async with browse(web=web(tls_pin="cd" * 32)) as client:
        seen = await page(client, HERE, do="look")
        assert AB in seen.words
        assert CD in seen.words
        assert "not the certificate that was trusted" in seen.words
        assert seen.all("div", role="alert")
        assert "Trust the new certificate" in seen.words


async def test_a_fingerprint_in_a_link_is_nothing() -> None:
    async with browse(web=web()) as client:
        seen = await page(client, f"{HERE}?fingerprint={'ee' * 32}&do=trust")
        assert "EE:EE" not in seen.words
        assert not seen.all("input", name="fingerprint")


async def test_what_is_no_fingerprint_is_not_trusted() -> None:
    parts = web()
    async with browse(web=parts) as client:
        for wrong in ("", "ab", "AB" * 32, "ab" * 33, "zz" * 32):
            assert "no fingerprint" in (await page(client, HERE, 422, do="trust", fingerprint=wrong)).words
    assert not [call for call in parts.access.calls if call[0] == "PATCH"]


async def test_another_site_can_neither_look_nor_trust() -> None:
    parts = web()
    async with browse(web=parts, origin="https://evil.example") as client:
        for do in ("look", "trust"):
            assert (await client.post(HERE, data={"do": do, "fingerprint": "ee" * 32})).status_code == 403
    assert parts.access.calls == []


async def test_who_does_not_manage_the_machine_has_no_such_page() -> None:
    parts = web()
    for device in parts.access.devices:
        device["may"] = ["see", "watch", "operate"]
    async with browse(web=parts) as client:
        for answer in (await client.get(HERE), await client.post(HERE, data={"do": "trust", "fingerprint": "ab" * 32})):
            assert answer.status_code == 403
    assert not [call for call in parts.access.calls if call[0] in {"PATCH", "POST"}]


@pytest.mark.parametrize(
    ("service", "seen", "said"),
    [
        ({}, Seen(Shown("")), "shows no certificate"),
        ({}, Seen(Shown("", "certificate has expired")), "certificate has expired"),
        ({"tls_pin": "ab" * 32}, Seen(), "shows the certificate that is trusted"),
        ({"tls_verify": "ca"}, Seen(), "There is nothing to do"),
        ({"tls_verify": "none"}, Seen(), "Any certificate is accepted"),
        ({}, Seen(problem=problems.TIMED_OUT), "does not answer"),
        ({}, Unavailable("device_offline", "offline", status=409), "offline"),
        ({}, Unavailable("relay_lost", "lost"), "connection to the machine was lost"),
    ],
)
async def test_every_other_end_of_a_look_is_said_on_the_page(service: Any, seen: Any, said: str) -> None:
    parts = web(**service)
    parts.circuits.seen = seen
    async with browse(web=parts) as client:
        found = await page(client, HERE, do="look")
    assert said in found.words
    assert not found.all("input", name="fingerprint")


async def test_what_has_no_certificate_leads_to_its_form() -> None:
    async with browse(FakeAccess()) as client:
        assert await moved(client, HERE.replace("drives", "hmi")) == "/machines/press-4/services/press-4-hmi"
        await page(client, HERE.replace("drives", "nothing"), 404)


async def test_a_refusal_of_access_is_its_page() -> None:
    parts = web()
    parts.circuits.seen = Refused("not_allowed", "no", status=403)
    async with browse(web=parts) as client:
        await page(client, HERE, 403, do="look")
