"""Limits on calls that anybody may make, per address: guessing is hopeless anyway, filling the audit must be too."""

from __future__ import annotations

import ipaddress
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from panelgate.errors import Refused

PER_MINUTE: Final = 20  # a workshop that enrols a rack of machines behind one address stays below it
SIGN_INS_PER_MINUTE: Final = 60  # a plant's whole shift behind one address signs in within a few minutes
ADDRESSES_PER_MINUTE: Final = 12  # made by one user: a person's bookmarks, not a scan of the LAN
# Rows of what one user was refused. A page in his browser that asks again and again must not bury the history.
REFUSALS_PER_MINUTE: Final = 60
V6_PREFIX: Final = 64  # one customer's: whoever has one IPv6 address has as many as he likes


class Throttle:
    """Counts calls in this process; several access servers each count their own."""

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def allows(self, call: str, address: str) -> bool:
        """Count one `call` from `address`; whether it is within the limit."""
        return self._limiter.hit(self._limit, call, _who(address))

    def hit(self, call: str, address: str) -> None:
        """Count one `call` from `address`; Refused(too_many_calls), HTTP 429, above the limit."""
        if not self.allows(call, address):
            raise Refused(
                "too_many_calls", "Too many attempts from this address. Wait a minute, then try again.",
                {"retry_seconds": 60}, status=429,
            )  # fmt: skip


def _who(address: str) -> str:
    """What is counted: an IPv4 address, an IPv6 network, or whatever else was given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), V6_PREFIX), strict=False))
    return str(parsed)
