from __future__ import annotations

import pytest

from webproxy.forward import request
from webproxy.forward.request import DROP, KNOWN, PASS, RequestRefused, kind_of, read

HOST = (b"Host", b"a.apps.localhost:8080")


def refused(method: bytes = b"GET", target: bytes = b"/", version: str = "1.1", *headers: tuple[bytes, bytes]) -> int:
    with pytest.raises(RequestRefused) as error:
        read(method, target, version, [HOST, *headers])
    return error.value.status


def test_sorts_a_head() -> None:
    head = read(b"POST", b"/a?b=c", "1.1", [
        HOST, (b"Accept", b"text/html"), (b"Content-Length", b"3"), (b"Cookie", b"a=b"), (b"Cookie", b"c=d"),
        (b"Origin", b"http://x"), (b"Sec-Fetch-Mode", b"navigate"), (b"device_id", b"7"), (b"Expect", b"100-continue"),
    ])  # fmt: skip
    assert head.host == HOST[1]
    assert head.length == 3
    assert head.has_body
    assert head.expect
    assert (head.path, head.query) == (b"/a", b"b=c")
    assert head.cookies == [b"a=b", b"c=d"]
    assert b"device_id: 7\r\n" in head.lines


@pytest.mark.parametrize("target", [
    b"http://evil/x", b"@evil/x", b"//evil/x", b"/\\evil", b"*", b"10.0.0.1:502", b"/a b", b"/a#b", b"/a\x00", b"/\xff",
    b"/a\rb", b"",
])  # fmt: skip
def test_only_plain_paths(target: bytes) -> None:
    assert refused(b"GET", target) == 400


@pytest.mark.parametrize(
    ("method", "status"), [(b"CONNECT", 400), (b"TRACE", 400), (b"PROPFIND", 405), (b"PURGE", 405)]
)
def test_only_listed_methods(method: bytes, status: int) -> None:
    assert refused(method) == status


@pytest.mark.parametrize("headers", [
    [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
    [(b"Content-Length", b"3"), (b"Content-Length", b"3")],
    [(b"Content-Length", b"+5")], [(b"Content-Length", b"0x5")], [(b"Content-Length", b"5, 5")], [(b"Content-Length",
    b"")],
    [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    [(b"Transfer-Encoding", b"xchunked")], [(b"Transfer-Encoding", b"chunked, identity")],
    [(b"Origin", b"a"), (b"Origin", b"b")],
    [(b"Host", b"b")],
    [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Content-Length", b"3")],
])  # fmt: skip
def test_nothing_that_two_parsers_read_differently(headers: list[tuple[bytes, bytes]]) -> None:
    assert refused(b"POST", b"/", "1.1", *headers) == 400


def test_versions() -> None:
    assert refused(b"GET", b"/", "2.0") == 505
    assert refused(b"POST", b"/", "1.0", (b"Transfer-Encoding", b"chunked")) == 400


def test_host_is_needed() -> None:
    with pytest.raises(RequestRefused):
        read(b"GET", b"/", "1.1", [])


def test_a_websocket_needs_get_and_1_1() -> None:
    upgrade = ((b"Upgrade", b"WebSocket"), (b"Connection", b"keep-alive, Upgrade"))
    assert read(b"GET", b"/", "1.1", [HOST, *upgrade]).is_websocket
    assert refused(b"POST", b"/", "1.1", *upgrade) == 400
    assert not read(b"GET", b"/", "1.1", [HOST, (b"Upgrade", b"websocket")]).is_websocket


@pytest.mark.parametrize("name", [
    b"X-Forwarded-For", b"x-forwarded-host", b"Forwarded", b"Via", b"X-Real-IP", b"X_Forwarded_For",
    b"X-HTTP-Method", b"X-Method-Override",
    b"Remote-User",
    b"REMOTE_USER", b"X-Remote-User", b"X-Auth-Request-Email", b"X-Auth-User", b"X-Auth-Foo-Groups",
    b"Proxy-Authorization",
    b"TE", b"Keep-Alive", b"Early-Data", b"X-WebAuth-User", b"Panelgate-Session", b"Cookie_", b"Transfer_Encoding",
    b"Content_Length", b"HTTP2-Settings",
])  # fmt: skip
def test_traces_of_proxies_and_borrowed_identities_go(name: bytes) -> None:
    assert kind_of(name) == DROP if name != b"Cookie_" else kind_of(name) == PASS


@pytest.mark.parametrize("name", [b"client_timezone", b"device_id", b"X-Auth-Token", b"User-Agent"])
def test_what_devices_need_passes(name: bytes) -> None:
    assert kind_of(name) == PASS


def test_headers_named_by_connection_go() -> None:
    head = read(b"GET", b"/", "1.1", [HOST, (b"X-Hop", b"1"), (b"X-Stay", b"1"), (b"Connection", b"close, X-Hop")])
    assert head.lines == [b"X-Stay: 1\r\n"]


def test_the_memory_of_names_is_bounded() -> None:
    for number in range(3000):
        kind_of(b"X-%d" % number)
    assert len(request._kinds) <= request.KIND_CACHE_LIMIT
    assert kind_of(b"Host") == KNOWN


def test_what_a_navigation_is() -> None:
    def head(*headers: tuple[bytes, bytes]) -> request.RequestHead:
        return read(b"GET", b"/", "1.1", [HOST, *headers])

    assert head((b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Dest", b"document")).is_navigation
    assert not head((b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Dest", b"iframe")).is_navigation
    assert not head((b"Sec-Fetch-Mode", b"cors"), (b"Accept", b"text/html")).is_navigation
    assert head((b"Accept", b"text/html,*/*")).is_navigation
    assert not head((b"Accept", b"image/png")).is_navigation
