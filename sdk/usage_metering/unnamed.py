"""Use for which no tenant is named: a warning, but not for each call of a busy product, or a refusal."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("metering.tracking")

EVERY_SECONDS = 60.0
MOST_KINDS = 100
REMEDY = (
    "enter usage_context(tenant_id=...) around the call, and carry_context(...) into the thread or pool that makes it"
)


class TenantRequired(RuntimeError):
    """A wrapped call was made for no tenant, and the tracker requires one (`require_tenant`); nothing was sent."""


class Reminder:
    """Logs a warning for each kind of call at most once a minute, with how many there were since.

    Args:
        every: seconds between two warnings about one kind of call.
        clock: seconds, monotonic.
    """

    def __init__(self, every: float = EVERY_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._warned: dict[str, tuple[float, int]] = {}

    def warn(self, kind: str) -> None:
        """Warn that a call of ``kind`` (service and operation) named no tenant, unless a warning was just logged."""
        now = self._clock()
        with self._lock:
            if kind not in self._warned and len(self._warned) >= MOST_KINDS:
                kind = "other calls"
            warned_at, quiet = self._warned.get(kind, (float("-inf"), 0))
            if now - warned_at < self._every:
                self._warned[kind] = (warned_at, quiet + 1)
                return
            self._warned[kind] = (now, 0)
        more = f" ({quiet} more since the last warning)" if quiet else ""
        log.warning("%s: no tenant is named, so it is unattributed and under no cap%s: %s", kind, more, REMEDY)
