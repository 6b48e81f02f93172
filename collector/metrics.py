"""`metering_collector_*` and `metering_spool_*` on `/metrics`: what is waiting here, in memory and on this host's disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from collector.intake import Intake

LOGS, SET_ASIDE = "*.log", "*.damaged"


class IntakeMetrics:
    """Reads the intake when it is scraped, and how large the spool's files are: `metering events status` reads what is in them."""

    def __init__(self, intake: Intake, spool: Path) -> None:
        self._intake = intake
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics (called by prometheus_client)."""
        results = CounterMetricFamily("metering_collector_events", "Events by what became of them", labels=["result"])
        for result, count in self._intake.results().items():
            results.add_metric([result], count)
        yield results
        yield GaugeMetricFamily(
            "metering_collector_connections_busy", "Connections to the database in use", self._intake.busy
        )
        yield GaugeMetricFamily(
            "metering_collector_connections", "Connections that events may use", self._intake.connections
        )
        yield GaugeMetricFamily(
            "metering_collector_requests_waiting", "Requests that wait for one", self._intake.waiting
        )
        yield GaugeMetricFamily(
            "metering_spool_bytes", "Size of what waits in this host's spool", sum(map(_size, self._spool.glob(LOGS)))
        )
        yield GaugeMetricFamily(
            "metering_spool_damaged_files", "Files of it that were set aside", len(list(self._spool.glob(SET_ASIDE)))
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # delivered meanwhile
