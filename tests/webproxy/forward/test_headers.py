from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate.response import ResponseReader
from webproxy.forward import headers
from webproxy.forward.headers import (
    CookieTrouble,
    RedirectRefused,
    Rules,
    cookie_line,
    is_private,
    location,
    own_addresses,
    own_cookie,
    private,
    referer_for,
    refresh,
    request_bytes,
    response_lines,
    session_token,
    set_cookie,
    split_cookies,
    token_of,
)  # fmt: skip
from webproxy.forward.request import read

PUBLIC = "http://hmi--press--acme.apps.localhost:8080"
RULES = Rules.of(
    PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.5:9000": "http://cam--press--acme.apps.localhost:8080"}
)
HTTPS = Rules.of("https://hmi.apps.example", "https", "10.0.0.5", 443)


def sent(*lines: tuple[bytes, bytes], method: bytes = b"GET", rules: Rules = RULES) -> bytes:
    head = read(method, b"/a?b", "1.1", [(b"Host", b"public"), *lines])
    return request_bytes(rules, head, cookie_line(split_cookies(head.cookies)[1], set()))


def back(raw: bytes, rules: Rules = RULES) -> bytes:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\n" + raw + b"Content-Length: 0\r\n\r\n")
    assert reader.head is not None
    return b"".join(response_lines(rules, reader.head, set()))


def test_the_device_sees_its_own_address() -> None:
    got = sent(
        (b"Origin", PUBLIC.encode()), (b"Referer", PUBLIC.encode() + b"/x?y"), (b"Sec-Fetch-Site", b"same-origin")
    )
    assert b"GET /a?b HTTP/1.1\r\nHost: 10.0.0.5:8081\r\n" in got
    assert b"Origin: http://10.0.0.5:8081\r\n" in got
    assert b"Referer: http://10.0.0.5:8081/x?y\r\n" in got
    assert b"acme" not in got


def test_default_ports_are_not_written() -> None:
    assert HTTPS.authority == b"10.0.0.5"
    assert Rules.of(PUBLIC, "http", "fd00::5", 80).authority == b"[fd00::5]"


@pytest.mark.parametrize("referer", [
    b"http://portal.localhost:8080/launch?n=1", PUBLIC.encode() + b".evil/x", b"http://evil/" + PUBLIC.encode(),
    PUBLIC.encode() + b"/.pg/cb?code=secret",
])  # fmt: skip
def test_no_code_and_no_portal_address_leaks_in_the_referer(referer: bytes) -> None:
    assert referer_for(RULES, referer) == b"http://10.0.0.5:8081/"


def test_our_cookies_stay_here() -> None:
    got = sent(
        (b"Cookie", b"a=1; __Host-pg=tok; __host-PG=x; __Host-pgn-12=n; b=2"), (b"Cookie",
        b"__Host-pgl=1; c=3; =__Host-pg=z")
    )  # fmt: skip
    assert b"Cookie: a=1; b=2; c=3\r\n" in got
    assert b"host-pg" not in got.lower()


@pytest.mark.parametrize(
    "line", [b"__Host-pg=a; __Host-pg=b", b"__Host-pg=a; __host-pg=b", b"__Host-pg=a; =__Host-pg=b"]
)
def test_two_session_cookies_are_trouble(line: bytes) -> None:
    with pytest.raises(CookieTrouble):
        session_token(split_cookies([line])[0])
    assert token_of([line]) is None


def test_session_and_own_cookies() -> None:
    assert token_of([b"a=b; __Host-pg=tok"]) == "tok"
    assert token_of([b"a=b"]) is None
    assert token_of([b"__Host-pg=\xff"]) is None
    assert own_cookie([b"__Host-pgn-1=x; a=b"], b"__Host-pgn-1") == b"x"
    assert own_cookie([b"__Host-pgn-1=x; __Host-pgn-1=y"], b"__Host-pgn-1") is None


def test_a_cookie_bomb_is_cut_to_what_the_device_set() -> None:
    bomb = [b"x%d=" % i + b"a" * 4000 for i in range(40)] + [b"sid=1"]
    assert cookie_line(bomb, {b"sid"}) == b"Cookie: sid=1\r\n"
    assert cookie_line(bomb, set()) == b""


def test_set_cookie() -> None:
    names: set[bytes] = set()
    assert (
        set_cookie(b"sid=1; Domain=apps.localhost; Path=/a; HttpOnly", secure=False, names=names)
        == b"sid=1; Path=/a; HttpOnly"
    )
    assert set_cookie(b"sid=1; SameSite=None", secure=False, names=names) == b"sid=1"
    assert set_cookie(b"sid=1; SameSite=None; Secure", secure=False, names=names) == b"sid=1; SameSite=None; Secure"
    assert set_cookie(b"sid=1", secure=True, names=names) == b"sid=1; Secure"
    assert names == {b"sid"}


@pytest.mark.parametrize(
    "value", [b"__Host-pg=x", b"=__Host-pg=x", b"__HOST-PGN-1=x", b" = __Host-pg", b"__Host-pgl=1"]
)
def test_a_device_can_not_set_ours(value: bytes) -> None:
    assert set_cookie(value, secure=False, names=set()) is None
    assert b"Set-Cookie" not in back(b"Set-Cookie: " + value + b"; Path=/\r\n")


