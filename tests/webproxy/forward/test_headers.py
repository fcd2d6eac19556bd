from __future__ import annotations

import pytest

from panelgate.errors import BadInput
from panelgate.options import ServiceOptions
from panelgate.response import ResponseReader
from webproxy.forward import headers
from webproxy.forward.headers import (
    CookieTrouble,
    cookie_line,
    own_cookie,
    referer_for,
    request_bytes,
    response_lines,
    session_token,
    set_cookie,
    split_cookies,
    target_for,
    token_of,
)  # fmt: skip
from webproxy.forward.redirects import RedirectRefused
from webproxy.forward.request import read
from webproxy.forward.rules import Rules, private

PUBLIC = "http://hmi--press--acme.apps.localhost:8080"
RULES = Rules.of(
    PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.5:9000": "http://cam--press--acme.apps.localhost:8080"}
)
HTTPS = Rules.of("https://hmi.apps.example", "https", "10.0.0.5", 443)


CAMERA = "http://cam--press--acme.apps.localhost:8080"
COMPANION = Rules.of(
    PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.5:9000": CAMERA}, companions={"http://10.0.0.5:9000": "cam"}
).for_companion("cam", "http://10.0.0.5:9000", ServiceOptions())


def with_options(**options: object) -> Rules:
    return Rules.of(PUBLIC, "http", "10.0.0.5", 8081, options=ServiceOptions.of(options))


def sent(
    *lines: tuple[bytes, bytes], method: bytes = b"GET", rules: Rules = RULES, target: bytes = b"/a?b", client: str = ""
) -> bytes:
    head = read(method, target, "1.1", [(b"Host", b"public"), *lines])
    cookie = cookie_line(split_cookies(head.cookies)[1], set())
    return request_bytes(rules, head, cookie, websocket=head.is_websocket, client=client)


def back(raw: bytes, rules: Rules = RULES, status: int = 200, *, rewritten: bool = False) -> bytes:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 %d OK\r\n" % status + raw + b"Content-Length: 0\r\n\r\n")
    assert reader.head is not None
    return b"".join(response_lines(rules, reader.head, set(), rewritten=rewritten))


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


def test_names_are_bounded() -> None:
    for number in range(3000):
        headers._kind(b"x-%d" % number)
    assert len(headers._kinds) <= 1024


def test_a_redirect_to_nowhere_is_an_error_and_any_other_location_is_just_gone() -> None:
    with pytest.raises(RedirectRefused):
        back(b"Location: http://10.0.0.9/\r\n", status=302)
    assert b"Location" not in back(b"Location: http://10.0.0.9/\r\n", status=201)
    assert f"Location: {PUBLIC}/new".encode() in back(b"Location: http://10.0.0.5:8081/new\r\n", status=201)


def test_addresses_in_other_headers() -> None:
    got = back(
        b"Link: <http://10.0.0.5:9000/a.css>; rel=preload\r\nSourceMap: http://10.0.0.5:8081/x.map\r\n"
        b"Content-Security-Policy: connect-src ws://10.0.0.5:8081 http://10.0.0.5:9000\r\n"
    ).decode()
    assert f"Link: <{CAMERA}/a.css>; rel=preload\r\n" in got
    assert f"SourceMap: {PUBLIC}/x.map\r\n" in got
    assert f"connect-src {PUBLIC.replace('http', 'ws', 1)} {CAMERA}\r\n" in got


def test_a_policy_names_a_companion_by_its_origin() -> None:
    # An address with a path would allow that one path alone.
    got = back(b"Content-Security-Policy: connect-src ws://10.0.0.5:9000\r\n", COMPANION)
    assert f"connect-src {PUBLIC.replace('http', 'ws', 1)}\r\n".encode() in got


def test_the_device_hears_another_name_for_itself() -> None:
    rules = with_options(host="hmi.plant")
    got = sent((b"Origin", PUBLIC.encode()), (b"Referer", PUBLIC.encode() + b"/x"), rules=rules)
    assert b"\r\nHost: hmi.plant\r\n" in got
    assert b"Origin: http://hmi.plant\r\n" in got
    assert b"Referer: http://hmi.plant/x\r\n" in got


def test_forwarded_headers_are_ours_or_none() -> None:
    forged = ((b"X-Forwarded-For", b"1.2.3.4"), (b"X-Forwarded-Host", b"evil"), (b"X_Forwarded_For", b"1.2.3.4"))
    assert b"forwarded" not in sent(*forged).lower()
    got = sent(*forged, rules=with_options(forwarded=True), client="192.0.2.7")
    assert got.lower().count(b"forwarded-for") == 1
    assert b"X-Forwarded-For: 192.0.2.7\r\n" in got
    host = PUBLIC.partition("//")[2]
    assert f"X-Forwarded-Host: {host}\r\nX-Forwarded-Proto: http\r\n".encode() in got


