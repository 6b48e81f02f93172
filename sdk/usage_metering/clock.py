"""The one "now"."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from usage_metering.failures import ConfigError


def as_of(environ: Mapping[str, str] = os.environ) -> datetime:
    """Return now: METERING_AS_OF (a date is its midnight; a timestamp without an offset is UTC), else the clock.

    Raises:
        ConfigError: METERING_AS_OF is not an ISO date or timestamp.
    """
    text = environ.get("METERING_AS_OF", "").strip()
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"METERING_AS_OF is not an ISO date or timestamp (write 2026-11-21 or 2026-11-21T08:00:00Z): {text}"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
