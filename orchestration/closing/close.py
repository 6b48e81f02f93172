"""`metering close`: which months may be closed, and the chain over one that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg import sql

from costs.chain import Item, links
from orchestration import price_changes
from orchestration.automation.due import is_done
from orchestration.build import build_lock
from orchestration.closing.relations import (
    RAW_TABLES,
    SESSION,
    CloseRefused,
    Relation,
    covered_relations,
    days_of_month,
    first_link,
    rows_now,
)
from orchestration.code_version import code_version
from orchestration.ledger import DayState

SHOWN_DAYS = 5
BATCH = 50_000


@dataclass(frozen=True)
class Closed:
    """A close: how many rows its chain covers, and the chain's last link."""

    month: str
    item_count: int
    root: str


def close_month(
    database_url: str,
    month: str,
    *,
    as_of: datetime,
    start_date: date,
    lookback_days: int,
    closed_by: str,
    accept_provisional: bool = False,
) -> Closed:
    """Close ``month``: from here on its marts are not replaced, and what changes about it is an adjustment of an open month.

    Args:
        closed_by: who is closing, as it will be shown.
        accept_provisional: take usage that only our own events know of as it is, though no provider's record has come for it.

    Raises:
        CloseRefused: the month is not over, not built, not final, or closed already; one line with the remedy.
    """
    first, last = days_of_month(month)
    first = max(first, start_date)
    if first > last:
        raise CloseRefused(f"{month} cannot be closed: METERING_START_DATE is {start_date}, no day of it is built")
    if as_of.date() <= last:
        raise CloseRefused(f"{month} is not over: it can be closed from {last + timedelta(days=lookback_days + 1)} on")
    # The build lock first: what waits for it holds nothing that a build or an ingest needs.
    with build_lock(database_url), psycopg.connect(database_url) as connection:
        connection.execute(SESSION.encode())
        _refuse_unready(connection, month, first, last, as_of.date(), lookback_days, accept_provisional)
        for table in RAW_TABLES:
            # The lock of an ingest's swap: one that has not committed yet will find the month closed.
            connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"raw.{table}",))
        if refusal := _unready_by_price(database_url, month, first, last):
            raise CloseRefused(refusal)
        return _close(connection, month, first, last, closed_by)


def _refuse_unready(
    connection: psycopg.Connection,
    month: str,
    first: date,
    last: date,
    today: date,
    lookback_days: int,
    accept_provisional: bool,
) -> None:
    found = connection.execute(
        "select closed_at, closed_by from ops.closed_months where month = %s", (month,)
    ).fetchone()
    if found is not None:
        raise CloseRefused(
            f"{month} was closed on {found[0].astimezone(UTC).date()} by {found[1]}: what changes since is in ops.cost_adjustments"
        )
    missing = _days(
        connection,
        "select day::date from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day"
        " where not exists (select 1 from ops.built_days where usage_date = day::date and completed_at is not null)",
        first,
        last,
    )
    if missing:
        raise _refused(month, missing, "not built", "")
    if last >= today - timedelta(days=lookback_days):
        raise CloseRefused(
            f"{month} is not final: providers may still change its last days until {last + timedelta(days=lookback_days)};"
            f" close it from {last + timedelta(days=lookback_days + 1)} on"
        )
    failed = connection.execute(
        "select status from ops.builds where window_end > %s and window_start <= %s order by started_at desc limit 1",
        (first, last),
    ).fetchone()
    if failed is not None and failed[0] != "ok":
        raise CloseRefused(
            f"{month} is half built: the last build of its days failed; run {_remedy(first, last, '--only build')}"
        )
    states = [
        DayState(*row)
        for row in connection.execute(
            "select provider, usage_date, ingested_at, built_at, built_as_of from ops.source_days"
            " where usage_date between %s and %s order by usage_date",
            (first, last),
        )
    ]
    undone = sorted({state.usage_date for state in states if not is_done(state, lookback_days)})
    if undone:
        raise _refused(month, undone, "not read and built since they became final", "")
    touched = _days(
        connection,
        "select distinct usage_date from ops.touched_days where usage_date between %(first)s and %(last)s order by 1",
        first,
        last,
    )
    if touched:
        raise _refused(month, touched, "not built since events came for them", "--only build")
    open_days = _days(
        connection,
        "select distinct date from marts.usage_summary where date between %(first)s and %(last)s"
        " and not is_final and provisional_unit_count = 0 order by 1",
        first,
        last,
    )
    if open_days:
        raise _refused(month, open_days, "not final: they were built before that", "--only build")
    provisional = _days(
        connection,
        "select distinct date from marts.usage_summary where date between %(first)s and %(last)s"
        " and not is_final and provisional_unit_count <> 0 order by 1",
        first,
        last,
    )
    if provisional and not accept_provisional:
        raise CloseRefused(
            f"{month} cannot be closed: {_listed(provisional)} hold usage whose provider's record has not come; rebuild them,"
            " or take it as it is with --accept-provisional"
        )


