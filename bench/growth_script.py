"""One side of `bench.growth`, run with the sources of either commit: twelve months of messages, a tenth of them tracked.

It prints as one JSON object the CPU seconds of this process and of PostgreSQL together for a build of everything, of the last 30 days
and of the last day; the most MB that the first of them held; and the bytes of the database: of its schemas once all is built, and of
those that builds write after the last day was built once more and after 50 times more.
"""

from __future__ import annotations

import argparse
import json
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources lack the next ones

from bench.building import AS_OF, DIRECTORY, EVENTS, LAST, MESSAGES, TENANTS, build  # noqa: E402
from bench.memory import held  # noqa: E402
from bench.stage import stage  # noqa: E402
from sandbox import Dataset  # noqa: E402

DAYS = 365
PERCENT_TRACKED = 10
TABLE = "raw.twilio_messages"
# What is filled without its indexes, which are made afterwards, is there in a tenth of the time.
CONSTRAINTS = "select conname, pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass and contype in ('p', 'u')"
INDEXES = "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index where indrelid = %s::regclass"
SIZES = """
select nspname, sum(pg_total_relation_size(c.oid))::bigint
from pg_class as c inner join pg_namespace on pg_namespace.oid = relnamespace
where relkind in ('r', 'm') and nspname in ('raw', 'staging', 'intermediate', 'marts', 'ops')
group by 1
"""


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, required=True, help="of each day")
    parser.add_argument("--again", type=int, default=50, help="builds of the last day")
    options = parser.parse_args()
    first = LAST - timedelta(days=DAYS - 1)
    result: dict[str, Any] = {}
    with (
        stage(Dataset(), start=first, as_of=AS_OF) as system,
        psycopg.connect(system.url, autocommit=True) as connection,
    ):
        fill(connection, first, options.messages)

        def built(begin: date) -> float:
            return build(system, begin, LAST)[0]

        whole: list[float] = []
        result["memory"] = held(lambda: whole.append(built(first)), system.folder / "pg")
        result["year"] = whole[0]
        result["sizes"] = sizes(connection)
        result["day"] = median(built(LAST) for _ in range(3))
        result["month"] = built(LAST - timedelta(days=29))
        built(LAST)
        result["once"] = written(connection)
        for _ in range(options.again):
            built(LAST)
        result["again"] = written(connection)
    print(json.dumps(result))


def fill(connection: psycopg.Connection, first: date, messages: int) -> None:
    """Have `raw` hold ``messages`` of each day since ``first``, and an event for each tenth of them."""
    connection.execute(DIRECTORY.format(tenants=TENANTS).encode())
    constraints = connection.execute(CONSTRAINTS.encode(), (TABLE,)).fetchall()
    for name, _ in constraints:
        connection.execute(f"alter table {TABLE} drop constraint {name}".encode())
    indexes = connection.execute(INDEXES.encode(), (TABLE,)).fetchall()
    for name, _ in indexes:
        connection.execute(f"drop index {name}".encode())
    connection.execute(MESSAGES.format(first=first, last=LAST, tenants=TENANTS, messages=messages).encode())
    for name, definition in constraints:
        connection.execute(f"alter table {TABLE} add constraint {name} {definition}".encode())
    for _, definition in indexes:
        connection.execute(definition.encode())
    for number in range(DAYS):
        day = first + timedelta(days=number)
        connection.execute(EVENTS.format(day=day, percent=PERCENT_TRACKED).encode())
    connection.execute("vacuum analyze")


def sizes(connection: psycopg.Connection) -> dict[str, int]:
    """Return the bytes of each schema with its indexes."""
    connection.execute("checkpoint")
    return dict(connection.execute(SIZES.encode()).fetchall())


def written(connection: psycopg.Connection) -> int:
    """Return the bytes of what builds write."""
    return sum(size for schema, size in sizes(connection).items() if schema in ("intermediate", "marts"))


if __name__ == "__main__":
    main()
