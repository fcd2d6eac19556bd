import json
from typing import Any

import pytest

from panelgate.errors import BadInput
from panelgate.options import DEFAULTS, HEADERS_LIMIT, ServiceOptions

FULL = ServiceOptions(
    host="hmi.example:8080", forwarded=True, service_workers=True, rewrite=True, companions=("socket", "camera-2"),
    headers=(("Content-Security-Policy", "connect-src 'self'"),), auth="digest", user="opérateur", compress="all",
    cache=False, tls_profile="legacy", tls_ca="-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n",
)  # fmt: skip


def test_only_what_differs_is_stored_and_it_comes_back_whole() -> None:
    assert DEFAULTS.as_json() == {}
    assert ServiceOptions.of(json.loads(json.dumps(FULL.as_json()))) == FULL
    assert ServiceOptions.of({}) == ServiceOptions.of(None) == DEFAULTS


def test_an_option_of_a_later_version_is_passed_over() -> None:
    assert ServiceOptions.of({"rewrite": True, "teleport": 7}) == ServiceOptions(rewrite=True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("host", "a b"), ("host", "evil/path"), ("host", "user@host"), ("host", "x:65536"),
        ("host", "x:0"), ("host", "[::::]"), ("host", "[1.2.3.4]"), ("host", "x\r\ny"), ("host", 5),
        ("forwarded", "yes"), ("forwarded", 1), ("rewrite", None),
        ("companions", "socket"), ("companions", ["Bad Slug"]), ("companions", ["a"] * 9), ("companions", [1]),
        ("headers", [["X"]]), ("headers", {"X": "y"}), ("headers", [["X", "a\r\nSet-Cookie: b"]]),
        ("headers", [["Set-Cookie", "a=b"]]), ("headers", [["content-LENGTH", "5"]]), ("headers", [["a b", "c"]]),
        ("headers", [["Access-Control-Allow-Origin", "*"]]), ("headers", [["X-A", "b"]] * (HEADERS_LIMIT + 1)),
        ("headers", [["X-A", "b" * 5000]]), ("headers", [["X-A", "\u20ac"]]),
        ("auth", "ntlm"), ("user", "a\nb"), ("user", "x" * 200), ("user", "\ud800"), ("user", "a\u2028b"),
        ("user", "\u202eresu"), ("user", "a\x85b"), ("user", "a\x7f"), ("compress", True), ("compress", []),
        ("tls_profile", "ssl3"), ("tls_ca", "not a certificate"), ("tls_ca", "x" * 40_000),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(BadInput) as caught:
        ServiceOptions.of({option: value})
    assert (caught.value.code, caught.value.facts) == ("bad_option", {"option": option})


def test_a_colon_would_split_the_user_of_basic_sign_in() -> None:
    with pytest.raises(BadInput):
        ServiceOptions.of({"auth": "basic", "user": "a:b"})
    assert ServiceOptions.of({"auth": "digest", "user": "a:b"}).user == "a:b"


def test_options_are_an_object() -> None:
    with pytest.raises(BadInput):
        ServiceOptions.of([])
