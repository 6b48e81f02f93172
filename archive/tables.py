"""Which rows of `raw` are a month's, which of them stay, and one digest of rows wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import psycopg
from psycopg import sql

from archive.store import ArchiveError, Column
from costs.closing.relations import days_of_month
from ingestion.run import PROVIDERS
from warehouse.distribution import is_citus

EVENTS = "usage_events"
# Told of numbers, which are held for years and no day's records: the builds of other days ask for them by keys that they make up.
HELD_SERVICES = ("twilio_phone",)
# Days with events or records that no build has taken in.
WAITING_DAYS = """
select usage_date from ops.touched_days
union all
select usage_date from ops.source_days where ingested_at is not null and built_at is null
"""


@dataclass(frozen=True)
class Table:
    """A table of `raw` whose rows are archived by months.

    Attributes:
        key: the columns that tell a row from all others of the table, in whatever month; none: its primary key.
        record_key: the column by which events name its records; none: no event does.
        asked_later, part_of: see `SourceSpec`; else ``false`` and none.
    """

    name: str
    key: tuple[str, ...] = ()
    record_key: str = ""
    asked_later: str = "false"
    part_of: str = ""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier("raw", self.name)

    @property
    def file(self) -> str:
        return f"{self.name}.parquet"


def provider_tables() -> list[Table]:
    """Return every table of records that providers say of days: not what is held, nor the directory."""
    return [
        Table(name, keys, keys[-1] if keys else "", spec.asked_later.get(name, "false"), spec.part_of.get(name, ""))
        for spec in PROVIDERS.values()
        for name in spec.tables
        if name not in spec.held
        for keys in [tuple(spec.keyed.get(name, ()))]
    ]


def archived_tables() -> list[Table]:
    """Return the tables of records and that of events, by name."""
    return sorted([*provider_tables(), Table(EVENTS, ("event_key",), "record_key")], key=lambda table: table.name)


@dataclass(frozen=True)
class Days:
    """A month's days, both ends included."""

    first: date
    last: date

    @classmethod
    def of(cls, month: str) -> Days:
        """Return the days of ``2026-03``."""
        return cls(*days_of_month(month))

    def condition(self, table: Table) -> sql.Composed:
        """Return SQL: a row, under the alias t, is of the month."""
        days = {"first": sql.Literal(self.first), "last": sql.Literal(self.last)}
        is_in_month = sql.SQL("t.usage_date between {first} and {last}").format(**days)
        if table.name != EVENTS:
            return is_in_month
        # What its partitions are by.
        return sql.SQL(
            "{}"
            " and t.occurred_at >= {first}::timestamp at time zone 'UTC'"
            " and t.occurred_at < ({last}::date + 1)::timestamp at time zone 'UTC'"
        ).format(is_in_month, **days)


def columns_of(connection: psycopg.Connection, table: Table) -> list[Column]:
    """Return a table's columns, in order, with PostgreSQL's types."""
    return [
        Column(*row)
        for row in connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
            (f"raw.{table.name}",),
        )
    ]


def insertable(connection: psycopg.Connection, table: Table) -> set[str]:
    """Return the columns that take a value: the server makes the others."""
    rows = connection.execute(
        "select attname from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = '' and attidentity <> 'a'",
        (f"raw.{table.name}",),
    )
    return {name for (name,) in rows}


def key_of(connection: psycopg.Connection, table: Table) -> list[str]:
    """Return the columns that tell a row of the table from all others."""
    if table.key:
        return list(table.key)
    names = [
        name
        for (name,) in connection.execute(
            "select attribute.attname from pg_index as key"
            " inner join pg_attribute as attribute on attribute.attrelid = key.indrelid and attribute.attnum = any(key.indkey)"
            " where key.indrelid = %s::regclass and key.indisprimary order by array_position(key.indkey, attribute.attnum)",
            (f"raw.{table.name}",),
        )
    ]
    if not names:
        raise ArchiveError(f"raw.{table.name} has no primary key: add one, so that its rows can be told apart")
    return names


def stored_alike(table: Table, source: sql.Composable) -> sql.Composable:
    """Return the table; on Citus, which cannot ask it row by row, what has a key that ``source`` has."""
    if not (is_citus() and table.record_key):
        return table.identifier
    return sql.SQL("(select * from {table} where {key} in (select {key} from {source} as keys) offset 0)").format(
        table=table.identifier, key=sql.Identifier(table.record_key), source=source
    )


