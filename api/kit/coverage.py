"""For which days providers have answered: the one rule of every series by day. No HTTP and no SQL here (`api.kit.queries.SOURCES`).

What is shown (a channel, a service, a provider) is read from its meters' raw tables (`meters.csv`). A table that was never answered is
no part of it: that provider is not set up here. What is held (phone numbers) has no days of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from datetime import date
from typing import Literal

from pydantic import Field

from api.kit.database import Row
from api.kit.periods import DayRange
from api.kit.schemas import Body
from costs.rules.services import METERS

State = Literal["no_answer", "not_metered"]

PROVIDERS = {row["raw_table"]: row["provider"] for row in METERS if row["keeps"] in ("records", "sums")}
"""Raw table -> whose it is."""


class UnknownDays(Body):
    """Days whose zeros are not known to be zeros, and whose other figures may be too low."""

    state: State = Field(
        description="no_answer: a provider has not answered for these days; not_metered: before the first day that was read."
    )
    start: dt.date = Field(serialization_alias="from", description="The first day.")
    end: dt.date = Field(serialization_alias="to", description="The last day, included.")
    providers: list[str] = Field(
        description="Who has not answered, or is not read for these days.", examples=[["twilio"]]
    )


def tables_by(column: Literal["channel", "service", "provider"]) -> dict[str, tuple[str, ...]]:
    """Return the raw tables of each value of a column of the meter catalogue, in the catalogue's order."""
    return {
        value: tuple(
            dict.fromkeys(row["raw_table"] for row in METERS if row[column] == value and row["raw_table"] in PROVIDERS)
        )
        for value in dict.fromkeys(row[column] for row in METERS)
    }


def unknown_days(tables: Sequence[str], sources: Sequence[Row], days: DayRange) -> list[UnknownDays]:
    """Return what is not known of some tables' days, in runs of days.

    Args:
        sources: rows of ``table_name``, ``first_day`` (the first that was ever answered) and ``unanswered`` (days since then, of
            the range, up to the build's), days as ISO text.
    """
    first_days = {row["table_name"]: date.fromisoformat(row["first_day"]) for row in sources}
    unanswered = {row["table_name"]: {date.fromisoformat(day) for day in row["unanswered"]} for row in sources}
    read = [table for table in tables if table in first_days]
    runs: list[UnknownDays] = []
    previous: tuple[State, list[str]] | None = None
    for day in days.days():
        found = _state(read, day, first_days, unanswered)
        if found and found == previous:
            runs[-1] = runs[-1].model_copy(update={"end": day})
        elif found:
            runs.append(UnknownDays(state=found[0], start=day, end=day, providers=found[1]))
        previous = found
    return runs


def _state(
    tables: Sequence[str], day: date, first_days: dict[str, date], unanswered: dict[str, set[date]]
) -> tuple[State, list[str]] | None:
    """Return what is not known of a day, and of whom; None where all is."""
    if silent := [table for table in tables if day in unanswered[table]]:
        return "no_answer", sorted({PROVIDERS[table] for table in silent})
    if tables and all(day < first_days[table] for table in tables):
        return "not_metered", sorted({PROVIDERS[table] for table in tables})
    return None
