from __future__ import annotations

import pytest

from webproxy.forward.clients import Clients

FORWARDED = [(b"X-Forwarded-For", b"6.6.6.6, 203.0.113.9, 10.0.0.2")]


def test_nobody_is_believed_by_default() -> None:
    assert Clients().address(("198.51.100.1", 5), FORWARDED) == "198.51.100.1"
    assert Clients("10.0.0.0/8").address(("198.51.100.1", 5), FORWARDED) == "198.51.100.1"
    assert Clients().address(None, []) == ""


def test_trusted_hops_are_followed_from_the_end() -> None:
    trusted = Clients("10.0.0.0/8, 192.0.2.1")
    assert trusted.address(("10.0.0.1", 5), FORWARDED) == "203.0.113.9"
    assert trusted.address(("192.0.2.1", 5), [(b"x-forwarded-for", b"10.0.0.7")]) == "10.0.0.7"
    assert trusted.address(("10.0.0.1", 5), [(b"x-forwarded-for", b"rubbish")]) == "10.0.0.1"
    assert trusted.address(("10.0.0.1", 5), []) == "10.0.0.1"
    assert trusted.address(("unix", 0), FORWARDED) == "unix"


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="appear"):
        Clients("everybody")
