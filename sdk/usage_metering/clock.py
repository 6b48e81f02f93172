"""The one "now"."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from usage_metering.failures import ConfigError

# Beyond these, adding days to today leaves the calendar.
FIRST_YEAR, LAST_YEAR = 1970, 9998


def as_of(environ: Mapping[str, str] = os.environ) -> datetime:
    """Return now: METERING_AS_OF (a date is its midnight; a timestamp without an offset is UTC), else the clock.

    Raises:
        ConfigError: METERING_AS_OF is not an ISO date or timestamp, or not of the years 1970 to 9998.
    """
    text = environ.get("METERING_AS_OF", "").strip()
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"METERING_AS_OF is not an ISO date or timestamp (write 2026-11-21 or 2026-11-21T08:00:00Z): {text}"
        ) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ConfigError(f"METERING_AS_OF must be in the years {FIRST_YEAR} to {LAST_YEAR}: {text}")
    return moment
