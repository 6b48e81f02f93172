"""How many requests a token may make at once, and what each answer says of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.problems import TooManyRequests

CALLERS_KEPT = 10_000


class Limiter:
    """Lets each caller make ``per_second`` requests, and that many at once after a quiet second."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._at_once = max(1.0, per_second)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> float:
        """Count a request; return how many more the caller may make at once.

        Raises:
            TooManyRequests: it is one too many.
        """
        now = self._clock()
        left, at = self._left.pop(caller, (self._at_once, now))
        left = min(self._at_once, left + (now - at) * self._per_second)
        if left < 1:
            self._left[caller] = (left, now)
            raise TooManyRequests(
                f"This token may make {self._per_second:g} requests a second: wait, or send more at once."
            )
        if len(self._left) >= CALLERS_KEPT:
            del self._left[next(iter(self._left))]  # who has been quiet for longest has all of them again
        self._left[caller] = (left - 1, now)
        return left - 1

    def headers(self, left: float) -> Mapping[str, str]:
        """Return what to tell a caller with ``left`` requests: RateLimit and RateLimit-Policy (IETF httpapi draft)."""
        at_once = int(self._at_once)
        window, refill = (math.ceil(count / self._per_second) for count in (at_once, max(1.0, at_once - left)))
        return {
            "RateLimit-Policy": f'"token";q={at_once};w={window}',
            "RateLimit": f'"token";r={int(left)};t={refill}',
        }


class RateLimitHeaders:
    """Puts what `collector.auth` noted of the caller's limit on the answer, whatever that is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(state.get("rate_limit", {}))
            await send(message)

        await self.app(scope, receive, send_with_headers)
