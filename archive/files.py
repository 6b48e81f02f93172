"""From `raw` to Parquet and from Parquet to a staging table, value by value what PostgreSQL has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from archive.store import ArchiveError, Column, FileEntry, Store
from archive.tables import Days, Table, key_of

ROWS_PER_GROUP = 100_000
ROWS_PER_BATCH = 10_000
# What each type of `raw` is in a file. JSON is its text, which every reader has.
ARROW_TYPES = {
    "text": pa.string(),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "numeric(38,18)": pa.decimal128(38, 18),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "jsonb": pa.string(),
}
# The driver hands these on as text.
AS_TEXT = ("numeric(38,18)", "jsonb")
# Staged as they come; these are what they were only after a cast.
STAGED_TYPES = {"jsonb": "text"}


def schema_of(table: Table, columns: Sequence[Column]) -> pa.Schema:
    """Return the file's schema.

    Raises:
        ArchiveError: a column is of a type that has no exact form in a file.
    """
    for column in columns:
        if column.type not in ARROW_TYPES:
            raise ArchiveError(
                f"raw.{table.name}.{column.name} is of type {column.type}, which archive/files.py has no exact form for"
            )
    return pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns])


def write_file(
    database_url: str, connection: psycopg.Connection, store: Store, month: str, table: Table, columns: Sequence[Column]
) -> int:
    """Write a month's rows of ``table`` as a file of the store; return how many. No rows, no file."""
    days = Days.of(month)
    schema = schema_of(table, columns)
    # The driver asks for all types of the database when it connects: of a table without rows, nearly all of the cost.
    there = sql.SQL("select 1 from {table} as t where {condition} limit 1")
    if connection.execute(there.format(table=table.identifier, condition=days.condition(table))).fetchone() is None:
        return 0
    values = sql.SQL(", ").join(
        sql.SQL("{}::text as {}").format(sql.Identifier("t", column.name), sql.Identifier(column.name))
        if column.type in AS_TEXT
        else sql.Identifier("t", column.name)
        for column in columns
    )
    order = [name for name in ("usage_date", "account_id") if name in schema.names]
    query = sql.SQL("select {values} from {table} as t where {condition} order by {order}").format(
        values=values,
        table=table.identifier,
        condition=days.condition(table),
        order=sql.SQL(", ").join(
            sql.Identifier("t", name) for name in dict.fromkeys([*order, *key_of(connection, table)])
        ),
    )
    count = 0
    with adbc.connect(database_url) as reading, reading.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        cursor.execute(query.as_string(connection))
        batches = (batch for batch in cursor.fetch_record_batch() if batch.num_rows)
        first_batch = next(batches, None)
        if first_batch is None:
            return 0
        with (
            store.writing(month, table.file) as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):
            for group in _groups(first_batch, batches, schema):
                writer.write_table(group)
                count += group.num_rows
    return count


def _groups(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the batches in the file's types, as many rows together as a row group has."""
    waiting, count = [_typed(first, schema)], first.num_rows
    for batch in rest:
        if count >= ROWS_PER_GROUP:
            yield pa.Table.from_batches(waiting, schema)
            waiting, count = [], 0
        waiting.append(_typed(batch, schema))
        count += batch.num_rows
    yield pa.Table.from_batches(waiting, schema)


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [column.cast(kind.type) for column, kind in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def stage_file(
    database_url: str, connection: psycopg.Connection, store: Store, month: str, file: FileEntry, dataset: str
) -> sql.Composed:
    """Read a file back into a table of the schema ``dataset``; return SQL of it: a source whose columns have the types of `raw`.

    ``connection`` is in autocommit: another one fills the table.
    """
    name = sql.Identifier(dataset, file.table)
    definition = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(STAGED_TYPES.get(column.type, column.type)))
        for column in file.columns
    )
    connection.execute(sql.SQL("create unlogged table {} ({})").format(name, definition))
    with (
        store.reading(month, file.name) as stream,
        pq.ParquetFile(stream) as parquet,
        adbc.connect(database_url) as writing,
        writing.cursor() as cursor,
    ):
        rows = pa.RecordBatchReader.from_batches(parquet.schema_arrow, parquet.iter_batches(ROWS_PER_BATCH))
        cursor.adbc_ingest(file.table, rows, mode="append", db_schema_name=dataset)
        writing.commit()
    values = sql.SQL(", ").join(
        sql.SQL("{}::{} as {}").format(sql.Identifier(column.name), sql.SQL(column.type), sql.Identifier(column.name))
        for column in file.columns
    )
    return sql.SQL("(select {} from {})").format(values, name)
