from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate.options import ServiceOptions
from webproxy.forward.redirects import RedirectRefused, is_private, location, refresh
from webproxy.forward.rules import Rules

PUBLIC = "http://hmi--press--acme.apps.localhost:8080"
CAMERA = "http://cam--press--acme.apps.localhost:8080"
RULES = Rules.of(PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.5:9000": CAMERA})


@pytest.mark.parametrize(("value", "expected"), [
    (b"/x", b"/x"), (b"x?y#z", b"x?y#z"), (b"http://10.0.0.5:8081/x?y#z", PUBLIC.encode() + b"/x?y#z"),
    (b"HTTP://10.0.0.5:8081", PUBLIC.encode() + b"/"), (b"//10.0.0.5:8081/x", PUBLIC.encode() + b"/x"),
    (b"/\\10.0.0.5:8081/x", PUBLIC.encode() + b"/x"), (b"http:/10.0.0.5:8081/x", PUBLIC.encode() + b"/x"),
    (b"http://10.0.0.5:9000/live", b"http://cam--press--acme.apps.localhost:8080/live"),
    (PUBLIC.encode() + b"/y", PUBLIC.encode() + b"/y"), (b"https://vendor.example/help", b"https://vendor.example/help"),
    (b"http://10.0.0.5:8081\\x?file=C:\\y#\\z", PUBLIC.encode() + b"/x?file=C:\\y#\\z"),
    (b"mailto:a@b", b"mailto:a@b"), (CAMERA.encode() + b"/z", CAMERA.encode() + b"/z"),
])  # fmt: skip
def test_redirects(value: bytes, expected: bytes) -> None:
    assert location(RULES, value) == expected


@pytest.mark.parametrize("value", [
    b"http://10.0.0.9/", b"http://10.0.0.5/", b"https://10.0.0.5:8081/", b"//192.168.1.1/", b"http://panel/",
    b"http://169.254.169.254/latest", b"http://127.0.0.1:8441/", b"http://[::1]/", b"http://2130706433/", b"http://0x7f.1/",
    b"http://plc.local/", b"/\\10.0.0.9/", b"http://user@10.0.0.9/", b"http://portal.localhost:8080/", b"http://[bad/",
    b"h\tttp://10.0.0.9/", b"http://10%2e0.0.9/", b"http://%31%30.0.0.9/", b"http://\xef\xbc\x91\xef\xbc\x90.0.0.9/",
    b"http://10\xe3\x80\x820\xe3\x80\x820\xe3\x80\x829/", b"https:plc\\.vendor.example/",
    b"https:10.0.0.9\\.vendor.example/",
])  # fmt: skip
def test_redirects_to_private_addresses_are_refused(value: bytes) -> None:
    with pytest.raises(RedirectRefused):
        location(RULES, value)


def test_redirects_to_the_name_that_the_options_give() -> None:
    rules = Rules.of(
        PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.5:9000": CAMERA}, ServiceOptions(host="hmi.plant.example")
    )
    for value in (b"http://hmi.plant.example/x", b"http://hmi.plant.example:8081/x", b"http://10.0.0.5:8081/x"):
        assert location(rules, value) == PUBLIC.encode() + b"/x"
    assert location(rules, b"http://hmi.plant.example:9000/x") == CAMERA.encode() + b"/x"
    with pytest.raises(RedirectRefused):
        location(rules, b"https://hmi.plant.example/x")  # that port is no service


@pytest.mark.parametrize(("value", "expected"), [
    (b"5", b"5"), (b"5; URL='http://10.0.0.5:8081/x'", b"5;url=" + PUBLIC.encode() + b"/x"),
    (b"0;http://10.0.0.5:8081/x", b"0;url=" + PUBLIC.encode() + b"/x"), (b"0, url = /a", b"0;url=/a"),
    (b"1.5 /a", b"1.5;url=/a"), (b'0;url="/a" and more', b"0;url=/a"), (b"soon", None), (b"5x/a", None), (b"5;", b"5"),
])  # fmt: skip
def test_refresh_is_read_as_browsers_do(value: bytes, expected: bytes | None) -> None:
    assert refresh(RULES, value) == expected


@pytest.mark.parametrize("value", [b"0;http://10.0.0.9/", b"0 http://10.0.0.9/", b"0,url='http://10.0.0.9/'"])
def test_refresh_to_private_addresses_is_refused(value: bytes) -> None:
    with pytest.raises(RedirectRefused):
        refresh(RULES, value)


def test_private_names() -> None:
    assert is_private("10.1.2.3")
    assert is_private("plc")
    assert not is_private("8.8.8.8")
    assert not is_private("vendor.example")


@given(st.binary(max_size=80))
def test_no_address_breaks_the_line(value: bytes) -> None:
    value = value.replace(b"\r", b"").replace(b"\n", b"")
    try:
        got = location(RULES, value)
    except RedirectRefused:
        return
    assert b"\n" not in got
