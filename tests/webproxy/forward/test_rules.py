from __future__ import annotations

from panelgate.options import ServiceOptions
from webproxy.forward.rules import Rules, private, referrer

PUBLIC = "https://hmi--press--acme.apps.example"
CAMERA = "https://cam--press--acme.apps.example"
LAN = {"http://10.0.0.5:9000": CAMERA}


def test_default_ports_are_not_written() -> None:
    assert Rules.of(PUBLIC, "https", "10.0.0.5", 443).authority == b"10.0.0.5"
    assert Rules.of(PUBLIC, "http", "fd00::5", 80).authority == b"[fd00::5]"
    assert Rules.of(PUBLIC, "http", "fd00::5", 81).upstream_origin == b"http://[fd00::5]:81"


def test_a_companion_is_found_below_the_page_and_another_sibling_at_its_own_origin() -> None:
    assert Rules.of(PUBLIC, "http", "10.0.0.5", 80, LAN).addresses.find("http", "10.0.0.5", 9000) == CAMERA
    rules = Rules.of(PUBLIC, "http", "10.0.0.5", 80, LAN, companions={"http://10.0.0.5:9000": "cam"})
    assert rules.addresses.find("http", "10.0.0.5", 9000) == PUBLIC + "/.pg/companion/cam"
    assert rules.companions == {b"/.pg/companion/cam": b"http://10.0.0.5:9000"}


def test_a_companion_keeps_its_own_options_and_the_pages_addresses() -> None:
    page = Rules.of(
        PUBLIC, "http", "10.0.0.5", 80, LAN, ServiceOptions(rewrite=True, host="hmi"), {"http://10.0.0.5:9000": "cam"}
    )
    made = page.for_companion("cam", "http://10.0.0.5:9000", ServiceOptions(host="cam", forwarded=True))
    assert b"Host: cam\r\nX-Forwarded-Host: hmi--press" in made.request_fixed
    assert made.upstream_origin == page.upstream_origin == b"http://hmi"
    assert made.addresses is page.addresses
    assert made.rewrite
    assert b"sandbox" in made.response_fixed
    assert b"sandbox" not in page.response_fixed


def test_tags_of_other_addresses_are_told_apart() -> None:
    marks = {
        Rules.of(PUBLIC, "http", "10.0.0.5", 80).mark, Rules.of(PUBLIC, "http", "10.0.0.6", 80).mark,
        Rules.of(PUBLIC, "http", "10.0.0.5", 80, LAN).mark,
    }  # fmt: skip
    assert len(marks) == 3
    assert Rules.of(PUBLIC, "http", "10.0.0.5", 80, LAN).mark in marks


def test_policies_of_devices_and_administrators() -> None:
    assert private(b"public, max-age=60, s-maxage=9") == b"private, max-age=60"
    assert referrer(b"origin, no-referrer") == b"same-origin"
    assert referrer(b"no-referrer, origin") == b"no-referrer, origin"


def test_a_header_that_no_option_may_add_is_left_out_here_as_well() -> None:
    options = ServiceOptions(headers=(("Set-Cookie", "__Host-pg=x"), ("X-Accel-Redirect", "/etc"), ("X-A", "b")))
    fixed = Rules.of(PUBLIC, "http", "10.0.0.5", 80, options=options).response_fixed
    assert b"X-A: b\r\n" in fixed
    assert b"Cookie" not in fixed
    assert b"Accel" not in fixed
