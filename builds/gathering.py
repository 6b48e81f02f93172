"""On Citus, before a build: the rows of events that ask other rows, brought from the workers into tables of the coordinator.

Workers settle what one part of the tables can answer (`raw.settle_on_workers` in warehouse/distribution.sql): messages, and what is tracked
alone. A call, a recording or a payment asks other records; over tables on workers each look-up would bring the whole history. So what the
days' settlement may ask about these is gathered first, by joins that the workers make by themselves or by keys that are sent to them,
and the models read it as they read `raw` elsewhere (macro `event_rows`). More than is asked for changes nothing. What turned out to be
nobody's, messages too, stays while `raw` has it, for `marts.unattributed_usage`; the rest goes when the next build begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import psycopg
from psycopg import sql

from ingestion.windows import Window
from warehouse.distribution import KEYS as SPREAD
from warehouse.distribution import find_gaps
from warehouse.errors import WarehouseUnavailable

ROLE = "metering_transformer"
SCHEMA = "gathered"
EVENTS = "usage_events"
RECORDS = {name.removeprefix("raw."): key for name, key in SPREAD.items() if name != f"raw.{EVENTS}"}
"""Tables of providers' records, each with its column of keys."""
ASKING = {table: key for table, key in RECORDS.items() if table != "twilio_messages"}
"""Those whose records ask others."""
# Of each table what no two rows have both. An account's lists of transactions may share one.
ROW_KEYS: dict[str, tuple[str, ...]] = {
    EVENTS: ("event_key",),
    **{table: (key,) for table, key in RECORDS.items()},
    "stripe_balance_transactions": ("account_id", "id"),
}

MOST_GENERATIONS = 10
# Each is of the columns of its table in raw. What is sent to the workers are the keys of a few: a number's days, a charge's refunds.
OF_DAYS = "select t.* from raw.{table} as t where t.usage_date >= %(start)s and t.usage_date < %(end)s"
ABOUT_THE_SAME = """
select t.* from raw.{table} as t
where t.{key} in (
    select o.{other_key} from raw.{other} as o where o.usage_date >= %(start)s and o.usage_date < %(end)s
)
"""
# Those of the days have come by then.
OF_OTHER_DAYS = ABOUT_THE_SAME + " and (t.usage_date < %(start)s or t.usage_date >= %(end)s)"
OF_NUMBERS = """
select t.* from raw.usage_events as t
where t.record_key in (
    select concat_ws(':', 'phone', numbers.phone_number_hash, day::date)
    from raw.twilio_phone_numbers as numbers
    cross join generate_series(%(start)s::timestamp, %(end)s::timestamp - interval '1 day', interval '1 day') as day
)
"""
PARENTS = """
select t.* from raw.twilio_calls as t
where t.sid in (
    select parent_call_sid from {schema}.twilio_calls
    union
    select call_sid from {schema}.twilio_recordings
    except
    select sid from {schema}.twilio_calls
)
"""
OF_CHARGES = """
select t.* from raw.stripe_balance_transactions as t
where t.{column} in (select {column} from {schema}.stripe_balance_transactions)
"""
ABOUT_OTHERS = """
select t.* from raw.usage_events as t
where t.record_key in (
    select {other_key} from {schema}.{other} where usage_date < %(start)s or usage_date >= %(end)s
)
"""
OF_SOMEBODY = """
with of_nobody as materialized (
    select unnest(coalesce(settled.record_keys, array[settled.record_key])) as record_key
    from intermediate.int_settled_records as settled
    where settled.tenant_id = 'unattributed'
        and settled.usage_date in (select usage_date from {schema}.{table} where not is_kept)
)
delete from {schema}.{table} as t
where not t.is_kept and not exists (
    select from of_nobody where of_nobody.record_key = t.{key}
){but}
"""
# What was nobody's of these days may be somebody's by this build.
AGAIN = """
update {schema}.{table} set is_kept = false
where is_kept and {key} in (
    select {key} from {schema}.{table} where usage_date >= %(start)s and usage_date < %(end)s
)
"""
# A record that its provider has taken back, or moved to another day.
GONE = """
with there as materialized (
    select {keys}, usage_date from raw.{table} where {key} in (select {key} from {schema}.{table} where is_kept)
)
delete from {schema}.{table} as t
where t.is_kept and ({keys}, usage_date) not in (select {keys}, usage_date from there)
"""
NEW_COLUMNS = """
select columns.attname, format_type(columns.atttypid, columns.atttypmod)
from pg_attribute as columns
where columns.attrelid = %s::regclass and columns.attnum > 0 and not columns.attisdropped and not exists (
    select from pg_attribute as made where made.attrelid = %s::regclass and made.attname = columns.attname
)
"""
BUT_CALLS = " and not exists (select from {schema}.twilio_recordings as of_call where of_call.call_sid = t.sid)"


