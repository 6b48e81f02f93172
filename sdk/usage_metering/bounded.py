"""A connection that waits for its server for a bounded time, whatever the server does with the bytes it was sent."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

LOOK_EVERY = 0.02


class Silent(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed, since an answer may still come on it."""


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """As psycopg's, but that no wait lasts longer than ``patience`` seconds, or beyond ``until`` (of `time.monotonic`).

    TCP alone does not bound it: a server (or a proxy before it) that takes bytes and never answers is alive to TCP. Nor does
    the server's statement_timeout, which such a server does not keep.
    """

    patience: float = 30.0
    until: float = float("inf")

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """Wait as psycopg does.

        Raises:
            Silent: for as long as was allowed, nothing came.
        """
        deadline = min(self.until, time.monotonic() + self.patience)
        return super().wait(self._bounded(gen, deadline), interval=LOOK_EVERY)

    def _bounded(self, gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise Silent("it did not answer in time")
                state = gen.send(ready)
        except StopIteration as end:
            return end.value
