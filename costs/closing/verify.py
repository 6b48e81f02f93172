"""`metering close verify`: the chain against itself, every row against the chain, and what each difference means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

import psycopg
from psycopg import sql

from builds.code_version import code_version
from costs import price_changes
from costs.closing.ledgers import check_ledgers, check_loads, counted
from costs.closing.relations import (
    SESSION,
    CloseRefused,
    Relation,
    columns_of,
    days_of_month,
    first_link,
    rows_now,
)
from costs.rules.chain import Item, broken
from costs.rules.price_versions import PriceRow, altered_prices, version_of
from ingestion.archived import archived_months, refuse_archived


@dataclass
class Verification:
    """What a verification found.

    Attributes:
        findings: what was changed by nobody who may, each line naming the row; empty: the month is as it was closed.
        changes: what recorded runs changed since (an ingest, a price book, a late event): it is in the adjustments.
    """

    month: str
    item_count: int
    root: str
    closed_at: datetime
    findings: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def verify_month(database_url: str, month: str, *, expected_root: str | None = None) -> Verification:
    """Hold a closed month against its chain: the chain against itself, every row against the chain.

    Args:
        expected_root: the root that `close_month` gave, kept elsewhere.

    Raises:
        CloseRefused: the month is not closed.
        MonthArchived: its records are in files.
    """
    days_of_month(month)
    with psycopg.connect(database_url) as connection:
        connection.execute(SESSION.encode())
        connection.execute("set transaction isolation level repeatable read, read only")
        row = connection.execute(
            "select first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root, without_providers"
            " from ops.closed_months where month = %s",
            (month,),
        ).fetchone()
        if row is None:
            raise CloseRefused(f"{month} is not closed: close it with `metering close {month}`")
        first, last, closed_at, closed_by, code, previous_root, item_count, root, without = row
        refuse_archived(archived_months(connection), [first])
        result = Verification(month, item_count, bytes(root).hex(), closed_at)
        relations = [
            Relation(name, kind, tuple(keys), tuple(columns), period)
            for name, kind, keys, columns, period in connection.execute(
                "select relation, kind, key_columns, columns, period_column from ops.closed_relations where month = %s",
                (month,),
            )
        ]
        _check_chain(
            connection,
            result,
            first_link(bytes(previous_root), month, first, last, closed_at, closed_by, code, relations, without),
            expected_root,
            bytes(previous_root),
        )
        for relation in relations:
            _check_rows(connection, result, relation, first, last)
        check_loads(connection, month, {r.name: r.kind for r in relations}, result.findings, result.changes)
        check_ledgers(connection, result.findings)
        _check_price_book(connection, result, first, last)
        if code != code_version():
            result.changes.append(f"closed with code version {code}, this is {code_version()}")
    return result


def _check_chain(
    connection: psycopg.Connection, result: Verification, head: bytes, expected_root: str | None, previous_root: bytes
) -> None:
    """The chain against itself: a row of ops.close_items that was changed breaks its link."""
    last = [head, b""]
    count = 0

    def kept() -> Iterator[tuple[Item, bytes]]:
        nonlocal count
        with connection.cursor(name="chain") as cursor:
            cursor.itersize = 50_000
            for relation, key, digest, link in cursor.execute(
                "select relation, key::text, digest, link from ops.close_items where month = %s order by position",
                (result.month,),
            ):
                count += 1
                last[0] = bytes(link)
                yield Item(relation, key, bytes(digest)), bytes(link)

    for item in broken(head, kept()):
        result.findings.append(
            f"{item.relation} {item.key}: its entry in ops.close_items does not follow from the one before"
        )
    if count != result.item_count:
        result.findings.append(
            f"ops.close_items has {count} entries of {result.month}, it was closed with {result.item_count}"
        )
    if last[0].hex() != result.root:
        result.findings.append(f"ops.closed_months {result.month}: its root is not the chain's last link")
    if expected_root is not None and expected_root.lower() != result.root:
        result.findings.append(f"the root is {result.root}, not {expected_root}: the chain was replaced")
    if previous_root:
        row = connection.execute("select 1 from ops.closed_months where root = %s", (previous_root,)).fetchone()
        if row is None:
            result.findings.append(
                f"ops.closed_months {result.month}: the month closed before it no longer has the root {previous_root.hex()}"
            )


# What the close says of each row, or the ingest that changed it last; against what there is. Only differences come back.
DIFFERENCES = """
with closed as (
    select key, digest from ops.close_items where month = {month} and relation = {relation}
),
changes as (
    select distinct on (key) key, digest from ops.closed_record_changes
    where month = {month} and relation = {relation}
    order by key, id desc
),
expected as (
    select coalesce(changes.key, closed.key) as key, case when changes.key is null then closed.digest else changes.digest end as digest
    from closed
    full join changes on closed.key = changes.key
),
current as ({current})
select coalesce(expected.key, current.key)::text, expected.digest is null, current.digest is null
from (select * from expected where digest is not null) as expected
full join current on expected.key = current.key
where expected.digest is distinct from current.digest
order by 1
"""


# What is a view by now and was a table when older months were closed. Any other mart that somebody has made a view of is held against its rows.
BECAME_VIEWS = ("marts.focus_cost_and_usage",)


def _check_rows(
    connection: psycopg.Connection, result: Verification, relation: Relation, first: date, last: date
) -> None:
    there = {*columns_of(connection, *relation.name.split("."))}
    if not there:
        result.findings.append(f"{relation.name}: the table, which the close covers, is gone")
        return
    if lost := [name for name in relation.columns if name not in there]:
        result.findings.append(f"{relation.name}: column {', '.join(lost)}, which the close covers, is gone")
        return
    query = sql.SQL(DIFFERENCES).format(
        month=sql.Literal(result.month),
        relation=sql.Literal(relation.name),
        current=rows_now(connection, relation, relation.columns, result.month, first, last),
    )
    differences = connection.execute(query).fetchall()
    if differences and relation.name in BECAME_VIEWS:
        # It says what they say: who has changed those is asked there.
        count = counted(len(differences), "row")
        result.changes.append(
            f"{relation.name}: {count} differ{'s' if len(differences) == 1 else ''} since it became a view of tables that the close covers"
        )
        return
    added = 0
    for key, is_new, is_gone in differences:
        if is_new and relation.kind == "event":
            added += 1
        elif is_gone:
            result.findings.append(f"{relation.name} {key}: gone since the close")
        elif is_new:
            result.findings.append(f"{relation.name} {key}: not there when the month was closed")
        else:
            result.findings.append(f"{relation.name} {key}: changed since the close")
    if added:
        result.changes.append(f"{relation.name}: {counted(added, 'event')} came after the close")


STAGED_PRICES = """
select
    ops.price_row_text(
        service, operation, model, plan, component, unit_price_usd, per, effective_from, effective_to, source,
        -- A seed that was made before tiers were known has no such column.
        to_jsonb(price_book) ->> 'tier'
    )
