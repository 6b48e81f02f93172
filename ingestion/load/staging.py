"""dlt's part: extract a source and load its Arrow tables, as Parquet through ADBC, into a dataset of this run only."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
# dlt logs each retry with its whole traceback; what ends a load is raised, and said once.
os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")

import dlt
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from adbc_driver_manager import dbapi
from dlt.common.configuration import configspec
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import LoadJob
from dlt.common.destination.configuration import ParquetFormatConfiguration
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.normalizers.naming import NamingConvention
from dlt.destinations import postgres
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration, PostgresCredentials
from dlt.destinations.impl.postgres.factory import get_adbc_driver_location
from dlt.destinations.impl.postgres.postgres import PostgresClient, PostgresParquetCopyJob
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from psycopg import sql

from ingestion.database import loader_url

PREFIX = "load_"
PART = re.compile(r"_[0-9]+$")
STAMP = "%Y%m%d%H%M%S"
ROWS_PER_BATCH = 10_000
ABANDONED_AFTER = timedelta(days=1)
SWEEP_LOCK = 4_716_201_554_274
# A run's key: held by its session for as long as it lives, whatever the clock says.
ALIVE = "hashtextextended(%s, 4716201554274)"


@configspec(init=False)
class Credentials(PostgresCredentials):
    """A URL, written as libpq reads it."""

    @classmethod
    def of(cls, url: str) -> Credentials:
        """Return the credentials of ``url``, resolved: dlt would make its own class of them otherwise."""
        credentials = cls(url)
        credentials.resolve()
        return credentials

    def to_native_representation(self) -> str:
        """Return the URL. SQLAlchemy writes a space as itself in a password and as a plus sign in the query; libpq reads neither."""
        address, mark, query = super().to_native_representation().partition("?")
        return address.replace(" ", "%20") + mark + query.replace("+", "%20")


class Connections:
    """The ADBC connections of one load: the first asks the server for all its types, which takes longer than loading a small
    table does; the others are clones of it.
    """

    def __init__(self, driver: str, url: str) -> None:
        self._driver, self._url = driver, url
        self._first: dbapi.Connection | None = None
        # The driver counts the connections of a database, but not for several threads.
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[dbapi.Connection]:
        """Yield a connection of one's own, from any thread."""
        with self._lock:
            if self._first is None:
                self._first = dbapi.connect(driver=self._driver, db_kwargs={"uri": self._url})
            made = self._first.adbc_clone()
        try:
            yield made
        finally:
            with self._lock:
                made.close()

    def close(self) -> None:
        """Close the first; it would stay open beside a server that is about to be stopped."""
        if self._first is not None:
            self._first.close()


class CopyJob(PostgresParquetCopyJob):
    """dlt's copy of one file, by the connections of its load, some rows at a time: its own holds the whole file in memory."""

    def run(self) -> None:
        """Copy the file's rows into their table of the load.

        Raises:
            adbc_driver_manager.Error: the database.
        """
        dataset = self._job_client.sql_client.dataset_name
        with (
            pq.ParquetFile(self._file_path) as file,
            CONNECTIONS[dataset].connection() as connection,
            connection.cursor() as cursor,
        ):
            rows = pa.RecordBatchReader.from_batches(file.schema_arrow, batches(file))
            cursor.adbc_ingest(self.load_table_name, rows, mode="append", db_schema_name=dataset)
            connection.commit()


def batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows, one group of them in memory at a time: an iteration over all groups keeps what it has read."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(ROWS_PER_BATCH, row_groups=[group])


# By dataset, of which each load has its own; a job knows nothing else of its load.
CONNECTIONS: dict[str, Connections] = {}


class Client(PostgresClient):
    """Makes the tables of a load unlogged: it lives for one run, and writing it to the log as well costs a third more."""

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """Return dlt's job, our own for a file of rows."""
        job = super().create_load_job(table, file_path, load_id, restore)
        return CopyJob(file_path) if isinstance(job, PostgresParquetCopyJob) else job

    def _make_create_table(self, qualified_name: str, table: PreparedTableSchema) -> str:
        return super()._make_create_table(qualified_name, table).replace("CREATE TABLE", "CREATE UNLOGGED TABLE", 1)


