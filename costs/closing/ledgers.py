"""What is written down beside a closed month, and whether it still says what was written: the ledgers' own chains, and the
loads that changed records are ascribed to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from costs.rules.chain import Item, broken
from ingestion.directory.store import PROVIDER as DIRECTORY
from ingestion.run import PROVIDERS

PROVIDER_OF = {f"raw.{table}": name for name, spec in PROVIDERS.items() for table in spec.tables}


# A load is known where the bookkeeping has it for that provider. Of records, for that day as well: of one that left its day,
# for the day on which it stands now.
LOADS = """
select
    changes.relation,
    changes.load_id,
    count(distinct changes.key),
    count(distinct changes.key) filter (
        where not exists (
            select 1
            from ops.ingest_runs as runs
            where
                runs.load_id = changes.load_id
                and runs.provider = (%(providers)s::jsonb ->> changes.relation)
                and runs.status <> 'skipped'
                and (
                    changes.key ->> 'usage_date' is null
                    or ((changes.key ->> 'usage_date')::date >= runs.window_start and (changes.key ->> 'usage_date')::date < runs.window_end)
                    or (changes.moved_to >= runs.window_start and changes.moved_to < runs.window_end)
                )
        )
    )
from ops.closed_record_changes as changes
where changes.month = %(month)s
group by changes.relation, changes.load_id
order by min(changes.id)
"""


def check_loads(
    connection: psycopg.Connection, month: str, kinds: Mapping[str, str], findings: list[str], changes: list[str]
) -> None:
    """Add to ``changes`` which loads changed records and the directory of the month; to ``findings`` those that never were.

    Args:
        kinds: of the relations that the close covers.
    """
    providers = {name: DIRECTORY if kind == "directory" else PROVIDER_OF.get(name, "") for name, kind in kinds.items()}
    rows = connection.execute(LOADS, {"month": month, "providers": Jsonb(providers)})
    for relation, load_id, count, unknown in rows:
        thing = "row" if kinds.get(relation) == "directory" else "record"
        if unknown:
            findings.append(
                f"{relation}: {counted(unknown, thing)} changed by ingest {load_id}, which ops.ingest_runs does not have"
                f" for {'its' if unknown == 1 else 'their'} provider and day"
            )
        if count > unknown:
            changes.append(f"{relation}: {counted(count - unknown, thing)} changed by ingest {load_id}")


def counted(count: int, thing: str) -> str:
    """Return ``1 record``, ``2 records``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


# Rows that are not what was written, and rows that nobody wrote by the way that all take.
ROWS = """
with links as (select key, digest from ops.ledger_links where ledger = {ledger}),
rows as (
    select t.id::text as id, to_jsonb(t) as entry, ops.ledger_digest(to_jsonb(t)) as digest from {table} as t
)
select coalesce(links.key, jsonb_build_object('id', rows.entry -> 'id'))::text, links.key is null, rows.id is null
from links
full join rows on links.key ->> 'id' = rows.id
where links.digest is distinct from rows.digest
order by coalesce((links.key ->> 'id')::bigint, rows.id::bigint)
"""


def check_ledgers(connection: psycopg.Connection, findings: list[str]) -> None:
    """Hold every ledger against its chain: of whatever month a row is, for a row that is gone may have been of this one.

    Args:
        findings: what was found is added, unless it is there already.
    """
    for ledger, row_count, link in connection.execute(
        "select ledger, row_count, link from ops.ledger_ends order by ledger"
    ).fetchall():
        table = sql.Identifier(*ledger.split("."))
        findings_of = _broken_links(connection, ledger, row_count, bytes(link))
        if connection.execute("select to_regclass(%s)", (ledger,)).fetchone() == (None,):
            findings_of.append(f"{ledger}: the table is gone")
        else:
            for key, is_new, is_gone in connection.execute(
                sql.SQL(ROWS).format(ledger=sql.Literal(ledger), table=table)
            ):
                what = (
                    "has no entry in ops.ledger_links: it was inserted by other means"
                    if is_new
                    else "gone"
                    if is_gone
                    else "changed"
                )
                findings_of.append(f"{ledger} {key}: {what}{'' if is_new else ' since it was written'}")
        findings.extend(line for line in findings_of if line not in findings)


def _broken_links(connection: psycopg.Connection, ledger: str, row_count: int, end: bytes) -> list[str]:
    first = connection.execute("select sha256(convert_to(%s, 'UTF8'))", (ledger,)).fetchone()
    assert first is not None
    last, count = bytes(first[0]), 0

    def kept() -> Iterator[tuple[Item, bytes]]:
        nonlocal last, count
        with connection.cursor(name="ledger") as cursor:
            cursor.itersize = 50_000
            for key, digest, link in cursor.execute(
                "select key::text, digest, link from ops.ledger_links where ledger = %s order by position", (ledger,)
            ):
                count, last = count + 1, bytes(link)
                yield Item(ledger, key, bytes(digest)), last

    problems = [
        f"{item.relation} {item.key}: its entry in ops.ledger_links does not follow from the one before"
        for item in broken(bytes(first[0]), kept())
    ]
    if (count, last) != (row_count, end):
        problems.append(
            f"{ledger}: its chain in ops.ledger_links ({count} entries) does not end as ops.ledger_ends has it ({row_count} entries)"
        )
    return problems