def test_headers_of_the_options_replace_the_devices_and_leave_our_protections() -> None:
    rules = with_options(headers=[
        ["X-Frame-Options", "SAMEORIGIN"], ["Content-Security-Policy", "frame-ancestors *"],
        ["Cache-Control", "public, max-age=9"], ["Referrer-Policy", "no-referrer"],
        ["Cross-Origin-Opener-Policy", "same-origin-allow-popups"],
    ])  # fmt: skip
    got = back(
        b"x-frame-options: DENY\r\nContent-Security-Policy: default-src 'none'\r\nCache-Control: no-store\r\n", rules
    )
    assert b"DENY" not in got
    assert b"X-Frame-Options: SAMEORIGIN\r\n" in got
    assert b"default-src" not in got
    assert b"Content-Security-Policy: frame-ancestors *\r\n" in got
    assert b"Content-Security-Policy: frame-ancestors 'self'\r\n" in got  # browsers obey both
    assert got.count(b"Cache-Control") == 1
    assert b"Cache-Control: private, max-age=9\r\n" in got
    assert b"Referrer-Policy: same-origin\r\n" in got
    assert got.count(b"Cross-Origin-Opener-Policy") == 1
    assert b"same-origin-allow-popups" in got


def test_workers_only_where_allowed_and_never_beyond_the_origin() -> None:
    rules = with_options(service_workers=True)
    assert b"Service-Worker-Allowed: /\r\n" in back(b"Service-Worker-Allowed: /\r\n", rules)
    assert b"Service-Worker-Allowed: /a/\r\n" in back(b"Service-Worker-Allowed: http://10.0.0.5:8081/a/\r\n", rules)
    for value in (b"//evil/", b"/\\evil/", b"http://evil/"):
        assert b"Worker" not in back(b"Service-Worker-Allowed: " + value + b"\r\n", rules)
    assert b"Service-Worker: script\r\n" in sent((b"Service-Worker", b"script"), rules=rules)


