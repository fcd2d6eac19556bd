from __future__ import annotations

import pytest

from panelgate.names import Sites
from tests.fakes.front import running
from webproxy.forward.clients import Clients
from webproxy.forward.secure import Line, is_plain, line_of

REAL = Sites("example.com", "https", 443)
LABEL = "hmi--press--acme"


@pytest.mark.parametrize(
    ("sites", "trusted", "tls", "line"),
    [
        (Sites(), "", False, Line.FINE),
        (REAL, "", True, Line.FINE),
        (REAL, "", False, Line.PLAIN),
        (REAL, "10.0.0.0/8", False, Line.PLAIN),
        (REAL, "192.0.2.1", False, Line.TOLD),
    ],
)
def test_whom_to_ask(sites: Sites, trusted: str, tls: bool, line: Line) -> None:
    assert line_of(sites, Clients(trusted), ("192.0.2.1", 5), tls=tls) is line


def test_a_peer_without_an_address_is_no_load_balancer() -> None:
    assert line_of(REAL, Clients("10.0.0.0/8"), None, tls=False) is Line.PLAIN


@pytest.mark.parametrize(
    ("said", "plain"),
    [([], False), ([b"https"], False), ([b" HTTPS "], False), ([b"http"], True), ([b"https, http"], True),
     ([b"https", b"http"], True), ([b""], True), ([b"wss"], True)],
)  # fmt: skip
def test_what_a_load_balancer_says(said: list[bytes], plain: bool) -> None:
    assert is_plain(Line.TOLD, [(b"X-Forwarded-Proto", value) for value in said]) is plain


def test_what_nobody_may_say() -> None:
    assert is_plain(Line.PLAIN, [(b"x-forwarded-proto", b"https")])
    assert not is_plain(Line.FINE, [(b"x-forwarded-proto", b"http")])


PAGE = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


@pytest.mark.parametrize("trusted", ["", "127.0.0.1"])
async def test_plain_http_is_redirected_or_refused(trusted: str) -> None:
    plain = {"X_Forwarded_Proto": "http"}
    async with running(sites=REAL, settings={"trusted_proxies": trusted}) as front:
        front.label = LABEL
        page = await front.ask(front.head("GET", "/a?b=1", **PAGE, **plain))
        assert (page.status, page.value("location")) == (308, f"https://{LABEL}.apps.example.com/a?b=1")
        portal = await front.ask(front.head("GET", "/machines", host="portal.example.com", **PAGE, **plain))
        assert (portal.status, portal.value("location")) == (308, "https://portal.example.com/machines")
        assert page.value("strict-transport-security") is None, "only said over HTTPS"
        for method, host in (("POST", "portal.example.com"), ("GET", None), ("POST", None)):
            answer = await front.ask(front.head(method, "/a", host=host, Content_Length="0", **plain))
            assert answer.status == 403
            assert b"plain_http" in answer.body
        assert front.device.connections == 0


async def test_what_came_by_https_is_served() -> None:
    async with running(sites=REAL, settings={"trusted_proxies": "127.0.0.1"}) as front:
        for headers in ({}, {"X_Forwarded_Proto": "https"}):
            answer = await front.ask(front.head("GET", "/", **headers))
            assert answer.status == 200
