"""`metering archive`: a closed month's records go to files; once those are read back and are what the database has, the rows go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import psycopg
from psycopg import sql

from archive.files import stage_file, write_file
from archive.locks import alone, staging, swapping
from archive.store import ArchiveError, FileEntry, Manifest, Store
from archive.tables import WAITING_DAYS, Days, Kept, Table, archived_tables, columns_of, digest
from ingestion.archived import archived_months


@dataclass(frozen=True)
class Archived:
    """What is in the archive of a month, and what was done for it.

    Attributes:
        rows: of all files.
        kept: how many of them stay in `raw` as well, as other months ask for them; None where the month was archived before.
    """

    month: str
    rows: int
    bytes: int
    place: str
    kept: int | None


# A day that waits for a build would wait for ever: a build of an archived month is refused.
UNBUILT = f"select min(usage_date), max(usage_date) from ({WAITING_DAYS}) as days where usage_date between %(first)s and %(last)s"


def months_due(connection: psycopg.Connection, today: date, retention: int) -> tuple[list[str], list[str]]:
    """Return the months that ended more than ``retention`` whole months before today's: closed ones that are not archived yet, and,
    which stay, those that are not closed. Oldest first.
    """
    months = today.year * 12 + today.month - 1 - retention
    limit = f"{months // 12:04d}-{months % 12 + 1:02d}"
    closed = connection.execute(
        "select month from ops.closed_months where month < %s and month not in (select month from ops.archived_months) order by 1",
        (limit,),
    ).fetchall()
    opened = connection.execute(
        "select distinct to_char(usage_date, 'YYYY-MM') as month from ops.built_days"
        " where to_char(usage_date, 'YYYY-MM') < %s"
        " and to_char(usage_date, 'YYYY-MM') not in (select month from ops.closed_months) order by 1",
        (limit,),
    ).fetchall()
    return [month for (month,) in closed], [month for (month,) in opened]


def archive_month(database_url: str, store: Store, month: str) -> Archived:
    """Move the records of a closed month to the store. A month that is archived stays as it is; a kill leaves it where it was.

    Raises:
        ArchiveError: it is not closed, waits for a build, is in another database's archive, or the store cannot be used.
    """
    with alone(database_url) as connection:
        root = _closed_root(connection, month)
        if month in archived_months(connection):
            return _archived_before(connection, store, month)
        _refuse_unbuilt(connection, month)
        _refuse_another_s(store, month, root)
        store.forget_manifest(month)
        tables = archived_tables()
        files = []
        with staging(database_url, connection) as dataset:
            for table in tables:
                file = _write(database_url, connection, store, month, table)
                if file is not None:
                    files.append(_read_back(database_url, connection, store, month, file, dataset))
        manifest = Manifest(month, root, files)
        manifest_sha256 = store.write_manifest(manifest)
        with swapping(database_url, connection, tables):
            _refuse_unbuilt(connection, month)
            deleted = _delete(connection, manifest, tables)
            connection.execute(
                "insert into ops.archived_months (month, row_count, manifest_sha256) values (%s, %s, %s)",
                (month, manifest.rows, manifest_sha256),
            )
        for table in tables:
            # So that what comes next takes the place of what went; a table that something else holds is autovacuum's.
            connection.execute(sql.SQL("vacuum (analyze, skip_locked) {}").format(table.identifier))
    return Archived(month, manifest.rows, manifest.size, store.place(month), manifest.rows - deleted)


def _closed_root(connection: psycopg.Connection, month: str) -> str:
    row = connection.execute("select encode(root, 'hex') from ops.closed_months where month = %s", (month,)).fetchone()
    if row is None:
        raise ArchiveError(f"{month} is not closed: run `metering close {month}` first")
    return str(row[0])


def _archived_before(connection: psycopg.Connection, store: Store, month: str) -> Archived:
    row = connection.execute("select row_count from ops.archived_months where month = %s", (month,)).fetchone()
    assert row is not None
    return Archived(month, row[0], 0, store.place(month), None)


def _refuse_unbuilt(connection: psycopg.Connection, month: str) -> None:
    days = Days.of(month)
    first, last = connection.execute(UNBUILT, {"first": days.first, "last": days.last}).fetchone() or (None, None)
    if first is not None:
        raise ArchiveError(
            f"{month} has data that no build has taken in:"
            f" run `metering rebuild --from {first} --to {last} --only build` first"
        )


def _refuse_another_s(store: Store, month: str, root: str) -> None:
    text = store.manifest_text(month)
    if text is None:
        return
    try:
        other = Manifest.read(text).root
    except (ValueError, KeyError, TypeError):
        other = ""
    if other != root:
        raise ArchiveError(
            f"{store.place(month)} is the archive of another database, or of a newer version: name another METERING_ARCHIVE_URL"
        )


def _write(
    database_url: str, connection: psycopg.Connection, store: Store, month: str, table: Table
) -> FileEntry | None:
    columns = columns_of(connection, table)
    rows = write_file(database_url, connection, store, month, table, columns)
    if not rows:
        return None
    fingerprint, size = store.fingerprint(month, table.file)
    return FileEntry(table.name, table.file, rows, size, fingerprint, "", columns)


def _read_back(
    database_url: str, connection: psycopg.Connection, store: Store, month: str, file: FileEntry, dataset: str
) -> FileEntry:
    """Return the entry with the digest of what the file gives back."""
    source = stage_file(database_url, connection, store, month, file, dataset)
    rows, found = digest(connection, source, file.columns, sql.SQL("true"))
    connection.execute(sql.SQL("drop table {}").format(sql.Identifier(dataset, file.table)))
    if rows != file.rows:
        raise ArchiveError(
            f"{store.place(month, file.name)} gives back {rows} of {file.rows} rows; nothing is changed: run it again"
        )
    return replace(file, digest=found)


def _delete(connection: psycopg.Connection, manifest: Manifest, tables: Sequence[Table]) -> int:
    """Delete the month's rows, all of which must be what the files gave back; return how many."""
    files = {file.table: file for file in manifest.files}
    days = Days.of(manifest.month)
    for table in tables:
        file = files.get(table.name)
        columns = file.columns if file else columns_of(connection, table)
        stored = digest(connection, table.identifier, columns, days.condition(table))
        if stored[0] != (file.rows if file else 0) or (file is not None and stored[1] != file.digest):
            raise ArchiveError(
                f"raw.{table.name} has changed while its rows of {manifest.month} were written; nothing is changed: run it again"
            )
    kept = Kept(connection, days)
    kept.find()
    return sum(kept.delete_others(table) for table in tables)
