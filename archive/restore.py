"""`metering restore`: a month's records come back from its files, all of them or none."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from archive.files import stage_file
from archive.locks import alone, staging, swapping
from archive.store import MANIFEST, ArchiveError, FileEntry, Manifest, Store, sha256
from archive.tables import WAITING_DAYS, Table, archived_tables, digest, insertable, key_of, row_digest, stored_alike
from ingestion.archived import archived_months


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        rows: that came back; None where the month was not archived.
        differing: by table, rows of the files that `raw` has with other content; those of `raw` stay.
    """

    month: str
    rows: int | None
    differing: dict[str, int]


def restore_month(database_url: str, store: Store, month: str) -> Restored:
    """Bring an archived month's records back into `raw`. One that is not archived stays as it is; a kill leaves it archived.

    The files stay in the store.

    Raises:
        ArchiveError: a file is missing or damaged, by name; nothing is changed.
    """
    with alone(database_url) as connection:
        if month not in archived_months(connection):
            return Restored(month, None, {})
        manifest = _manifest(connection, store, month)
        if damages := store.damages(manifest):
            raise ArchiveError("\n".join(damages))
        tables = {table.name: table for table in archived_tables()}
        if unknown := [file.table for file in manifest.files if file.table not in tables]:
            raise ArchiveError(
                f"{month} has records of {', '.join(unknown)}, which this version does not know: install a newer one"
            )
        rows, differing = 0, {}
        with staging(database_url, connection) as dataset:
            sources = {
                file.table: _checked(database_url, connection, store, month, file, dataset) for file in manifest.files
            }
            with swapping(database_url, connection, list(tables.values())):
                for file in manifest.files:
                    source, table = sources[file.table], tables[file.table]
                    if count := _differing(connection, source, table, file):
                        differing[file.table] = count
                    rows += _insert(connection, source, table, file)
                connection.execute("delete from ops.archived_months where month = %s", (month,))
        return Restored(month, rows, differing)


def lost_manifests(connection: psycopg.Connection, store: Store) -> list[str]:
    """Return a line for each archived month whose manifest is not there as it was written, or cannot be read."""
    lines = []
    for month in sorted(archived_months(connection)):
        try:
            _manifest(connection, store, month)
        except ArchiveError as error:
            lines.append(str(error))
    return lines


def waiting_months(connection: psycopg.Connection) -> list[str]:
    """Return the archived months that events came for, or that lost a record to another month: no build takes that in before they are
    restored.
    """
    rows = connection.execute(
        f"select distinct month from ops.archived_months inner join ({WAITING_DAYS}) as days"
        " on to_char(days.usage_date, 'YYYY-MM') = archived_months.month order by 1".encode()
    )
    return [month for (month,) in rows]


def _manifest(connection: psycopg.Connection, store: Store, month: str) -> Manifest:
    """Return the manifest that was written when the month was archived, and no other."""
    text = store.manifest_text(month)
    place = store.place(month, MANIFEST)
    if text is None:
        raise ArchiveError(
            f"{place} is missing; nothing is changed: check METERING_ARCHIVE_URL, or bring it back from a copy"
        )
    row = connection.execute("select manifest_sha256 from ops.archived_months where month = %s", (month,)).fetchone()
    if row != (sha256(text),):
        raise ArchiveError(
            f"{place} is not what was written when {month} was archived; nothing is changed: bring it back from a copy"
        )
    return Manifest.read(text)


def _checked(
    database_url: str, connection: psycopg.Connection, store: Store, month: str, file: FileEntry, dataset: str
) -> sql.Composed:
    """Stage a file whose rows are those that were deleted, to the last digit."""
    source = stage_file(database_url, connection, store, month, file, dataset)
    if digest(connection, source, file.columns, sql.SQL("true")) != (file.rows, file.digest):
        raise ArchiveError(
            f"{store.place(month, file.name)} gives back other rows than were archived; nothing is changed:"
            " restore with the version that archived it"
        )
    connection.execute(sql.SQL("analyze {}").format(sql.Identifier(dataset, file.table)))
    return source


def _same_key(connection: psycopg.Connection, table: Table) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier("stored", name), sql.Identifier("t", name))
        for name in key_of(connection, table)
    )


def _differing(connection: psycopg.Connection, source: sql.Composable, table: Table, file: FileEntry) -> int:
    """Return how many of the file's rows `raw` has under the same key with other content: brought since, it is the newer word."""
    names = insertable(connection, table)
    columns = [column for column in file.columns if column.name in names]
    row = connection.execute(
        sql.SQL(
            "select count(*) from {source} as t inner join {stored} as stored on {same_key}"
            " where {staged_digest} <> (select {stored_digest} from (select stored.*) as t)"
        ).format(
            source=source,
            stored=stored_alike(table, source),
            same_key=_same_key(connection, table),
            staged_digest=row_digest(columns),
            stored_digest=row_digest(columns),
        )
    ).fetchone()
    return int(row[0]) if row else 0


def _insert(connection: psycopg.Connection, source: sql.Composable, table: Table, file: FileEntry) -> int:
    """Insert the file's rows that `raw` does not have; a column that it has no more is left out."""
    there = insertable(connection, table)
    names = [column.name for column in file.columns if column.name in there]
    return connection.execute(
        sql.SQL(
            "insert into {table} ({names}) select {values} from {source} as t"
            " where not exists (select from {stored} as stored where {same_key})"
        ).format(
            table=table.identifier,
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            values=sql.SQL(", ").join(sql.Identifier("t", name) for name in names),
            source=source,
            stored=stored_alike(table, source),
            same_key=_same_key(connection, table),
        )
    ).rowcount