def _unready_by_price(database_url: str, month: str, first: date, last: date) -> str | None:
    try:
        affected = price_changes.affected_days(database_url, price_changes.seed_rows())
    except price_changes.PriceBookUnreadable as error:
        return f"{month} cannot be closed: {error}"
    days = [day for day in affected if first <= day <= last]
    return (
        str(_refused(month, days, "not built with the prices of today's price book", "--only build")) if days else None
    )


def _days(connection: psycopg.Connection, query: str, first: date, last: date) -> list[date]:
    return [day for (day,) in connection.execute(query.encode(), {"first": first, "last": last})]


def _refused(month: str, days: Sequence[date], why: str, option: str) -> CloseRefused:
    are = "is" if len(days) == 1 else "are"
    return CloseRefused(
        f"{month} cannot be closed: {_listed(days)} {are} {why}; run {_remedy(days[0], days[-1], option)}"
    )


def _listed(days: Sequence[date]) -> str:
    shown = ", ".join(day.isoformat() for day in days[:SHOWN_DAYS])
    return shown + (f" and {len(days) - SHOWN_DAYS} more days" if len(days) > SHOWN_DAYS else "")


def _remedy(first: date, last: date, option: str) -> str:
    return f"`metering rebuild --from {first} --to {last}{' ' + option if option else ''}`"


def _close(connection: psycopg.Connection, month: str, first: date, last: date, closed_by: str) -> Closed:
    previous = connection.execute("select root from ops.closed_months order by closed_at desc limit 1").fetchone()
    previous_root = bytes(previous[0]) if previous else b""
    found = connection.execute("select clock_timestamp()").fetchone()
    assert found is not None
    closed_at: datetime = found[0]
    relations = covered_relations(connection)
    head = first_link(previous_root, month, first, last, closed_at, closed_by, code_version(), relations)
    # Referenced by all that follows; the chain's end is known only then.
    connection.execute(
        "insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root)"
        " values (%s, %s, %s, %s, %s, %s, %s, 0, '')",
        (month, first, last, closed_at, closed_by, code_version(), previous_root),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.closed_relations (month, relation, kind, key_columns, columns, period_column) values (%s, %s, %s, %s, %s, %s)",
            [(month, r.name, r.kind, list(r.key_columns), list(r.columns), r.period_column) for r in relations],
        )
    count, root = 0, head
    # Rows come by a cursor of the server; links are written between its fetches, on the same transaction.
    batch: list[tuple[int, Item, bytes]] = []
    for item, link in links(head, _items(connection, relations, month, first, last)):
        count, root = count + 1, link
        batch.append((count, item, link))
        if len(batch) >= BATCH:
            _keep(connection, month, batch)
            batch.clear()
    _keep(connection, month, batch)
    connection.execute("update ops.closed_months set item_count = %s, root = %s where month = %s", (count, root, month))
    return Closed(month, count, root.hex())


def _keep(connection: psycopg.Connection, month: str, batch: Sequence[tuple[int, Item, bytes]]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("copy ops.close_items (month, position, relation, key, digest, link) from stdin") as copy,
    ):
        for position, item, link in batch:
            copy.write_row((month, position, item.relation, item.key, item.digest, link))


def _items(
    connection: psycopg.Connection, relations: Sequence[Relation], month: str, first: date, last: date
) -> Iterator[Item]:
    for relation in relations:
        query = sql.SQL('select key::text, digest from ({current}) as found order by key::text collate "C"').format(
            current=rows_now(connection, relation, relation.columns, month, first, last)
        )
        with connection.cursor(name="closing") as cursor:
            cursor.itersize = BATCH
            for key, digest in cursor.execute(query):
                yield Item(relation.name, key, bytes(digest))