def gather(connection: psycopg.Connection, window: Window, schema: str = SCHEMA) -> None:
    """Fill ``schema``, made where it is missing, with what the settlement of the window's days may ask of records and events.

    Raises:
        WarehouseUnavailable: the database has no Citus, or keeps these rows to itself.
    """
    gaps = find_gaps(connection)
    if gaps:
        raise WarehouseUnavailable(f"{gaps}: run `create extension citus` and `metering migrate`")
    days = {"start": window.start, "end": window.end}
    with connection.transaction():
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLE)))
        _make(connection, schema)
        if schema == SCHEMA:
            _let_go(connection)
            for table, key in ((EVENTS, "record_key"), ("twilio_messages", "sid")):
                names = {
                    name: sql.Identifier(value) for name, value in (("schema", schema), ("table", table), ("key", key))
                }
                connection.execute(sql.SQL(AGAIN).format(**names), days)
        add = _Adding(connection, schema, days)
        add(EVENTS, ABOUT_THE_SAME, key="record_key", other=EVENTS, other_key="record_key")
        for table, key in ASKING.items():
            add(table, OF_DAYS)
            add(table, OF_OTHER_DAYS, key=key, other=EVENTS, other_key="record_key")
            add(EVENTS, OF_OTHER_DAYS, key="record_key", other=table, other_key=key)
        add(EVENTS, OF_NUMBERS)
        for _ in range(MOST_GENERATIONS):
            if not add("twilio_calls", PARENTS):
                break
        for column in ("id", "charge_id", "source_id"):
            add("stripe_balance_transactions", OF_CHARGES, column=column)
        for table in ("twilio_calls", "stripe_balance_transactions"):
            add(EVENTS, ABOUT_OTHERS, other=table, other_key=RECORDS[table])
        for table in ROW_KEYS:
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(schema, table)))


class _Adding:
    """Puts the rows of a query into a table, in place of those of the same keys."""

    def __init__(self, connection: psycopg.Connection, schema: str, days: Mapping[str, date]) -> None:
        self._connection, self._schema, self._days = connection, schema, days

    def __call__(self, table: str, query: str, **names: str) -> int:
        if table == EVENTS:
            query += " and raw.asks_others(t.service)"
        columns = [
            name
            for (name,) in self._connection.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
                (f"raw.{table}",),
            )
        ]
        places = {name: sql.Identifier(value) for name, value in names.items()}
        statement = sql.SQL(
            "insert into {made} ({columns}) select {columns} from ({query}) as found on conflict ({key}) do update set ({columns}, is_kept) = row ({new}, false)"
        ).format(
            made=sql.Identifier(self._schema, table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in columns),
            key=sql.SQL(", ").join(map(sql.Identifier, ROW_KEYS[table])),
            query=sql.SQL(query).format(
                **{"schema": sql.Identifier(self._schema), "table": sql.Identifier(table), **places}
            ),
        )
        return self._connection.execute(statement, self._days).rowcount


def _make(connection: psycopg.Connection, schema: str) -> None:
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    for table, keys in ROW_KEYS.items():
        made, source = sql.Identifier(schema, table), sql.Identifier("raw", table)
        stands = connection.execute("select to_regclass(%s) is not null", (f"{schema}.{table}",)).fetchone()
        if stands != (True,):
            connection.execute(sql.SQL("create table {} (like {} including indexes)").format(made, source))
            connection.execute(sql.SQL("alter table {} add is_kept boolean not null default false").format(made))
            if table == EVENTS:
                # In raw another table holds their keys; the others come with theirs.
                connection.execute(
                    sql.SQL("create unique index on {} ({})").format(
                        made, sql.SQL(", ").join(map(sql.Identifier, keys))
                    )
                )
        # What a migration has added since.
        for name, kind in connection.execute(NEW_COLUMNS, (f"raw.{table}", f"{schema}.{table}")).fetchall():
            connection.execute(
                sql.SQL("alter table {} add column {} {}").format(made, sql.Identifier(name), sql.SQL(kind))
            )


def _let_go(connection: psycopg.Connection) -> None:
    """Delete what the build before has asked for, but for what it found to be nobody's and is there still."""
    row = connection.execute("select to_regclass('intermediate.int_settled_records') is not null").fetchone()
    if row != (True,):
        return
    schema = sql.Identifier(SCHEMA)
    # Recordings before calls.
    for table, key in sorted({**RECORDS, EVENTS: "record_key"}.items(), reverse=True):
        but = sql.SQL(BUT_CALLS).format(schema=schema) if table == "twilio_calls" else sql.SQL("")
        connection.execute(
            sql.SQL(OF_SOMEBODY).format(schema=schema, table=sql.Identifier(table), key=sql.Identifier(key), but=but)
        )
        connection.execute(
            sql.SQL("update {}.{} set is_kept = true where not is_kept").format(schema, sql.Identifier(table))
        )
        connection.execute(
            sql.SQL(GONE).format(
                schema=schema,
                table=sql.Identifier(table),
                key=sql.Identifier(key),
                keys=sql.SQL(", ").join(map(sql.Identifier, ROW_KEYS[table])),
            )
        )
