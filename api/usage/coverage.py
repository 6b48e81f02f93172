"""For which days of a channel its providers have answered. No HTTP and no SQL here.

A channel is read from its meters' raw tables (`meters.csv`). A table that was never answered is no part of it: that provider is
not set up here. What is held (phone numbers) has no days of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

from api.kit.database import Row
from api.kit.periods import DayRange
from api.usage.schemas import Gap
from costs.rules.services import METERS

State = Literal["no_answer", "not_metered"]

PROVIDERS = {row["raw_table"]: row["provider"] for row in METERS if row["keeps"] in ("records", "sums")}
"""Raw table -> whose it is."""

_TABLES: dict[str, tuple[str, ...]] = {
    channel: tuple(
        dict.fromkeys(row["raw_table"] for row in METERS if row["channel"] == channel and row["raw_table"] in PROVIDERS)
    )
    for channel in dict.fromkeys(row["channel"] for row in METERS)
}


def gaps_of(channels: Iterable[str], sources: Sequence[Row], days: DayRange) -> list[Gap]:
    """Return what is not known of each channel's days, in runs of days.

    Args:
        sources: rows of ``table_name``, ``first_day`` (the first that was ever answered) and ``unanswered`` (days since then, of
            the range, up to the build's), days as ISO text.
    """
    first_days = {row["table_name"]: date.fromisoformat(row["first_day"]) for row in sources}
    unanswered = {row["table_name"]: {date.fromisoformat(day) for day in row["unanswered"]} for row in sources}
    gaps: list[Gap] = []
    for channel in channels:
        tables = [table for table in _TABLES.get(channel, ()) if table in first_days]
        previous: tuple[State, list[str]] | None = None
        for day in days.days():
            found = _state(tables, day, first_days, unanswered)
            if found and found == previous:
                gaps[-1] = gaps[-1].model_copy(update={"end": day})
            elif found:
                gaps.append(Gap(channel=channel, state=found[0], start=day, end=day, providers=found[1]))
            previous = found
    return gaps


def _state(
    tables: Sequence[str], day: date, first_days: dict[str, date], unanswered: dict[str, set[date]]
) -> tuple[State, list[str]] | None:
    """Return what is not known of a day, and of whom; None where all is."""
    if silent := [table for table in tables if day in unanswered[table]]:
        return "no_answer", sorted({PROVIDERS[table] for table in silent})
    if tables and all(day < first_days[table] for table in tables):
        return "not_metered", sorted({PROVIDERS[table] for table in tables})
    return None