def test_websocket_headers_keep_the_case_that_some_servers_need() -> None:
    got = sent(
        (b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-key", b"k"),
        (b"sec-websocket-version", b"13"), (b"sec-websocket-protocol", b"a"), (b"sec-websocket-extensions", b"x"),
    )  # fmt: skip
    for line in (b"Key: k", b"Version: 13", b"Protocol: a", b"Extensions: x"):
        assert b"\r\nSec-WebSocket-" + line + b"\r\n" in got


def test_what_is_asked_for_when_bodies_are_rewritten() -> None:
    rules = with_options(rewrite=True)
    got = sent((b"Accept-Encoding", b"gzip, deflate, br, zstd"), (b"Sec-WebSocket-Extensions", b"x"), rules=rules)
    assert b"Accept-Encoding: gzip\r\n" in got
    assert b"Extensions" not in got
    assert b"Accept-Encoding: identity\r\n" in sent((b"Accept-Encoding", b"br"), rules=rules)
    assert b"Accept-Encoding: identity\r\n" in sent(rules=rules)
    tag = b'W/"pg-%bs-abc"' % rules.mark
    got = sent((b"If-None-Match", tag), (b"If-Modified-Since", b"x"), rules=rules)
    assert b'If-None-Match: "abc"\r\n' in got
    assert b"If-Modified-Since" in got
    got = sent((b"If-None-Match", b'W/"pg-00000000s-abc"'), (b"If-Modified-Since", b"x"), rules=rules)
    assert b"If-" not in got  # the copy has addresses of another time in it


def test_headers_about_a_rewritten_bodys_bytes() -> None:
    rules = with_options(rewrite=True)
    raw = b'ETag: "a"\r\nContent-Encoding: gzip\r\nDigest: x\r\nContent-MD5: x\r\nAccept-Ranges: bytes\r\n'
    got = back(raw, rules, rewritten=True)
    assert b'ETag: W/"pg-%bs-a"\r\n' % rules.mark in got
    for name in (b"Encoding", b"Digest", b"MD5", b"Ranges"):
        assert name not in got
    assert raw in back(raw, rules)  # pictures stay as they are
    assert b"ETag" not in back(b'ETag: "a"\r\n', rules, 304)


def test_a_companion_is_asked_as_the_page_would_at_the_plant() -> None:
    page = PUBLIC.encode()
    got = sent(
        (b"Origin", page), (b"Referer", page + b"/x"), (b"Sec-Fetch-Site", b"same-origin"), rules=COMPANION,
        target=b"/.pg/companion/cam/live?a",
    )  # fmt: skip
    assert got.startswith(b"GET /live?a HTTP/1.1\r\nHost: 10.0.0.5:9000\r\n")
    assert b"Origin: http://10.0.0.5:8081\r\n" in got
    assert b"Referer: http://10.0.0.5:8081/x\r\n" in got
    assert b"Sec-Fetch-Site: same-site\r\n" in got
    for rules in (COMPANION, Rules.of(PUBLIC, "http", "10.0.0.5", 8081, companions={"http://10.0.0.5:9000": "cam"})):
        assert referer_for(rules, page + b"/.pg/companion/cam/a.css") == b"http://10.0.0.5:9000/a.css"
        assert referer_for(rules, page + b"/.pg/companion/camera/a.css") == b"http://10.0.0.5:8081/"
    assert target_for(COMPANION, b"/.pg/companion/cam") == b"/"
    assert target_for(COMPANION, b"/.pg/companion/cam?x") == b"/?x"


def test_what_a_companion_answers_is_no_page_here() -> None:
    got = back(b"Location: /login\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=1; Path=/sub\r\n", COMPANION, 302)
    assert b"Location: /.pg/companion/cam/login\r\n" in got
    assert b"Set-Cookie: a=1; Path=/\r\n" in got  # ports of one host share cookies
    assert b"Set-Cookie: b=1; Path=/.pg/companion/cam/sub\r\n" in got
    assert b"Content-Security-Policy: sandbox;" in got
    assert f"Location: {PUBLIC}/.pg/companion/cam/x\r\n".encode() in back(
        b"Location: http://10.0.0.5:9000/x\r\n", COMPANION, 302
    )


def test_cookies_of_a_companion_on_another_host_stay_its_own() -> None:
    far = Rules.of(
        PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.6:80": CAMERA}, companions={"http://10.0.0.6:80": "cam"}
    ).for_companion("cam", "http://10.0.0.6:80", ServiceOptions())
    got = back(b"Set-Cookie: a=1\r\nSet-Cookie: __pgc-x-y=1\r\n", far)
    assert b"Set-Cookie: __pgc-cam~a=1; Path=/.pg/companion/cam\r\n" in got
    assert got.count(b"Set-Cookie") == 1
    assert cookie_line([b"a=1", b"__pgc-cam~a=1"], set()) == b"Cookie: a=1\r\n"


def test_no_name_of_a_companions_cookie_means_another_companion() -> None:
    """One slug may begin with another, and a cookie without a name comes back as what its value says."""
    siblings = {"http://10.0.0.6:80": CAMERA, "http://10.0.0.7:80": CAMERA + "1"}
    page = Rules.of(
        PUBLIC, "http", "10.0.0.5", 8081, siblings,
        companions={"http://10.0.0.6:80": "cam", "http://10.0.0.7:80": "cam-two"},
    )  # fmt: skip
    one, two = (
        page.for_companion("cam", "http://10.0.0.6:80", ServiceOptions()),
        page.for_companion("cam-two", "http://10.0.0.7:80", ServiceOptions()),
    )
    assert not two.foreign_cookies.startswith(one.foreign_cookies)
    got = back(b"Set-Cookie: =__pgc-cam~a=1\r\nSet-Cookie: = __pgc-cam~a=1\r\n", page)
    assert b"Set-Cookie" not in got


@pytest.mark.parametrize("name", [
    *sorted(headers.DROPPED - {b"cross-origin-opener-policy"}), *(name + b"x" for name in headers.DROPPED_PREFIXES),
    b"x" + headers.DROPPED_SUFFIX,
])  # fmt: skip
def test_what_a_device_may_not_say_an_administrator_can_not_add_either(name: bytes) -> None:
    """An account's administrator is no operator: an order to the load balancer would fetch files of the server's."""
    with pytest.raises(BadInput):
        ServiceOptions.of({"headers": [[name.decode().title(), "/etc/passwd"]]})


def test_no_companion_widens_what_workers_may_do() -> None:
    page = Rules.of(
        PUBLIC, "http", "10.0.0.5", 8081, {"http://10.0.0.5:9000": CAMERA}, companions={"http://10.0.0.5:9000": "cam"}
    )
    part = page.for_companion("cam", "http://10.0.0.5:9000", ServiceOptions(service_workers=True))
    assert b"Service-Worker-Allowed" not in back(b"Service-Worker-Allowed: /\r\n", part)
