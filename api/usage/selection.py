"""What the daily route may be asked for besides its days: how long a row is, what it is grouped by, which usage counts, which changes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Depends, Query
from pydantic import AwareDatetime, BeforeValidator

from api.kit.parameters import NO_NUL, comma_list
from api.kit.periods import Granularity
from api.kit.problems import InvalidInput, UnknownObject
from costs.rules.services import CHANNELS

DIMENSIONS = ("service", "feature", "operation", "model")
"""What rows may be split by. By channel they always are: units of two channels cannot be added up."""
GROUPS = ("channel", *DIMENSIONS)

Words = tuple[str, ...] | None


def _written_out(text: str) -> str:
    """Refuse a bare number, which pydantic would take for seconds since 1970: a year alone, for one."""
    if text.replace(".", "", 1).lstrip("+-").isdecimal():
        raise ValueError("must be an instant such as 2026-11-20T12:01:00Z")
    return text


Instant = Annotated[AwareDatetime, BeforeValidator(_written_out)]


@dataclass(frozen=True, slots=True)
class DailySelection:
    """One question about a range of days; None for a filter stands for everything.

    ``since``: only days that were built again after it. ``zone``: in which instants are written.
    """

    granularity: Granularity = "day"
    dimensions: tuple[str, ...] = ()
    channels: Words = None
    services: Words = None
    features: Words = None
    operations: Words = None
    models: Words = None
    since: dt.datetime | None = None
    zone: ZoneInfo | None = None

    @property
    def needs_lines(self) -> bool:
        """Whether the answer needs more than a channel's totals of a day."""
        return bool(self.dimensions or self.services or self.features or self.operations or self.models)

    def parameters(self) -> dict[str, Any]:
        """Return what the queries are sent of it."""
        filters = {name: getattr(self, name) for name in ("channels", "services", "features", "operations", "models")}
        return {
            "granularity": self.granularity,
            "since": self.since,
            "dimensions": list(self.dimensions),
            **{name: None if values is None else list(values) for name, values in filters.items()},
        }


EVERYTHING = DailySelection()


def words(text: str | None) -> Words:
    """Return the values of a filter, of which the whole text is one: a feature's name may have a comma in it."""
    values = comma_list(text)
    return tuple(sorted({*values, str(text)})) if values else None


@cache
def zones() -> frozenset[str]:
    return frozenset(available_timezones())


Filter = Annotated[str | None, Query(pattern=NO_NUL, max_length=2_000, description="Several separated by commas.")]


async def daily_selection(
    granularity: Annotated[
        Granularity,
        Query(
            description="How many days a row has. Weeks begin on Monday. `date` is the first of the row's days that is in "
            "the range, so that a first week or month may be a part of one."
        ),
    ] = "day",
    group_by: Annotated[
        str | None,
        Query(
            alias="groupBy",
            description=f"What rows are split by: {', '.join(GROUPS)}; several separated by commas. By channel they always "
            "are: units of two channels cannot be added up.",
            examples=["service,feature"],
        ),
    ] = None,
    channel: Annotated[
        str | None, Query(description="Only these channels, separated by commas.", examples=["sms,ai"])
    ] = None,
    service: Filter = None,
    feature: Filter = None,
    operation: Filter = None,
    model: Filter = None,
    since: Annotated[
        Instant | None,
        Query(
            description="Only rows with a day that was built again after this instant, to replace the ones you have: the "
            "`builtAt` of an earlier answer to the same question.",
            examples=["2026-11-20T12:01:00Z"],
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        Query(
            alias="timeZone",
            description="An IANA name, in which instants (`dataAsOf`, `builtAt`, `startsAt`, `endsAt`) are written. Rows do "
            "not change with it: providers report by UTC day, and a UTC day cannot be divided into two local ones. `startsAt` "
            "says when the first of them begins on that zone's clocks.",
            examples=["Europe/Berlin"],
        ),
    ] = None,
) -> DailySelection:
    if unknown := set(comma_list(group_by) or ()) - set(GROUPS):
        raise InvalidInput("groupBy", f"unknown group {sorted(unknown)[0]}: use {', '.join(GROUPS)}")
    if time_zone is not None and time_zone not in zones():
        raise InvalidInput("timeZone", "must be the name of a time zone such as Europe/Berlin")
    channels = comma_list(channel)
    if set(channels or ()) - set(CHANNELS):
        raise UnknownObject("There is no such channel.")
    groups = comma_list(group_by) or ()
    return DailySelection(
        granularity=granularity,
        dimensions=tuple(name for name in DIMENSIONS if name in groups),
        channels=channels,
        services=words(service),
        features=words(feature),
        operations=words(operation),
        models=words(model),
        since=since,
        zone=ZoneInfo(time_zone) if time_zone else None,
    )


Selection = Annotated[DailySelection, Depends(daily_selection)]
