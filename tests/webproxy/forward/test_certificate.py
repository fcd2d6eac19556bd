"""Refused certificates: read from the agent's words, explained to each, told to access once an hour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panelgate.clock import FakeClock
from panelgate.frames import StreamError
from tests.fakes.access_stub import AccessStub
from tests.fakes.circuit import FakeReset
from tests.fakes.front import running, until
from webproxy.forward.certificate import Refusals, Shown, explain, read, spelled
from webproxy.sessions import ServiceSession

AB = ":".join(["AB"] * 32)
CD = ":".join(["CD"] * 32)
PORTAL = "https://portal.example.com"


def session(verify: str = "pin", pin: str | None = None, *, manages: bool = False) -> ServiceSession:
    access = AccessStub()
    label = access.add_session("tok", protocol="https")
    made = ServiceSession.of(access.sessions["tok", label])
    service = dict(made.service) | {"tls_verify": verify, "tls_pin": pin}
    return replace(made, service=service, manages=manages)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"certificate sha256 {AB}", Shown("ab" * 32)),
        (f"certificate sha256 {AB} self-signed certificate", Shown("ab" * 32, "self-signed certificate")),
        ("certificate none", Shown("")),
        ("certificate none self-signed certificate", Shown("")),
        ("certificate certificate has expired", Shown("", "certificate has expired")),
        (f"certificate sha256 {AB[:-3]}", Shown("", f"sha256 {AB[:-3]}")),  # half of one is none
        ("the device answers without encryption", None),
        ("", None),
    ],
)
def test_what_the_agent_said(text: str, shown: Shown | None) -> None:
    assert read(FakeReset(StreamError.TLS, text)) == shown
    assert read(FakeReset(StreamError.REFUSED, text)) is None


def test_other_ends_are_none_of_it() -> None:
    assert read(None) is None
    assert read(ConnectionError("lost")) is None
    assert spelled(None) == ""
    assert spelled("ab" * 32) == AB


def test_a_changed_certificate_is_shown_beside_the_trusted_one() -> None:
    problem = explain(Shown("ab" * 32), session(pin="cd" * 32), PORTAL)
    assert (problem.status, problem.kind) == (502, "certificate_changed")
    assert (problem.facts["certificate"], problem.facts["pinned"]) == (AB, CD)
    assert "administrator" in problem.todo
    assert "manage" not in problem.facts


def test_each_way_to_be_refused_has_its_page() -> None:
    new = explain(Shown("ab" * 32), session(), PORTAL)
    unknown = explain(Shown("ab" * 32, "self-signed certificate"), session("ca"), PORTAL)
    none = explain(Shown(""), session(), PORTAL)
    unnamed = explain(Shown("", "certificate has expired"), session("ca"), PORTAL)
    assert [page.kind for page in (new, unknown, none, unnamed)] == [
        "certificate_new",
        "tls",
        "certificate_none",
        "tls",
    ]
    assert unknown.facts["certificate_trouble"] == "self-signed certificate"
    assert all("pinned" not in page.facts for page in (new, unknown, none))


@pytest.mark.parametrize(
    "of", [session(manages=True), session("ca", manages=True), session(pin="cd" * 32, manages=True)]
)
def test_who_manages_the_machine_is_led_to_the_portal_and_the_link_carries_no_fingerprint(of: ServiceSession) -> None:
    problem = explain(Shown("ab" * 32), of, PORTAL)
    assert problem.facts["manage"] == f"{PORTAL}/machines/press/services/svc1/certificate"
    assert "ell an administrator" not in problem.todo


async def test_the_person_sees_both_and_access_hears_of_it_once_an_hour() -> None:
    async with running() as front:
        key = ("tok", front.label)
        front.access.sessions[key]["service"] |= {"protocol": "https", "tls_verify": "pin", "tls_pin": "cd" * 32}
        front.targets["svc1"] = FakeReset(StreamError.TLS, f"certificate sha256 {AB}")
        page = front.head(Accept="text/html", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")
        for _ in range(3):
            answer = await front.ask(page)
            assert answer.status == 502
            assert AB.encode() in answer.body
            assert CD.encode() in answer.body
            assert b"/certificate" not in answer.body  # he does not manage the machine
        await until(lambda: front.access.count("/certificate-refused"))
        assert front.access.count("/certificate-refused") == 1
        told = [body for path, body in front.access.calls if path.endswith("/certificate-refused")]
        assert told == [{"service_token": "tok", "host_label": front.label, "fingerprint": "ab" * 32}]
        front.clock.advance(3601)
        await front.ask(front.head())
        await until(lambda: front.access.count("/certificate-refused") == 2)


async def test_what_access_did_not_hear_is_told_again() -> None:
    access = AccessStub()
    label = access.add_session("tok", protocol="https")
    of = ServiceSession.of(access.sessions["tok", label])
    refusals = Refusals(access, FakeClock(), PORTAL)
    reset: Any = FakeReset(StreamError.TLS, f"certificate sha256 {AB}")
    access.down = True
    assert refusals.problem(reset, of, "tok") is not None
    await until(lambda: access.count("/certificate-refused") == 1 and not refusals._noted)
    access.down = False
    refusals.problem(reset, of, "tok")
    await until(lambda: access.count("/certificate-refused") == 2)
    assert refusals.problem(None, of, "tok") is None
