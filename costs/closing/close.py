"""`metering close`: a month that is ready and proven gets its chain, and stays as it is from then on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql

from builds.build_lock import build_lock
from builds.code_version import code_version
from costs.closing.proof import prove_month, refuse_unproven
from costs.closing.readiness import Question, refuse_other_prices, refuse_unready
from costs.closing.relations import (
    RAW_TABLES,
    SESSION,
    CloseRefused,
    Relation,
    covered_relations,
    days_of_month,
    first_link,
    rows_now,
)
from costs.rules.chain import Item, links
from ingestion.directory.store import LOAD_LOCK
from ingestion.load.swap import TABLE_KEY

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
    configured: Collection[str] = (),
    without: Collection[str] = (),
) -> Closed:
    """Close ``month``: from here on its marts are not replaced, and what changes about it is an adjustment of an open month.

    Before, its days are built from raw once more, in a scratch, unless they have been proven since they were built.

    Args:
        closed_by: who is closing, as it will be shown.
        accept_provisional: accept pending usage, for which no provider's record has come.
        configured: providers that are set up; every day must have been read from each of them, and from all that ever were.
        without: providers of which that is not asked; the close says so.

    Raises:
        CloseRefused: the month is not over, not read, not built, not final, not what raw gives, or closed already; one line
            with the remedy.
        ScratchFailed: it cannot be proven, for the scratch cannot be built.
    """
    first, last = days_of_month(month)
    first = max(first, start_date)
    if first > last:
        raise CloseRefused(f"{month} cannot be closed: METERING_START_DATE is {start_date}, no day of it is built")
    if as_of.date() <= last:
        raise CloseRefused(f"{month} is not over: it can be closed from {last + timedelta(days=lookback_days + 1)} on")
    question = Question(
        month, first, last, as_of.date(), lookback_days, frozenset(configured), frozenset(without), accept_provisional
    )
    # What is not ready need not be proven. Nothing is locked meanwhile, so all of it is asked again afterwards.
    with build_lock(database_url), psycopg.connect(database_url) as connection:
        refuse_unready(connection, question)
    refuse_other_prices(database_url, question)
    prove_month(database_url, question, as_of=as_of)
    # The build lock first: what waits for it holds nothing that a build or an ingest needs. The prices have a connection of
    # their own, so they are asked before there is anything that it could wait for.
    with build_lock(database_url), psycopg.connect(database_url) as connection:
        connection.execute(SESSION.encode())
        refuse_other_prices(database_url, question)
        for table in RAW_TABLES:
            # The lock of an ingest's swap: one that has not committed yet will find the month closed.
            connection.execute(f"select pg_advisory_xact_lock({TABLE_KEY})".encode(), (table,))
        connection.execute("select pg_advisory_xact_lock(%s)", (LOAD_LOCK,))
        refuse_unready(connection, question)
        refuse_unproven(connection, question)
        return _close(connection, question, closed_by)


def _close(connection: psycopg.Connection, question: Question, closed_by: str) -> Closed:
    month, first, last, without = question.month, question.first, question.last, sorted(question.without)
    previous = connection.execute("select root from ops.closed_months order by closed_at desc limit 1").fetchone()
    previous_root = bytes(previous[0]) if previous else b""
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    closed_at: datetime = row[0]
    relations = covered_relations(connection)
    head = first_link(previous_root, month, first, last, closed_at, closed_by, code_version(), relations, without)
    # Referenced by all that follows; the chain's end is known only then.
    connection.execute(
        "insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, without_providers,"
        " item_count, root) values (%s, %s, %s, %s, %s, %s, %s, %s, 0, '')",
        (month, first, last, closed_at, closed_by, code_version(), previous_root, without),
    )
    # What charges of the month are named by from here on, whatever the directory calls a tenant later.
    connection.execute(
        "insert into ops.closed_names (month, tenant_id, valid_from, valid_to, name)"
        " select %s, tenant_id, coalesce(valid_from, '-infinity'), coalesce(valid_to, 'infinity'), name from raw.tenants",
        (month,),
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
