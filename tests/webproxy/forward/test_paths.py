from __future__ import annotations

import pytest

from webproxy.forward.paths import judge, take_apart
from webproxy.forward.policy import Verdict
from webproxy.forward.request import RequestHead, RequestRefused

SHARED = b"apps.example"
ORIGIN = b"https://apps.example"
ROOT = b"/hmi--press--acme"


def head(target: bytes = ROOT + b"/", host: bytes = SHARED, method: bytes = b"GET") -> RequestHead:
    made = RequestHead(method, target, "1.1")
    made.host = host
    take_apart(made, SHARED)
    return made


@pytest.mark.parametrize(("target", "rest"), [
    (ROOT + b"/", b"/"), (ROOT + b"/a//b?c=/d", b"/a//b?c=/d"), (ROOT + b"/.pg/cb?code=x", b"/.pg/cb?code=x"),
    (ROOT + ROOT + b"/", ROOT + b"/"),
])  # fmt: skip
def test_the_label_is_taken_off(target: bytes, rest: bytes) -> None:
    made = head(target, b"Apps.Example")
    assert (made.prefix, made.target, made.host) == (ROOT, rest, SHARED + ROOT)


@pytest.mark.parametrize(("target", "host"), [
    (ROOT, SHARED), (ROOT + b"?x", SHARED), (b"/", SHARED), (b"/x/", SHARED), (b"/a--b/", SHARED),
    (ROOT + b"/", b"other"),
    (b"/" + b"a" * 60 + b"--b--c/", SHARED), (ROOT + b".x/", SHARED),
])  # fmt: skip
def test_what_names_no_service_stays_as_it_is(target: bytes, host: bytes) -> None:
    made = head(target, host)
    assert (made.prefix, made.target, made.host) == (b"", target, host)


@pytest.mark.parametrize(("target", "host"), [
    (ROOT + b"//evil/", SHARED), (ROOT + b"/\\evil", SHARED), (b"/", SHARED + ROOT), (ROOT + b"/", SHARED + ROOT),
])  # fmt: skip
def test_what_could_be_taken_for_something_else_is_refused(target: bytes, host: bytes) -> None:
    with pytest.raises(RequestRefused):
        head(target, host)


def asked(
    target: bytes = b"/", *, referer: bytes | None = None, method: bytes = b"GET", dest: bytes = b"document"
) -> Verdict:
    made = head(ROOT + target, method=method)
    made.referer, made.origin = referer, ORIGIN if method == b"POST" else None
    made.site, made.dest, made.mode = b"same-origin", dest, b"navigate" if dest == b"document" else b"no-cors"
    return judge(made, ORIGIN)


OTHER = ORIGIN + b"/hmi--mixer--acme/page"


def test_what_another_panels_page_may_cause() -> None:
    assert asked(referer=OTHER) is Verdict.GO
    assert asked(b"/x?y", referer=OTHER) is Verdict.ASK
    assert asked(b"/.pg/cb?code", referer=OTHER) is Verdict.GO
    for target, method, dest in (
        (b"/x", b"GET", b"image"), (b"/x", b"POST", b"document"), (b"/.pg/reset", b"GET", b"document"),
    ):  # fmt: skip
        assert asked(target, referer=OTHER, method=method, dest=dest) is Verdict.FORBID
        assert asked(target, referer=ORIGIN + b"/", method=method, dest=dest) is Verdict.FORBID


@pytest.mark.parametrize("referer", [None, ORIGIN + ROOT + b"/page", ORIGIN + ROOT, b"https://portal.example/"])
def test_what_its_own_pages_may_cause(referer: bytes | None) -> None:
    for method, dest in ((b"GET", b"image"), (b"POST", b"empty"), (b"GET", b"document")):
        assert asked(b"/x?y", referer=referer, method=method, dest=dest) is Verdict.GO


def test_other_sites_are_judged_as_everywhere() -> None:
    made = head(ROOT + b"/x", method=b"POST")
    made.origin = b"https://evil.example"
    assert judge(made, ORIGIN) is Verdict.FORBID
