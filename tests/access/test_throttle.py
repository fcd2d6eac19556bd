"""Open calls are limited by address."""

from __future__ import annotations

import pytest

from access.throttle import Throttle
from panelgate.errors import Refused


def test_an_address_has_a_limit_for_each_call() -> None:
    throttle = Throttle(per_minute=2)
    throttle.hit("enrol", "198.51.100.4")
    throttle.hit("enrol", "198.51.100.4")
    with pytest.raises(Refused) as caught:
        throttle.hit("enrol", "198.51.100.4")
    assert (caught.value.code, caught.value.status) == ("too_many_calls", 429)
    throttle.hit("join", "198.51.100.4")
    throttle.hit("enrol", "198.51.100.5")


def test_one_ipv6_network_is_one_guesser() -> None:
    throttle = Throttle(per_minute=1)
    throttle.hit("sign-in", "2001:db8:1:2::1")
    for same in ("2001:db8:1:2::2", "2001:DB8:1:2:ffff::"):
        with pytest.raises(Refused):
            throttle.hit("sign-in", same)
    throttle.hit("sign-in", "2001:db8:1:3::1")
    throttle.hit("sign-in", "198.51.100.4")
    with pytest.raises(Refused):
        throttle.hit("sign-in", "::ffff:198.51.100.4")
    throttle.hit("sign-in", "")
    throttle.hit("sign-in", "somewhere")
