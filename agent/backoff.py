"""How long to wait before the next connect: doubling, jittered, and forgotten after a stable minute."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.5  # quick enough that a relay's restart is not noticed
LONGEST_SECONDS = 60.0  # a plant without Internet for a week must be back within a minute
STABLE_SECONDS = 60.0  # a connection that lasted this long was a good one
AT_ONCE_SECONDS = 0.5  # after a lost relay: at once, but a thousand agents not in the same millisecond


class Backoff:
    """Delays between attempts. `jitter(low, high)` is random.uniform outside tests."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._ceiling = FIRST_SECONDS

    def failed(self, lasted: float = 0.0) -> float:
        """Seconds to wait after an attempt that failed, or a connection that was lost after `lasted` seconds.

        A connection that was stable starts over: the next attempt follows within AT_ONCE_SECONDS.
        """
        if lasted >= STABLE_SECONDS:
            self.reset()
            return self._jitter(0.0, AT_ONCE_SECONDS)
        ceiling = self._ceiling
        self._ceiling = min(LONGEST_SECONDS, ceiling * 2)
        # Half fixed, half random: never a burst, never a wait of zero.
        return self._jitter(ceiling / 2, ceiling)

    def longest(self) -> float:
        """Seconds to wait where trying soon is pointless (identity revoked, a copy of this agent runs elsewhere)."""
        self._ceiling = LONGEST_SECONDS
        return self._jitter(LONGEST_SECONDS / 2, LONGEST_SECONDS)

    def reset(self) -> None:
        """Forget earlier failures."""
        self._ceiling = FIRST_SECONDS
