from __future__ import annotations

import base64
import hashlib

import pytest

from panelgate.names import Sites
from webproxy.forward import handoff

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
    lines = handoff.signed_in_lines(callback, "token", "u1", [])
    assert b"Set-Cookie: __Host-pg=token; Path=/; Secure; HttpOnly; SameSite=Lax\r\n" in lines
    assert b"__Host-pgn-0000000000000000=; Max-Age=0" in lines
    assert b"Clear-Site-Data" not in lines
    mark = handoff.landing_mark(b"/a?b=c")
    assert handoff.landed([b"__Host-pgl=" + mark], b"/a?b=c")
    assert not handoff.landed([b"__Host-pgl=" + mark], b"/a?b=d")
    assert not handoff.landed([], b"/a?b=c")


def test_another_user_finds_nothing_of_the_last_one() -> None:
    callback = handoff.Callback("c", "0" * 16, "h", b"/")
    before = handoff.signed_in_lines(callback, "t", "u1", []).split(b"__Host-pgu=")[1].split(b";")[0]
    assert b"Clear-Site-Data" not in handoff.signed_in_lines(callback, "t", "u1", [b"__Host-pgu=" + before])
    assert b'Clear-Site-Data: "cache", "storage"' in handoff.signed_in_lines(
        callback, "t", "u2", [b"__Host-pgu=" + before]
    )
