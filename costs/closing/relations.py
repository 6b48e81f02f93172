"""What a close covers: which tables, which of their rows and columns, and how a row's key and digest are read.

Digests are computed by PostgreSQL, of the columns that the close names, so a column that comes later is not a change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg import sql

from costs.rules.chain import start
from ingestion.run import PROVIDERS

# Whatever a provider says of a day; not what it lists as held now, nor totals that it counts on.
RAW_TABLES = tuple(
    sorted(table for spec in PROVIDERS.values() for table in spec.tables if table not in (*spec.held, *spec.totals))
)
DIRECTORY_TABLES = {
    "tenants": ("tenant_id", "valid_from"),
    "tenant_resources": ("provider", "resource_type", "resource_id", "valid_from"),
    "tenant_limits": ("tenant_id", "channel", "metric"),
}
# Columns that say when and by whom a row was written, not what it says.
BOOKKEEPING = ("updated_at", "load_id", "loaded_at")
# So that a row has one text whatever the server's or the role's settings.
SESSION = "set timezone = 'UTC'; set datestyle = 'ISO'; set extra_float_digits = 1; set bytea_output = 'hex'"


class CloseRefused(Exception):
    """The month cannot be closed, or verified, as things are; the message says why and what to do."""


@dataclass(frozen=True)
class Relation:
    """A table that the close covers: rows of the month by ``period_column``, of prices by version."""

    name: str
    kind: str
    key_columns: tuple[str, ...]
    columns: tuple[str, ...]
    period_column: str

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(*self.name.split("."))


def days_of_month(month: str) -> tuple[date, date]:
    """Return the first and the last day of ``2026-10``.

    Raises:
        CloseRefused: it is not a month.
    """
    if not re.fullmatch(r"[1-9][0-9]{3}-(0[1-9]|1[0-2])", month):
        raise CloseRefused(f"{month} is not a month: write 2026-10")
    first = date.fromisoformat(f"{month}-01")
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def first_link(
    previous_root: bytes,
    month: str,
    first: date,
    last: date,
    closed_at: datetime,
    closed_by: str,
    code: str,
    relations: Sequence[Relation],
    without: Sequence[str] = (),
) -> bytes:
    header: dict[str, object] = {
        "month": month,
        "days": [first.isoformat(), last.isoformat()],
        "closed_at": closed_at.astimezone(UTC).isoformat(),
        "closed_by": closed_by,
        "code_version": code,
        "relations": [
            [r.name, r.kind, r.period_column, *r.key_columns, "|", *r.columns]
            for r in sorted(relations, key=lambda r: r.name)
        ],
    }
    # Months that were closed before this could be said are none the worse for it.
    if without:
        header["without"] = sorted(without)
    return start(previous_root, header)


def covered_relations(connection: psycopg.Connection) -> list[Relation]:
    """Return what a close covers, in the order of the chain: prices, every mart that has a time, ledgers, records, events, and
    the tenant directory.
    """
    prices = Relation(
        "ops.price_book_rows",
        "price",
        ("version", "number", "service", "operation", "model", "plan", "component", "effective_from"),
        tuple(columns_of(connection, "ops", "price_book_rows")),
        "version",
    )
    marts: list[Relation] = []
    for (table,) in connection.execute(
        "select tablename from pg_tables where schemaname = 'marts' order by tablename"
    ).fetchall():
        columns = columns_of(connection, "marts", table)
        period = next((name for name in ("date", "month") if name in columns), None)
        if period is not None:
            marts.append(
                Relation(f"marts.{table}", "mart", tuple(_primary_key(connection, table)), tuple(columns), period)
            )
    ledgers = [
        Relation("ops.cost_restatements", "ledger", ("id", "tenant_id", "date", "channel"), (), "date"),
        Relation("ops.cost_adjustments", "ledger", ("id", "tenant_id", "date", "channel"), (), "booked_month"),
        Relation("ops.closed_names", "ledger", ("month", "tenant_id", "valid_from"), (), "month"),
    ]
    records = [
        Relation(f"raw.{table}", "record", tuple(_record_key(connection, table)), (), "usage_date")
        for table in RAW_TABLES
    ]
    events = Relation("raw.usage_events", "event", ("usage_date", "event_key"), (), "usage_date")
    directory = [
        Relation(f"raw.{table}", "directory", key, (), "valid_from" if "valid_from" in key else "")
        for table, key in DIRECTORY_TABLES.items()
    ]
    with_columns = [
        Relation(r.name, r.kind, r.key_columns, tuple(columns_of(connection, *r.name.split("."))), r.period_column)
        for r in (*ledgers, *records, events, *directory)
    ]
    return [prices, *marts, *with_columns]


def columns_of(connection: psycopg.Connection, schema: str, table: str) -> list[str]:
    """Return a table's columns but those of its bookkeeping, by name; none of a table that there is not."""
    return [
        name
        for (name,) in connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attname",
            (f"{schema}.{table}",),
        )
        if name not in BOOKKEEPING
    ]


def _primary_key(connection: psycopg.Connection, table: str, schema: str = "marts") -> list[str]:
    columns = [
        name
        for (name,) in connection.execute(
            "select attribute.attname from pg_index as key"
            " inner join pg_attribute as attribute on attribute.attrelid = key.indrelid and attribute.attnum = any(key.indkey)"
            " where key.indrelid = %s::regclass and key.indisprimary order by array_position(key.indkey, attribute.attnum)",
            (f"{schema}.{table}",),
        )
    ]
    if not columns:
        raise CloseRefused(f"{schema}.{table} has no primary key: add one, so that its rows can be identified")
    return columns


def _record_key(connection: psycopg.Connection, table: str) -> list[str]:
    unit = ["account_id", "usage_date"]
    return [*unit, *(name for name in _primary_key(connection, table, "raw") if name not in unit)]


def rows_now(
    connection: psycopg.Connection, relation: Relation, columns: Sequence[str], month: str, first: date, last: date
) -> sql.Composed:
    """Return the query of key and digest of a relation's rows of the month."""
    row = connection.execute(
        "select ops.key_expression(%s), ops.digest_expression(%s)", (list(relation.key_columns), list(columns))
    ).fetchone()
    assert row is not None
    column = sql.Identifier("t", relation.period_column or "tenant_id")
    if relation.kind == "directory":
        condition = connection.execute(
            "select ops.directory_condition(%s, %s, %s)", (relation.name, first, last)
        ).fetchone()
        assert condition is not None
        rows = sql.SQL(condition[0])
    elif relation.kind == "price":
        # Every book that a day of the month was computed with; once closed, those that the close holds.
        rows = sql.SQL(
            "{column} in (select price_version from ops.built_days where usage_date between {first} and {last}"
            " and not exists (select 1 from ops.close_items where month = {month} and relation = {relation})"
            " union select key ->> 'version' from ops.close_items where month = {month} and relation = {relation})"
        )
    elif relation.period_column in ("date", "usage_date"):
        rows = sql.SQL("{column} between {first} and {last}")
    else:
        rows = sql.SQL("{column} = {month}")
    return sql.SQL("select {key} as key, {digest} as digest from {table} as t where {rows}").format(
        key=sql.SQL(row[0]),
        digest=sql.SQL(row[1]),
        table=relation.identifier,
        rows=rows.format(
            column=column,
            first=sql.Literal(first),
            last=sql.Literal(last),
            month=sql.Literal(month),
            relation=sql.Literal(relation.name),
        ),
    )
