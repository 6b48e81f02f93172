"""Which days a scheduled run must take: pure functions of the record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta

from builds.ledger import DayState
from ingestion.archived import month_after
from ingestion.windows import Window


def is_done(state: DayState, lookback_days: int, as_of_day: date = date.max) -> bool:
    """A day is done once it was ingested, then built when it was already older than the lookback (so: final).

    What was built as of a day that is still to come was built while the clock was ahead: it was not as old as it seemed.
    """
    return (
        state.ingested_at is not None
        and state.built_at is not None
        and state.built_as_of is not None
        and state.usage_date < state.built_as_of - timedelta(days=lookback_days)
        and state.built_as_of <= as_of_day
    )


def due_window(
    *,
    start: date,
    as_of_day: date,
    providers: Iterable[str],
    states: Iterable[DayState],
    lookback_days: int,
    touched: Iterable[date] = (),
    archived: Collection[str] = (),
    retention_days: Mapping[str, int | None] | None = None,
) -> Window | None:
    """Return yesterday, the lookback before it, and every earlier day that is not done or is ``touched``, as one range.

    A day built while it was still inside the lookback is not done: prices and statuses may have changed since, and
    it has not been called final. So a scheduler that was away for ten days heals those before its last run, too.
    A day that a provider no longer keeps (``retention_days`` back from the as-of day; None: no limit) is not waited for from it.
    Days of ``archived`` months (2026-03) cannot be taken, nor, in one range, what is before them: the range begins after the last of them.
    None where the first partition is today: there is no day before it.
    """
    if archived:
        start = max(start, month_after(max(archived)))
    done = {(state.provider, state.usage_date) for state in states if is_done(state, lookback_days, as_of_day)}
    yesterday = as_of_day - timedelta(days=1)
    kept = retention_days or {}
    names = {
        name: date.min if (back := kept.get(name)) is None else as_of_day - timedelta(days=back) for name in providers
    }
    first = min(max(start, as_of_day - timedelta(days=lookback_days + 1)), yesterday)
    first = min([first, *(day for day in touched if day >= start)])
    day = start
    while day < first:
        if any(day >= earliest and (name, day) not in done for name, earliest in names.items()):
            first = day
        day += timedelta(days=1)
    return Window.of_days(max(first, start), yesterday) if yesterday >= start else None


def ranges_of(days: Iterable[date]) -> list[Window]:
    """Return the days as ranges without holes, oldest first."""
    ranges: list[Window] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1].end == day:
            ranges[-1] = Window(ranges[-1].start, day + timedelta(days=1))
        else:
            ranges.append(Window(day, day + timedelta(days=1)))
    return ranges
