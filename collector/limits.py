"""How much at once: bytes of a body, packed and unpacked, and requests of a token."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import Callable

from fastapi import Request

from collector.problems import BodyTooLarge, TooManyRequests, UnreadableBody, UnsupportedMediaType

CALLERS_KEPT = 10_000


async def read_body(request: Request, largest: int) -> bytes:
    """Return the body, unpacked; at most ``largest`` bytes of it are ever held.

    Raises:
        BodyTooLarge, UnsupportedMediaType, UnreadableBody: see their titles.
    """
    packed = bytearray()
    async for part in request.stream():
        packed += part
        if len(packed) > largest:
            raise BodyTooLarge(f"The body has more than {largest} bytes: send less at once.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return bytes(packed)
    if encoding != "gzip":
        raise UnsupportedMediaType("Content-Encoding must be gzip or absent.")
    return unpacked(bytes(packed), largest)


def unpacked(packed: bytes, largest: int) -> bytes:
    """Return what a gzip file holds, all of its members.

    Raises:
        BodyTooLarge: that is more than ``largest`` bytes.
        UnreadableBody: it is no gzip file, or not the whole of one.
    """
    if not packed:
        raise UnreadableBody("The body is empty, not a gzip file.")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            whole = file.read(largest + 1)
            if len(whole) <= largest:
                file.read(1)  # to its end, where its checksum stands
    except EOFError:
        raise UnreadableBody("The gzip data is truncated.") from None
    except (OSError, zlib.error):
        raise UnreadableBody("Content-Encoding is gzip, but the body is not.") from None
    if len(whole) > largest:
        raise BodyTooLarge(f"Unpacked, the body has more than {largest} bytes: send less at once.")
    return whole


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
