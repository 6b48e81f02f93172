"""Daily UTC partitions, from METERING_START_DATE to the as-of day, which is included."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from ingestion.windows import Window
from usage_metering.clock import as_of
from usage_metering.failures import ConfigError

DEFAULT_START = date(2026, 1, 1)


def start_date() -> date:
    """Return METERING_START_DATE, the first daily partition.

    Raises:
        ConfigError: not an ISO date, or after the as-of day.
    """
    text = os.environ.get("METERING_START_DATE")
    try:
        first = date.fromisoformat(text) if text else DEFAULT_START
    except ValueError:
        raise ConfigError(f"METERING_START_DATE is not a date (write 2026-01-01): {text}") from None
    if first > as_of().date():
        raise ConfigError(
            f"METERING_START_DATE {first} is after the as-of day {as_of().date()}: there is no day to build"
        )
    return first


def daily_partitions() -> dg.DailyPartitionsDefinition:
    """Return the partitions. With METERING_AS_OF set they end there, wherever the clock is; without, they follow the clock."""
    start = datetime.combine(start_date(), datetime.min.time(), tzinfo=UTC)
    if os.environ.get("METERING_AS_OF"):
        today = as_of().date()
        end = datetime.combine(today + timedelta(days=1), datetime.min.time(), tzinfo=UTC)
        # Dagster has no partition for a day that is not over by its own clock, unless it is told how many.
        ahead = max(1, (today - datetime.now(UTC).date()).days + 1)
        return dg.DailyPartitionsDefinition(start_date=start, end_date=end, end_offset=ahead)
    return dg.DailyPartitionsDefinition(start_date=start, end_offset=1)


def window_of(context: dg.AssetExecutionContext) -> Window:
    """Return the half-open window of the run's partition or partition range."""
    keys = context.partition_key_range
    return Window.of_days(date.fromisoformat(keys.start), date.fromisoformat(keys.end))


def range_tags(window: Window) -> dict[str, str]:
    """Return the run tags that make Dagster run ``window`` as one run."""
    return {
        "dagster/asset_partition_range_start": window.start.isoformat(),
        "dagster/asset_partition_range_end": (window.end - timedelta(days=1)).isoformat(),
    }
