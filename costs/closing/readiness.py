"""Whether a month may be closed: what keeps it from it, one line with the remedy each. Only questions; nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta

import psycopg

from builds.code_version import code_version
from builds.due import is_done
from builds.ledger import DayState
from costs import price_changes
from costs.closing.relations import CloseRefused

SHOWN_DAYS = 5


@dataclass(frozen=True)
class Question:
    """Which month, and what is asked of it.

    Attributes:
        first: the first of its days that are built at all; ``last``: its last day, included.
        today: the as-of day.
        configured: providers that are set up now; those that were ever read are asked about as well.
        without: providers that are not asked about.
        accept_provisional: accept pending usage, which only our own events have.
    """

    month: str
    first: date
    last: date
    today: date
    lookback_days: int
    configured: Collection[str] = ()
    without: Collection[str] = ()
    accept_provisional: bool = False


# A day's own last build, whatever came after it for others: the marts of a day are what that one made of it.
LAST_BUILDS = """
select day::date, last_build.status, days.completed_at is not null, days.code_version = %(code)s and days.price_version is not null
from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day
left join ops.built_days as days on days.usage_date = day::date
left join lateral (
    select builds.status
    from ops.builds
    where builds.window_start <= day::date and builds.window_end > day::date
    order by builds.started_at desc
    limit 1
) as last_build on true
order by 1
"""

# Every provider that was ever read; of one that is set up and was not, every day is missing.
UNREAD = """
select providers.provider, array_agg(day::date order by day)
from (select distinct provider from ops.source_days union select unnest(%(configured)s::text[])) as providers (provider)
cross join generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day
where
    providers.provider <> all(%(without)s::text[])
    and not exists (
        select 1 from ops.source_days as days where days.provider = providers.provider and days.usage_date = day::date
    )
group by providers.provider
order by providers.provider
"""


def refuse_unready(connection: psycopg.Connection, question: Question) -> None:
    """Say what keeps the month from being closed, the first thing of it.

    Raises:
        CloseRefused: one line with the remedy.
    """
    month, first, last = question.month, question.first, question.last
    closed = connection.execute(
        "select closed_at, closed_by from ops.closed_months where month = %s", (month,)
    ).fetchone()
    if closed is not None:
        raise CloseRefused(
            f"{month} was closed on {closed[0].astimezone(UTC).date()} by {closed[1]}: what changes since is in ops.cost_adjustments"
        )
    builds = connection.execute(LAST_BUILDS, {"code": code_version(), "first": first, "last": last}).fetchall()
    if missing := [day for day, status, is_complete, _ in builds if status is None or not is_complete]:
        raise refused(month, missing, "not built", "")
    lookback = timedelta(days=question.lookback_days)
    if last >= question.today - lookback:
        raise CloseRefused(
            f"{month} is not final: providers may still change its last days until {last + lookback};"
            f" close it from {last + lookback + timedelta(days=1)} on"
        )
    if failed := [day for day, status, _, _ in builds if status != "ok"]:
        raise refused(month, failed, "half built: the last build of its days failed", "--only build")
    _refuse_unread(connection, question)
    touched = _days(
        connection,
        "select distinct usage_date from ops.touched_days where usage_date between %(first)s and %(last)s order by 1",
        question,
    )
    if touched:
        raise refused(month, touched, "not built since events, or records of theirs, came for them", "--only build")
    if older := [day for day, _, _, is_of_today in builds if not is_of_today]:
        raise refused(month, older, "built by another version of the code than today's", "--only build")
    _refuse_open(connection, question)


def _refuse_unread(connection: psycopg.Connection, question: Question) -> None:
    month = question.month
    unread = connection.execute(
        UNREAD,
        {
            "configured": sorted(question.configured),
            "without": sorted(question.without),
            "first": question.first,
            "last": question.last,
        },
    ).fetchone()
    if unread is not None:
        provider, days = unread
        raise CloseRefused(
            f"{month} cannot be closed: {provider} was never read for {_listed(days)}; run {_remedy(days[0], days[-1], '')}"
            f", or close it with `--without {provider}`"
        )
    states = [
        DayState(*row)
        for row in connection.execute(
            "select provider, usage_date, ingested_at, built_at, built_as_of from ops.source_days"
            " where usage_date between %s and %s order by usage_date",
            (question.first, question.last),
        )
    ]
    undone = {
        state.usage_date
        for state in states
        if state.provider not in question.without and not is_done(state, question.lookback_days, question.today)
    }
    if undone:
        raise refused(month, sorted(undone), "not read and built since they became final", "")


# A cell of a closed day is not final for a line that only our own events tell of, be it of 0 units, or for having been built too early.
NOT_FINAL = """
select
    summary.date,
    bool_or(
        summary.provisional_unit_count <> 0
        or exists (
            select from marts.usage_daily as daily
            where
                daily.tenant_id = summary.tenant_id
                and daily.date = summary.date
                and daily.channel = summary.channel
                and daily.evidence = 'tracked'
        )
    )
from marts.usage_summary as summary
where summary.date between %(first)s and %(last)s and not summary.is_final
group by summary.date
order by summary.date
"""


def _refuse_open(connection: psycopg.Connection, question: Question) -> None:
    month = question.month
    not_final = connection.execute(NOT_FINAL, {"first": question.first, "last": question.last}).fetchall()
    if open_days := [day for day, is_provisional in not_final if not is_provisional]:
        raise refused(month, open_days, "not final: they were built before that", "--only build")
    if not_final and not question.accept_provisional:
        raise CloseRefused(
            f"{month} cannot be closed: {_listed([day for day, _ in not_final])} hold pending usage without a provider's record;"
            " rebuild them, or accept it with --accept-provisional"
        )


def refuse_other_prices(database_url: str, question: Question) -> None:
    """Refuse days on which something was used whose price is another one in today's price book.

    Raises:
        CloseRefused: one line with the remedy.
    """
    month = question.month
    try:
        affected = price_changes.affected_days(database_url, price_changes.seed_rows())
    except price_changes.PriceBookUnreadable as error:
        raise CloseRefused(f"{month} cannot be closed: {error}") from error
    if days := [day for day in affected if question.first <= day <= question.last]:
        raise refused(month, days, "not built with the prices of today's price book", "--only build")


def refused(month: str, days: Sequence[date], why: str, option: str) -> CloseRefused:
    """Return the refusal of ``days``, which are ``why``; ``option`` is the rebuild's."""
    are = "is" if len(days) == 1 else "are"
    return CloseRefused(
        f"{month} cannot be closed: {_listed(days)} {are} {why}; run {_remedy(days[0], days[-1], option)}"
    )


def _days(connection: psycopg.Connection, query: str, question: Question) -> list[date]:
    return [day for (day,) in connection.execute(query.encode(), {"first": question.first, "last": question.last})]


def _listed(days: Sequence[date]) -> str:
    shown = ", ".join(day.isoformat() for day in days[:SHOWN_DAYS])
    return shown + (f" and {len(days) - SHOWN_DAYS} more days" if len(days) > SHOWN_DAYS else "")


def _remedy(first: date, last: date, option: str) -> str:
    return f"`metering rebuild --from {first} --to {last}{' ' + option if option else ''}`"