from staging.price_book
"""


# A book that is only kept was never more than proposed: somebody may have put it there.
USED_BY_A_BUILD = """
select 1
from ops.built_days as days
inner join ops.builds as builds on builds.build_id = days.build_id
where days.price_version = %(version)s
limit 1
"""


def _check_price_book(connection: psycopg.Connection, result: Verification, first: date, last: date) -> None:
    """Today's prices of the month's days against the close's: another is a change where a build has used it, else a finding."""
    newest = connection.execute(
        "select version from ops.price_books where version in"
        " (select key ->> 'version' from ops.close_items where month = %s and relation = 'ops.price_book_rows')"
        " order by first_used_at desc limit 1",
        (result.month,),
    ).fetchone()
    if newest is None:
        return
    if not columns_of(connection, "staging", "price_book"):
        result.findings.append("staging.price_book: the table is gone; the next build makes it again")
        return
    closed = price_changes.kept_rows(connection, newest[0])
    staged = [PriceRow(*json.loads(text)) for (text,) in connection.execute(STAGED_PRICES.encode())]
    try:
        seed = price_changes.seed_rows()
    except price_changes.PriceBookUnreadable as error:
        result.findings.append(str(error))
        seed = staged
    books = [("staging.price_book", staged)]
    if version_of(seed) != version_of(staged):
        books.append((price_changes.seed_file().name, seed))
    for name, rows in books:
        is_used = connection.execute(USED_BY_A_BUILD, {"version": version_of(rows)}).fetchone() is not None
        for line in altered_prices(closed, rows, first, last):
            if is_used:
                result.changes.append(f"{name}: {line}")
            else:
                result.findings.append(f"{name}: {line}, and no build has used it")