@pytest.mark.parametrize(("value", "expected"), [
    (b"/x", b"/x"), (b"x?y#z", b"x?y#z"), (b"http://10.0.0.5:8081/x?y#z", PUBLIC.encode() + b"/x?y#z"),
    (b"HTTP://10.0.0.5:8081", PUBLIC.encode() + b"/"), (b"//10.0.0.5:8081/x", PUBLIC.encode() + b"/x"),
    (b"/\\10.0.0.5:8081/x", PUBLIC.encode() + b"/x"), (b"http:/10.0.0.5:8081/x", PUBLIC.encode() + b"/x"),
    (b"http://10.0.0.5:9000/live", b"http://cam--press--acme.apps.localhost:8080/live"),
    (PUBLIC.encode() + b"/y", PUBLIC.encode() + b"/y"), (b"https://vendor.example/help", b"https://vendor.example/help"),
    (b"mailto:a@b", b"mailto:a@b"),
])  # fmt: skip
def test_redirects(value: bytes, expected: bytes) -> None:
    assert location(RULES, value) == expected


@pytest.mark.parametrize("value", [
    b"http://10.0.0.9/", b"http://10.0.0.5/", b"https://10.0.0.5:8081/", b"//192.168.1.1/", b"http://panel/",
    b"http://169.254.169.254/latest", b"http://127.0.0.1:8441/", b"http://[::1]/", b"http://2130706433/", b"http://0x7f.1/",
    b"http://plc.local/", b"/\\10.0.0.9/", b"http://user@10.0.0.9/", b"http://portal.localhost:8080/", b"http://[bad/",
    b"h\tttp://10.0.0.9/",
])  # fmt: skip
def test_redirects_to_private_addresses_are_refused(value: bytes) -> None:
    with pytest.raises(RedirectRefused):
        location(RULES, value)


def test_refresh_and_links() -> None:
    assert refresh(RULES, b"5; URL='http://10.0.0.5:8081/x'") == b"5;url=" + PUBLIC.encode() + b"/x"
    assert refresh(RULES, b"5") == b"5"
    got = own_addresses(RULES, b"default-src http://10.0.0.5:8081 ws://10.0.0.5:8081 http://10.0.0.5:80811")
    assert got == f"default-src {PUBLIC} {PUBLIC.replace('http', 'ws')} http://10.0.0.5:80811".encode()


def test_what_a_device_may_not_say_to_browsers() -> None:
    got = back(
        b'Clear-Site-Data: "cookies"\r\nStrict-Transport-Security: max-age=1\r\nAlt-Svc: h3\r\nNEL: {}\r\n'
        b"Report-To: {}\r\nPublic-Key-Pins: x\r\nAccess-Control-Allow-Origin: http://b\r\n"
        b"Access-Control-Allow-Credentials: true\r\n"
        b"Service-Worker-Allowed: /\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-Stay: 1\r\n"
    ).lower()  # fmt: skip
    for name in (
        b"clear-site",
        b"strict-tr",
        b"alt-svc",
        b"nel:",
        b"report-to",
        b"pins",
        b"access-control",
        b"worker",
        b"hop",
    ):
        assert name not in got
    assert b"x-stay: 1\r\n" in got
    assert b"frame-ancestors 'self'" in got
    assert b"cross-origin-resource-policy: same-origin" in got


def test_policies_that_are_completed() -> None:
    assert b"Referrer-Policy: same-origin\r\n" in back(b"")
    assert b"Referrer-Policy: origin\r\n" in back(b"Referrer-Policy: origin\r\n")
    assert b"Referrer-Policy: same-origin\r\n" in back(b"Referrer-Policy: no-referrer\r\n")
    assert b"Cache-Control: private\r\n" in back(b"")
    assert b"Cache-Control: no-store\r\n" in back(b"Cache-Control: no-store\r\n")
    assert private(b"public, max-age=60, s-maxage=9") == b"private, max-age=60"
    assert b"max-age=31536000" in back(b"", HTTPS)


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        (b"max-age=60", b"private, max-age=60"),
        (b"no-cache", b"private, no-cache"),
        (b"private, max-age=1", b"private, max-age=1"),
        (b'private="set-cookie", max-age=1', b'private, private="set-cookie", max-age=1'),
        (b"S-MaxAge=9, immutable", b"private, immutable"),
        (b"no-store, max-age=0", b"no-store, max-age=0"),
        (b"", b"private"),
    ],
)
def test_no_shared_cache_keeps_a_page_of_one_user(said: bytes, passed: bytes) -> None:
    assert private(said) == passed
    assert b"Cache-Control: " + passed + b"\r\n" in back(b"Cache-Control: " + said + b"\r\n")


@pytest.mark.parametrize(
    "name",
    [
        b"X-Accel-Redirect", b"X-Accel-Expires", b"X-Sendfile", b"Surrogate-Control", b"CDN-Cache-Control",
        b"Vendor-CDN-Cache-Control", b"X-LiteSpeed-Location",
    ],
)  # fmt: skip
def test_a_device_gives_no_orders_to_a_load_balancer(name: bytes) -> None:
    assert name.lower() not in back(name + b": /etc/\r\nX-Accel-Buffering: no\r\n").lower()
    assert b"X-Accel-Buffering: no\r\n" in back(b"X-Accel-Buffering: no\r\n")


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


def test_names_are_bounded() -> None:
    for number in range(3000):
        headers._kind(b"x-%d" % number)
    assert len(headers._kinds) <= 1024