def row_digest(columns: Sequence[Column]) -> sql.Composed:
    """Return SQL: the sha256 of what these columns say of a row, under the alias t. The session must be `costs.closing`'s SESSION."""
    values = sql.SQL(", ").join(sql.Identifier("t", column.name) for column in columns)
    return sql.SQL("sha256(convert_to(jsonb_build_array({})::text, 'UTF8'))").format(values)


def digest(
    connection: psycopg.Connection, source: sql.Composable, columns: Sequence[Column], condition: sql.Composable
) -> tuple[int, str]:
    """Return the number of rows, and one digest of them all: of each day's digests in the days' order, a day's of its rows' in theirs."""
    row = connection.execute(
        sql.SQL(
            "with rows as (select t.usage_date, {row_digest} as digest from {source} as t where {condition}),"
            " days as (select usage_date, count(*) as rows, sha256(string_agg(digest, ''::bytea order by digest)) as digest"
            "   from rows group by usage_date)"
            " select coalesce(sum(rows), 0)::bigint,"
            "   encode(sha256(coalesce(string_agg(digest, ''::bytea order by usage_date), ''::bytea)), 'hex') from days"
        ).format(row_digest=row_digest(columns), source=source, condition=condition)
    ).fetchone()
    assert row is not None
    return row[0], row[1]


@dataclass
class Kept:
    """The rows of a month that stay in `raw` because somebody asks for them who does not know of archives, as a temporary table of their record keys.

    A record stays where an event of another month names it, or its provider's records of later months may ask whose it is
    (`SourceSpec.asked_later`), or it is nobody's: `marts.unattributed_usage` looks at it. An event stays where its record stays, or stands
    in another month.
    """

    connection: psycopg.Connection
    days: Days
    tables: Sequence[Table] = field(default_factory=provider_tables)

    def find(self) -> None:
        """Make the temporary table; it ends with the transaction."""
        self.connection.execute("create temporary table kept_records (record_key text not null) on commit drop")
        events = Table(EVENTS)
        parts: list[sql.Composable] = [
            sql.SQL(
                "select record_id from marts.usage_line_records"
                " where tenant_id = 'unattributed' and date between {first} and {last} and record_id is not null"
            ).format(first=sql.Literal(self.days.first), last=sql.Literal(self.days.last))
        ]
        for table in self.tables:
            if not table.record_key:
                continue
            names = {
                "table": table.identifier,
                "key": sql.Identifier("t", table.record_key),
                "of_month": self.days.condition(table),
                "asked_later": sql.SQL(table.asked_later.replace("%(last)s", "{last}")).format(
                    last=sql.Literal(self.days.last)
                ),
                "first": sql.Literal(self.days.first),
                "last": sql.Literal(self.days.last),
            }
            parts += [
                sql.SQL("select {key} from {table} as t where {of_month} and ({asked_later})").format(**names),
                sql.SQL(
                    "select {key} from {table} as t inner join raw.usage_events as events on events.record_key = {key}"
                    " where {of_month} and events.usage_date not between {first} and {last}"
                ).format(**names),
                sql.SQL(
                    "select t.record_key from raw.usage_events as t inner join {table} as records on records.{name} = t.record_key"
                    " where {events_of_month} and records.usage_date not between {first} and {last}"
                ).format(
                    **names,
                    name=sql.Identifier(table.record_key),
                    events_of_month=self.days.condition(events),
                ),
            ]
        self.connection.execute(sql.SQL("insert into kept_records {}").format(sql.SQL(" union ").join(parts)))
        for table in self.tables:
            if table.part_of:
                self.connection.execute(
                    sql.SQL(
                        "insert into kept_records select t.{part_of} from {table} as t"
                        " inner join kept_records as kept on kept.record_key = t.{key} where {of_month} and t.{part_of} is not null"
                    ).format(
                        part_of=sql.Identifier(table.part_of),
                        table=table.identifier,
                        key=sql.Identifier(table.record_key),
                        of_month=self.days.condition(table),
                    )
                )
        self.connection.execute("analyze kept_records")

    def delete_others(self, table: Table) -> int:
        """Delete the month's other rows of ``table``; return how many."""
        stays: sql.Composable = sql.SQL("")
        if table.record_key:
            # Citus asks no table of the coordinator's for each row of the workers', but what is read of it first.
            stays = sql.SQL(
                " and not exists (select from (select record_key from kept_records offset 0) as kept where kept.record_key = {})"
            ).format(sql.Identifier("t", table.record_key))
        if table.name == EVENTS:
            stays += sql.SQL(" and t.service <> all({})").format(sql.Literal(list(HELD_SERVICES)))
        return self.connection.execute(
            sql.SQL("delete from {} as t where {}{}").format(table.identifier, self.days.condition(table), stays)
        ).rowcount
