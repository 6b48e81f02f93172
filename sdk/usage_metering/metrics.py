"""What a tracker has done and what is waiting, as numbers and as Prometheus metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

PREFIX = "metering_tracking"


@dataclass(frozen=True)
class TrackerStatus:
    """A tracker's figures since its process began (a forked child starts over).

    ``depth`` lines of this process are durable on disk and not in the database; the oldest was recorded
    ``oldest_age_seconds`` ago (None: nothing waits). ``duplicates`` had been taken before; ``rejected`` are in
    raw.rejected_records: their key was recorded before with other data, or they were ``refused`` as not events. ``lost`` could
    be kept nowhere.
    """

    spool_dir: Path
    depth: int
    oldest_age_seconds: float | None
    recorded: int
    flushed: int
    duplicates: int
    rejected: int
    refused: int
    lost: int
    inserted_directly: int
    adopted: int
    flush_failures: int
    unavailable_decisions: int
    database_error: str | None


COUNTERS: dict[str, str] = {
    "recorded": "Events that were made durable, on disk or directly in the database",
    "flushed": "Events that the database took from the spool",
    "duplicates": "Lines that the database had already",
    "rejected": "Lines that went to raw.rejected_records",
    "refused": "Calls that described no event",
    "lost": "Events that neither the spool nor the database took",
    "inserted_directly": "Events that went straight to the database because the spool refused them",
    "adopted": "Lines that were flushed for processes that are gone",
    "flush_failures": "Attempts to flush that the database did not answer",
    "unavailable_decisions": "Answers that the guard gave by its fail mode",
}


class Counters:
    """Thread-safe counts; the names are those of `COUNTERS`."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over, in a forked child."""
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(COUNTERS, 0)

    def add(self, **amounts: int) -> None:
        """Add to the named counts."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def read(self) -> dict[str, int]:
        """Return all counts as of one moment."""
        with self._lock:
            return dict(self._counts)


class StatusCollector:
    """Reads a tracker's status when it is scraped: counting costs the recording path nothing more."""

    def __init__(self, status: Callable[[], TrackerStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics (called by prometheus_client)."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        status = self._status()
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, value=getattr(status, name))
        yield GaugeMetricFamily(f"{PREFIX}_spool_depth", "Lines on disk that the database does not have", status.depth)
        yield GaugeMetricFamily(
            f"{PREFIX}_spool_oldest_age_seconds",
            "How long the oldest of them has been waiting",
            status.oldest_age_seconds or 0,
        )


def new_registry(status: Callable[[], TrackerStatus]) -> CollectorRegistry:
    """Return a registry of its own for one tracker."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(StatusCollector(status))
    return registry
