"""How many requests a token may make at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from collector.problems import TooManyRequests

CALLERS_KEPT = 10_000


class Limiter:
    """Lets each caller make ``per_second`` requests, and that many at once after a quiet second."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> None:
        """Count a request.

        Raises:
            TooManyRequests: it is one too many.
        """
        now = self._clock()
        left, at = self._left.pop(caller, (self._per_second, now))
        left = min(max(1.0, self._per_second), left + (now - at) * self._per_second)
        if left < 1:
            self._left[caller] = (left, now)
            raise TooManyRequests(
                f"This token may make {self._per_second:g} requests a second: wait, or send more at once."
            )
        if len(self._left) >= CALLERS_KEPT:
            del self._left[next(iter(self._left))]  # who has been quiet for longest has all of them again
        self._left[caller] = (left - 1, now)
