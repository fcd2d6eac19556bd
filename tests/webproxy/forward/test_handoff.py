from __future__ import annotations

import base64
import hashlib

import pytest

from panelgate.names import Sites
from webproxy.forward import handoff
from webproxy.forward.request import RequestHead
from webproxy.leads import mark_of

SITES = Sites()


def cookie_of(launch: handoff.Launch) -> bytes:
    return launch.cookie.split(b";")[0]


def query_of(launch: handoff.Launch, code: str = "c" * 43) -> bytes:
    state = launch.location.split(b"state=")[1].decode()
    return f"code={code}&state={state}".encode()


def test_a_launch_and_its_callback() -> None:
    launch = handoff.begin(SITES, "hmi--press--acme", b"/a/b%2fc?x=1&y=%20")
    assert launch.location.startswith(b"http://portal.localhost:8080/launch?host=hmi--press--acme&n=")
    for flag in (b"Secure", b"HttpOnly", b"Path=/", b"SameSite=Lax", b"Max-Age=300"):
        assert flag in launch.cookie
    assert b"Domain" not in launch.cookie
    callback = handoff.read_callback(query_of(launch), [b"a=b; " + cookie_of(launch)])
    assert callback is not None
    assert callback.path == b"/a/b%2fc?x=1&y=%20"
    assert f"n={callback.nonce_hash}&".encode() in launch.location
    nonce = cookie_of(launch).split(b"=")[1].split(b".")[0]
    assert nonce not in launch.location
    assert hashlib.sha256(nonce).hexdigest() == callback.nonce_hash


def test_each_tab_has_its_own_nonce() -> None:
    one, two = (handoff.begin(SITES, "x--y--z", b"/") for _ in range(2))
    assert cookie_of(one).split(b"=")[0] != cookie_of(two).split(b"=")[0]
    both = [cookie_of(one) + b"; " + cookie_of(two)]
    assert handoff.read_callback(query_of(one), both) is not None
    assert handoff.read_callback(query_of(two), both) is not None
    assert handoff.read_callback(query_of(one), [cookie_of(two)]) is None


@pytest.mark.parametrize("query", [
    b"", b"code=c", b"code=%s&state=zz" % (b"c" * 43), b"code=%s&state=%s" % (b"c" * 5, b"0" * 16),
    b"code=%s&state=%s&state=%s" % (b"c" * 43, b"0" * 16, b"1" * 16), b"\xff",
])  # fmt: skip
def test_odd_callbacks(query: bytes) -> None:
    assert handoff.read_callback(query, [b"__Host-pgn-" + b"0" * 16 + b"=" + b"a" * 64 + b".Lw"]) is None


@pytest.mark.parametrize(
    "path", [b"//evil", b"/\\evil", b"javascript:x", b"http://evil", b"/.pg/cb", b"/a\r\nX: y", b""]
)
def test_the_way_back_stays_on_this_origin(path: bytes) -> None:
    packed = base64.urlsafe_b64encode(path).rstrip(b"=")
    cookie = b"__Host-pgn-" + b"0" * 16 + b"=" + b"a" * 64 + b"." + packed
    callback = handoff.read_callback(b"code=%s&state=%s" % (b"c" * 43, b"0" * 16), [cookie])
    assert callback is not None
    assert callback.path == b"/"


def test_long_and_reserved_paths_lead_to_the_start() -> None:
    for target in (b"/" + b"a" * 5000, b"/.pg/cb?code=1"):
        launch = handoff.begin(SITES, "x--y--z", target)
        callback = handoff.read_callback(query_of(launch), [cookie_of(launch)])
        assert callback is not None
        assert callback.path == b"/"


def test_the_session_cookie() -> None:
    callback = handoff.Callback("c", "0" * 16, "h", b"/a?b=c")
    lines = handoff.signed_in_lines(callback, "x--y--z", "token", "u1", [])
    assert b"Set-Cookie: __Host-pg=token; Path=/; Secure; HttpOnly; SameSite=Lax\r\n" in lines
    assert b"__Host-pgn-0000000000000000=; Max-Age=0" in lines
    assert b"Clear-Site-Data" not in lines


def arrival(target: bytes, *cookies: bytes) -> RequestHead:
    head = RequestHead(b"GET", target, "1.1")
    head.cookies = list(cookies)
    return head


def test_the_arrival_of_a_hand_off_is_expected_and_nothing_else() -> None:
    callback = handoff.Callback("c", "0" * 16, "h", b"/a?b=c")
    lines = handoff.signed_in_lines(callback, "x--y--z", "token", "u1", [])
    mark = lines.split(b"Set-Cookie: __Host-pgl=")[1].split(b";")[0]
    cookie = b"__Host-pgl=" + mark
    assert handoff.expected(arrival(b"/a?b=c", cookie), "x--y--z")
    assert not handoff.expected(arrival(b"/a?b=d", cookie), "x--y--z")
    assert not handoff.expected(arrival(b"/a?b=c", cookie), "x--y--other")
    assert not handoff.expected(arrival(b"/a?b=c"), "x--y--z")
    assert handoff.expected(arrival(b"/.pg/cb?code=1"), "x--y--z")


def test_a_link_from_elsewhere_is_asked_about_at_the_portal() -> None:
    launch = handoff.begin(SITES, "x--y--z", b"/set?speed=9", ask=True)
    assert f"ask={mark_of('x--y--z', b'/set?speed=9')}".encode() in launch.location
    assert b"ask=" not in handoff.begin(SITES, "x--y--z", b"/set?speed=9").location


def test_another_user_finds_nothing_of_the_last_one() -> None:
    callback = handoff.Callback("c", "0" * 16, "h", b"/")
    before = handoff.signed_in_lines(callback, "x--y--z", "t", "u1", []).split(b"__Host-pgu=")[1].split(b";")[0]
    assert b"Clear-Site-Data" not in handoff.signed_in_lines(callback, "x--y--z", "t", "u1", [b"__Host-pgu=" + before])
    assert b'Clear-Site-Data: "cache", "storage"' in handoff.signed_in_lines(
        callback, "x--y--z", "t", "u2", [b"__Host-pgu=" + before]
    )
