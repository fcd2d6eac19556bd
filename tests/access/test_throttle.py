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