class Destination(postgres):
    """dlt's PostgreSQL with our `Client`."""

    @property
    def client_class(self) -> type[PostgresClient]:
        """The client that loads."""
        return Client

    def capabilities(
        self, config: PostgresClientConfiguration | None = None, naming: NamingConvention | None = None
    ) -> DestinationCapabilitiesContext:
        """What PostgreSQL can do, whatever the configuration: dlt would resolve one each of the 18 times it asks, a third of what a small load
        takes. Files live for a moment: they are not compressed.
        """
        found = super().capabilities(config or self.spec(), naming)
        found.parquet_format = ParquetFormatConfiguration(compression="none")
        return found


def dataset_name(provider: str, load_id: str) -> str:
    """Return what the schemas of one run's load are named after; its time says when they may be swept away."""
    return f"{PREFIX}{datetime.now(UTC).strftime(STAMP)}_{load_id}_{provider}"


@contextmanager
def alive(dataset: str, database_url: str) -> Iterator[None]:
    """Keep the schemas of the run that stages as ``dataset`` from being swept, until the block ends or the process dies."""
    with psycopg.connect(loader_url(database_url), autocommit=True) as connection:
        connection.execute(f"select pg_advisory_lock({ALIVE})".encode(), (dataset,))
        yield


def stage(source: Any, *, dataset: str, database_url: str) -> None:
    """Extract ``source`` and load what it yields into schema ``dataset``. No rows, no table.

    A name, a working folder and a dataset of its own: dlt would first load a killed run's pending package, and two runs
    of one name would share state.

    Raises:
        Exception: what the source or the database raised, without dlt's wrapping.
    """
    if isinstance(source, DltSource):
        rows = rows_by_table(source)
        first = next(rows, None)
        if first is None:
            # A pipeline costs ten times what it takes to see that there is nothing for it.
            return
        source = dlt.resource(_by_table(chain([first], rows)), name=source.name)
    with tempfile.TemporaryDirectory(prefix="metering-dlt-", ignore_cleanup_errors=True) as folder:
        credentials = Credentials.of(loader_url(database_url))
        CONNECTIONS[dataset] = Connections(get_adbc_driver_location(), credentials.to_native_representation())
        pipeline = dlt.pipeline(
            pipeline_name=dataset,
            pipelines_dir=folder,
            destination=Destination(credentials=credentials),
            dataset_name=dataset,
        )
        pipeline.config.restore_from_destination = False
        try:
            pipeline.run(source, loader_file_format="parquet", write_disposition="append")
        except PipelineStepFailed as error:
            raise error.exception or error from error
        finally:
            pipeline.deactivate()
            CONNECTIONS.pop(dataset).close()


def rows_by_table(source: DltSource) -> Iterator[tuple[str, Any]]:
    """Yield what the source's resources yield, each with its resource's name."""

    def named(name: str) -> Callable[[Any], tuple[str, Any]]:
        return lambda rows: (name, rows)

    for name, resource in source.resources.selected.items():
        resource.add_map(named(name))
    yield from source


def _by_table(rows: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    for name, table in rows:
        yield dlt.mark.with_table_name(table, name)


def drop(connection: psycopg.Connection, dataset: str) -> None:
    """Drop a run's dataset, where there is one."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(dataset)))


def sweep(connection: psycopg.Connection) -> None:
    """Drop the datasets of runs that were killed more than a day ago; one sweep at a time is enough.

    A clock that jumps makes a run look old: one that is `alive` keeps what is its own.
    """
    row = connection.execute("select pg_try_advisory_xact_lock(%s)", (SWEEP_LOCK,)).fetchone()
    if row is None or not row[0]:
        return
    limit = PREFIX + (datetime.now(UTC) - ABANDONED_AFTER).strftime(STAMP)
    abandoned = connection.execute(
        "select nspname from pg_namespace where nspname ~ '^load_[0-9]{14}_' and nspname < %s"
        " and pg_has_role(current_user, nspowner, 'usage')",
        (limit,),
    ).fetchall()
    for (name,) in abandoned:
        run = PART.sub("", name)
        dead = connection.execute(f"select pg_try_advisory_xact_lock({ALIVE})".encode(), (run,)).fetchone()
        if dead and dead[0]:
            drop(connection, name)
