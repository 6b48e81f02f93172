"""What keeps others away while a month's rows leave `raw` or come back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from archive.store import ArchiveError
from archive.tables import Table
from builds.build_lock import build_lock
from costs.closing.relations import SESSION
from ingestion.load.staging import alive, dataset_name, drop
from ingestion.load.swap import TABLE_KEY
from warehouse.distribution import is_citus

# Any constant that is nobody else's.
ARCHIVE_LOCK = 4_716_201_554_275


@contextmanager
def alone(database_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection, in autocommit, of the one process that archives or restores in this database.

    Raises:
        ArchiveError: there is another one.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        got = connection.execute("select pg_try_advisory_lock(%s)", (ARCHIVE_LOCK,)).fetchone()
        if got is None or not got[0]:
            raise ArchiveError("another `metering archive` or `metering restore` is running: wait for its end")
        try:
            connection.execute(SESSION.encode())
            yield connection
        finally:
            # A server ends a session a moment after its connection is closed: who comes next would be refused.
            with suppress(psycopg.OperationalError):
                connection.execute("select pg_advisory_unlock(%s)", (ARCHIVE_LOCK,))


@contextmanager
def staging(database_url: str, connection: psycopg.Connection) -> Iterator[str]:
    """Yield the name of a schema for files that are read back, as loads have theirs: what a killed process leaves, ingests sweep."""
    dataset = dataset_name("archive", uuid.uuid4().hex[:16])
    with alive(dataset, database_url):
        with _of_the_coordinator(connection):
            connection.execute(
                sql.SQL("create schema {} authorization metering_loader").format(sql.Identifier(dataset))
            )
        try:
            yield dataset
        finally:
            if not connection.broken:
                with _of_the_coordinator(connection):
                    drop(connection, dataset)


@contextmanager
def _of_the_coordinator(connection: psycopg.Connection) -> Iterator[None]:
    """Keep from the workers what is made in here: what is staged is the coordinator's. All else of the session reaches them, a vacuum, too."""
    if is_citus():
        connection.execute("set citus.enable_ddl_propagation = off")
    yield
    if is_citus():
        connection.execute("reset citus.enable_ddl_propagation")


@contextmanager
def swapping(database_url: str, connection: psycopg.Connection, tables: Sequence[Table]) -> Iterator[None]:
    """Run the block in one transaction, of one snapshot, in which no build runs and no ingest changes ``tables``.

    Events may arrive meanwhile: the transaction does not see them, and leaves them alone.
    """
    with build_lock(database_url):
        # Of the session: the transaction's snapshot must be younger than what it has waited for.
        for table in tables:
            connection.execute(f"select pg_advisory_lock({TABLE_KEY})".encode(), (table.name,))
        try:
            with connection.transaction():
                connection.execute("set transaction isolation level repeatable read")
                connection.execute("set local work_mem = '128MB'")
                # The planner knows a table as it was: one that was empty, and is being filled, would be read through for each row.
                connection.execute("set local enable_nestloop = off")
                if is_citus():
                    # Of a worker, too, one snapshot: each of its connections would have one of its own.
                    connection.execute("set local citus.max_adaptive_executor_pool_size = 1")
                yield
        finally:
            if not connection.broken:
                for table in tables:
                    connection.execute(f"select pg_advisory_unlock({TABLE_KEY})".encode(), (table.name,))
