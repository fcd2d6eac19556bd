"""Hostile values as long as a head can be: whatever reads them takes time in proportion to their length."""

from __future__ import annotations

import contextlib
import time

import pytest

from panelgate.options import ServiceOptions
from panelgate.response import HEAD_LIMIT, ResponseHead
from webproxy.forward import cache, credentials, etags, headers
from webproxy.forward.redirects import RedirectRefused
from webproxy.forward.rules import Rules

PUBLIC = "https://hmi--press--acme.apps.example"
SIBLINGS = {f"http://10.0.0.{number}:80": f"https://s{number}--press--acme.apps.example" for number in range(6, 40)}
RULES = Rules.of(PUBLIC, "http", "10.0.0.5", 80, SIBLINGS, ServiceOptions(rewrite=True, service_workers=True))
NAMES = (
    b"location", b"refresh", b"link", b"content-security-policy", b"service-worker-allowed", b"set-cookie",
    b"cache-control", b"referrer-policy", b"etag", b"vary",
)  # fmt: skip
# Where anything took the square of its length, one of these would take minutes.
SECONDS = 1.0  # of processor time; all of a value's readings together take some 0.05


@pytest.mark.parametrize("piece", [
    b"\\", b"/", b" ", b'"', b"'", b";", b",", b"=", b"0;", b"5", b"http:", b"http://10.0.0.5:", b"//10.0.0.5", b"%2F",
    b"&#x2F;", b"\\u002f", b"ws", b"0x", b"1.", b"%31", b"[:", b'a="', b"a b", b'a="\\"', b"a,", b"a=b,", b"\t\xa0",
    b"..", b"https:\\/\\/", b"http%253A%252F%252F", b"url=", b"W/", b'W/"', b"@", b"\xef\xbc\x91",
])  # fmt: skip
def test_no_value_costs_more_than_its_length(piece: bytes) -> None:
    for start in (b"", b"0;url=", b"http://", b"Digest ", b"Digest a=", b"5 "):
        value = (start + piece * HEAD_LIMIT)[:HEAD_LIMIT] + b"x"
        begun = time.process_time()
        for name in NAMES:
            head = ResponseHead((1, 1), 302, b"Found")
            head.headers = [(name, name, value), (b"www-authenticate", b"", value)]
            with contextlib.suppress(RedirectRefused):
                headers.response_lines(RULES, head, set())
        cache.storable(head, authorized=False)
        credentials.challenges(head)
        etags.unmark_tags(RULES, value)
        assert time.process_time() - begun < SECONDS
