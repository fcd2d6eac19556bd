"""The words and marks of links to addresses that nobody listed; how they are used is in test_links."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tests.fakes.portal_access import three
from tests.fakes.portal_browser import browse, page
from webproxy.pages import unlisted


def request(method: str = "GET", site: str = "", cookie: str = "") -> Request:
    given = {"sec-fetch-site": site, "cookie": cookie}
    headers = [(name.encode(), value.encode()) for name, value in given.items() if value]
    return Request({"type": "http", "method": method, "headers": headers, "path": "/", "query_string": b""})


def mark(target: str) -> str:
    answer = RedirectResponse("/sign-in?next=x", 303)
    unlisted.remember(request(site="none"), target, answer)
    return answer.headers["set-cookie"].split(";")[0]


@pytest.mark.parametrize(
    ("method", "site", "asked"),
    [
        ("GET", "none", True),
        ("GET", "", False),
        ("GET", "same-origin", False),
        ("GET", "same-site", False),
        ("GET", "cross-site", False),
        ("HEAD", "none", False),
        ("POST", "same-origin", True),
    ],
)
def test_who_asked(method: str, site: str, asked: bool) -> None:
    assert unlisted.asked(request(method, site), "/a/b/proxy/10.0.0.1/") is asked


def test_a_mark_is_for_one_address() -> None:
    cookie = mark("/a/b/proxy/10.0.0.1/?x")
    assert cookie.startswith("__Host-pgd-")
    assert unlisted.asked(request(cookie=cookie), "/a/b/proxy/10.0.0.1/?x")
    assert not unlisted.asked(request(cookie=cookie), "/a/b/proxy/10.0.0.1/?y")


def test_nothing_is_remembered_for_other_sites_or_other_answers() -> None:
    for site, answer in (("cross-site", RedirectResponse("/sign-in", 303)), ("none", Response("page"))):
        unlisted.remember(request(site=site), "/x", answer)
        assert "set-cookie" not in answer.headers


def test_addresses_are_written_as_browsers_do() -> None:
    assert unlisted.authority({"ip": "10.0.0.1", "port": 80}) == "10.0.0.1:80"
    assert unlisted.authority({"ip": "fd00::1", "port": 8080}) == "[fd00::1]:8080"


@pytest.mark.parametrize("reason", [*unlisted.REASONS, "of a later version"])
async def test_every_reason_has_its_words(reason: str) -> None:
    class Asked:
        def page(self, template: str, status: int, **words: object) -> tuple[int, dict[str, object]]:
            return status, words

    found = {"ip": "192.168.0.9", "port": 81, "reason": reason, "level": "high"}
    status, words = unlisted.missing(Asked(), three()[2], found, "/" + "x" * 600, "")  # type: ignore[arg-type,misc]
    assert status == 404
    assert "{" not in str(words["happened"])
    assert "path=" not in str(words["add"])
    assert (words["add"] is None) is (reason == "host_outside_lan")


async def test_the_confirmation_leads_back_to_the_same_bytes() -> None:
    class Asked:
        def page(self, _template: str, **words: object) -> dict[str, object]:
            return words

    offer = {"ip": "192.168.0.9", "port": 443, "protocol": "https"}
    words = unlisted.confirm(Asked(), three()[2], offer, '/a/b/proxy/192.168.0.9/\xe4 "?<x>')  # type: ignore[arg-type]
    assert words["action"] == '/a/b/proxy/192.168.0.9/%E4%20"?<x>'  # type: ignore[index]


async def test_a_certificate_that_nobody_checks_is_said_before() -> None:
    from tests.webproxy.pages.test_links import at_standard

    async with browse(at_standard()) as client:
        assert "certificate is not checked" in (await page(client, "/alpine/press-4/proxy/192.168.0.99:443/")).words
