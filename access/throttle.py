"""Limits on calls that anybody may make, per address: guessing is hopeless anyway, filling the audit must be too."""

from __future__ import annotations

from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from panelgate.errors import Refused

PER_MINUTE: Final = 20  # a workshop that enrols a rack of machines behind one address stays below it


class Throttle:
    """Counts calls in this process; several access servers each count their own."""

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, call: str, address: str) -> None:
        """Count one `call` from `address`; Refused(too_many_calls), HTTP 429, above the limit."""
        if not self._limiter.hit(self._limit, call, address):
            raise Refused(
                "too_many_calls", "Too many attempts from this address. Wait a minute, then try again.",
                {"retry_seconds": 60}, status=429,
            )  # fmt: skip
