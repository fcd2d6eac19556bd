from __future__ import annotations

import pytest

from webproxy.forward.policy import Verdict, judge
from webproxy.forward.request import RequestHead

OWN = b"http://a.apps.localhost"
OTHER = b"http://b.apps.localhost"


def head(method: bytes = b"GET", target: bytes = b"/", **facts: object) -> RequestHead:
    made = RequestHead(method, target, "1.1")
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("origin", [None, b"null", OTHER, OWN + b":80", OWN.upper(), OWN + b"."])
def test_websockets_need_the_exact_origin(origin: bytes | None) -> None:
    assert judge(head(upgrade=b"websocket", origin=origin), OWN) is Verdict.FORBID
    assert judge(head(upgrade=b"websocket", origin=OWN), OWN) is Verdict.GO


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"])
def test_unsafe_methods(method: bytes) -> None:
    assert judge(head(method, origin=OWN), OWN) is Verdict.GO
    assert judge(head(method, site=b"same-origin"), OWN) is Verdict.GO
    assert judge(head(method, origin=OTHER, site=b"same-origin"), OWN) is Verdict.FORBID
    assert judge(head(method, origin=b"null", site=b"same-origin"), OWN) is Verdict.FORBID
    assert judge(head(method, site=b"same-site"), OWN) is Verdict.FORBID
    assert judge(head(method), OWN) is Verdict.FORBID


@pytest.mark.parametrize("site", [b"same-site", b"cross-site"])
def test_reading_from_elsewhere(site: bytes) -> None:
    page = {"site": site, "mode": b"navigate", "dest": b"document"}
    assert judge(head(**page), OWN) is Verdict.GO
    assert judge(head(target=b"/UpdateTagForm?Tag=1", **page), OWN) is Verdict.ASK
    assert judge(head(site=site, mode=b"no-cors", dest=b"image"), OWN) is Verdict.FORBID
    assert judge(head(site=site, mode=b"navigate", dest=b"iframe"), OWN) is Verdict.FORBID
    assert judge(head(b"HEAD", **page), OWN) is Verdict.FORBID


def test_own_pages_and_old_browsers() -> None:
    assert judge(head(site=b"same-origin", mode=b"cors"), OWN) is Verdict.GO
    assert judge(head(site=b"none", target=b"/x?y"), OWN) is Verdict.GO
    assert judge(head(), OWN) is Verdict.GO
    assert judge(head(origin=OTHER), OWN) is Verdict.FORBID


def test_no_service_workers_from_our_paths_or_elsewhere() -> None:
    # Whether the service allows its own is looked at behind the sign-in: test_route.
    assert judge(head(service_worker=True, site=b"same-origin", target=b"/sw.js"), OWN) is Verdict.GO
    assert judge(head(service_worker=True, site=b"same-site", target=b"/sw.js"), OWN) is Verdict.FORBID
    for target in (b"/.pg/companion/cam/sw.js", b"/.pg/cb", b"/.pg/"):
        assert judge(head(service_worker=True, site=b"same-origin", target=target), OWN) is Verdict.FORBID
