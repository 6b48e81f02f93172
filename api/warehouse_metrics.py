"""`metering_*` on `/metrics`: what the warehouse holds that somebody should be woken for, of one read for each scrape.

Times are absolute, by Prometheus' conventions: `time() - metering_build_timestamp_seconds` is an age.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from anyio import from_thread
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from psycopg_pool import PoolClosed, PoolTimeout

from api.kit.database import BEHIND, Row

# `/metrics` is open: whoever asks faster than this is told the same again.
HELD_SECONDS = 5.0
UP = "metering_warehouse_up"

Read = Callable[[], Coroutine[Any, Any, Sequence[Row]]]


@dataclass(frozen=True, slots=True)
class Family:
    """What the samples of one name are, and their labels' names."""

    text: str
    labels: tuple[str, ...] = ()
    kind: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily


FAMILIES = {
    "metering_source_last_read_timestamp_seconds": Family(
        "When a provider last answered for a table", ("provider", "table")
    ),
    "metering_source_last_run_success": Family("Whether a provider's last read ended well", ("provider",)),
    "metering_undone_days": Family(
        "Days since a provider's first, older than the lookback, that are not built as final", ("provider",)
    ),
    "metering_rejected_records": Family("Records that were not understood and are kept aside", ("table",)),
    "metering_alerts_open": Family("Alerts whose condition lasts", ("severity",)),
    "metering_alerts_unacknowledged": Family("Of them, those that nobody has acknowledged", ("severity",)),
    "metering_notifications_waiting": Family("Messages about alerts that have not been sent"),
    "metering_build_timestamp_seconds": Family("When the last good build ended"),
    "metering_build_data_timestamp_seconds": Family("The oldest of the sources' last reads in it"),
    "metering_build_last_success": Family("Whether the newest build that has ended did so well"),
    "metering_days_touched": Family("Days with events or records since they were last built"),
    "metering_events_pending": Family("Events that no build has taken in"),
    "metering_reservations": Family("Reservations of a cap's room that are neither settled nor expired"),
    "metering_proof_different_days": Family("Days that, built anew, were different from the marts"),
    "metering_cap_blocks": Family("How often a cap has blocked", ("channel",), CounterMetricFamily),
    "metering_unpriced_units": Family("Units of this month without a known price", ("unit",)),
    BEHIND: Family("How far the replica that is read may be behind; absent without one, or where it does not know"),
    "metering_unpriced_tenants": Family("Tenants that have such units"),
}
"""As `ops.metrics` names them (a counter without its `_total`), and the replica's."""


class WarehouseMetrics:
    """Reads when it is scraped. A database that does not answer in time is a 0 of `metering_warehouse_up` and no other sample.

    Args:
        read: rows of `ops.metrics`; runs in the application's event loop, while `/metrics` is served from a thread.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._rows: Sequence[Row] | None = None
        self._read_at = -HELD_SECONDS

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics (called by prometheus_client)."""
        rows = self._latest()
        yield GaugeMetricFamily(UP, "Whether PostgreSQL answered in time", float(rows is not None))
        for name, family in FAMILIES.items():
            metric = family.kind(name, family.text, labels=family.labels)
            for row in rows or ():
                if row["name"] == name:
                    metric.add_metric([row["labels"][label] for label in family.labels], row["value"])
            yield metric

    def _latest(self) -> Sequence[Row] | None:
        with self._lock:
            if time.monotonic() - self._read_at >= HELD_SECONDS:
                try:
                    self._rows = from_thread.run(self._read)
                except (psycopg.Error, PoolTimeout, PoolClosed):
                    self._rows = None
                self._read_at = time.monotonic()
            return self._rows
