from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.targets import Targets, normal_pin, parse
from panelgate.errors import BadInput, PanelgateError, Refused
from panelgate.options import CA_LIMIT
from panelgate.tickets import Signer, TicketRefused, Verifier, new_signing_key

KEY = new_signing_key()
SIGNER, VERIFIER = Signer(KEY), Verifier.of(KEY)
PIN = "ab" * 32


def service(ident: str = "s1", **changes: Any) -> dict[str, Any]:
    row = {"id": ident, "slug": "hmi", "name": "HMI", "host": "192.168.0.10", "port": 80, "protocol": "http"}
    return {**row, "tls": {"verify": "none", "pin": None}, **changes}


def config(version: int = 1, *services: dict[str, Any], device: str = "d1", **changes: Any) -> dict[str, Any]:
    rows = list(services) or [service()]
    return {
        "device_id": device,
        "version": version,
        "lan": ["192.168.0.0/24"],
        "level": "enforced",
        "services": rows,
        **changes,
    }


def test_nothing_is_known_before_the_first_configuration() -> None:
    targets = Targets("d1")
    assert targets.version == 0
    assert targets.service("s1") is None


def test_a_signed_configuration_comes_into_force() -> None:
    targets = Targets("d1")
    targets.accept(SIGNER.config(config(3)), VERIFIER)
    assert targets.version == 3
    found = targets.service("s1")
    assert found is not None
    assert (found.host, found.port) == ("192.168.0.10", 80)


def test_an_older_version_is_refused_and_a_newer_one_replaces() -> None:
    targets = Targets("d1")
    targets.accept(SIGNER.config(config(3)), VERIFIER)
    with pytest.raises(Refused) as refused:
        targets.accept(SIGNER.config(config(2, service("s2"))), VERIFIER)
    assert refused.value.code == "old_config"
    assert targets.service("s2") is None
    targets.accept(SIGNER.config(config(4, service("s2"))), VERIFIER)
    assert targets.service("s1") is None


def test_another_devices_configuration_is_refused() -> None:
    with pytest.raises(Refused, match="another device"):
        Targets("d1").accept(SIGNER.config(config(device="d2")), VERIFIER)


def test_a_foreign_signature_is_refused() -> None:
    with pytest.raises(TicketRefused):
        Targets("d1").accept(Signer(new_signing_key()).config(config()), VERIFIER)


@pytest.mark.parametrize(
    "changes", [{"version": 0}, {"version": True}, {"version": "1"}, {"lan": None}, {"lan": ["x"]}, {"services": {}}]
)
def test_a_broken_frame_is_bad_input(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        parse({**config(), **changes})
    assert refused.value.code == "bad_config"


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        service(port="80"),
        service(port=True),
        service(host=None),
        service(protocol="telnet"),
        service(protocol="https", tls=None),
        service(protocol="https", tls={"verify": "pin", "pin": "abc"}),
        service(protocol="https", tls={"verify": "pin", "pin": 7}),
        service(protocol="https", tls={"verify": "maybe"}),
        service(protocol="https", tls={"verify": "ca", "profile": "ancient"}),
        service(protocol="https", tls={"verify": "ca", "ca": None}),
        service(protocol="https", tls={"verify": "ca", "ca": "x" * (CA_LIMIT + 1)}),
        service(""),
    ],
)
def test_a_service_that_makes_no_sense_is_left_out(row: Any) -> None:
    assert set(parse(config(1, row, service("good"))).services) == {"good"}


def test_tls_settings_count_for_https_only() -> None:
    pinned = service("p", protocol="https", tls={"verify": "pin", "pin": "AB:" * 31 + "AB"})
    found = parse(config(1, pinned, service("h"))).services
    assert (found["p"].verify, found["p"].pin) == ("pin", PIN)
    assert found["h"].pin is None


def test_a_pin_that_nobody_gave_yet_stays_open() -> None:
    found = parse(config(1, service("p", protocol="https", tls={"verify": "pin", "pin": None}))).services["p"]
    assert (found.verify, found.pin) == ("pin", None)


def test_profile_and_authority() -> None:
    tls = {"verify": "ca", "pin": None, "profile": "legacy", "ca": "PEM"}
    found = parse(config(1, service("a", protocol="https", tls=tls), service("b", protocol="https"))).services
    assert (found["a"].profile, found["a"].ca) == ("legacy", "PEM")
    assert (found["b"].profile, found["b"].ca) == ("modern", "")
    ignored = parse(config(1, service("c", protocol="https", tls={**tls, "verify": "none"}))).services["c"]
    assert ignored.ca == ""


def test_compression_is_for_web_services() -> None:
    rows = [
        service("said", compress="all"), service("https", protocol="https", compress="all"),
        service("missing"), service("unknown", compress="zstd-9"), service("vnc", protocol="vnc", compress="all"),
    ]  # fmt: skip
    found = {key: each.compress for key, each in parse(config(1, *rows)).services.items()}
    assert found == {"said": "all", "https": "all", "missing": "static", "unknown": "off", "vnc": "off"}


def test_pin_spellings() -> None:
    assert normal_pin(PIN.upper()) == PIN
    assert normal_pin("ab " * 32) == PIN
    assert normal_pin("zz" * 32) is None


@given(st.dictionaries(st.sampled_from(["device_id", "version", "lan", "services"]), st.one_of(
    st.none(), st.integers(), st.text(), st.lists(st.one_of(st.text(), st.dictionaries(st.text(), st.integers()))),
)))  # fmt: skip
def test_any_claims_give_a_configuration_or_bad_input(claims: dict[str, Any]) -> None:
    try:
        parse(claims)
    except PanelgateError as error:
        assert error.code == "bad_config"  # noqa: PT017


@pytest.mark.parametrize(
    ("kind", "listed"), [("lan", True), ("agent", True), ("adhoc", False), ("later", False), (["lan"], False)]
)
def test_what_nobody_listed_is_told_apart(kind: Any, listed: bool) -> None:
    row = {"id": "a", "slug": "a", "name": "A", "host": "192.168.0.2", "port": 80, "protocol": "http", "kind": kind}
    found = parse({"device_id": "d1", "version": 1, "lan": [], "services": [row], "level": "high"})
    assert found.services["a"].listed is listed
    assert found.listed_hosts == ({"192.168.0.2"} if listed else set())
    assert found.level == "high"


@pytest.mark.parametrize(
    ("given", "level"), [({}, "enforced"), ({"level": 5}, ""), ({"level": "standard"}, "standard")]
)
def test_a_level_that_is_none_opens_nothing(given: dict[str, Any], level: str) -> None:
    assert parse({"device_id": "d1", "version": 1, "lan": [], "services": []} | given).level == level
