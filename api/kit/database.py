"""The connection pool, and the two readers through which every query of a request goes.

A reader sends one query in one read-only transaction with the caller's identity set for row-level security,
all in one round trip. Every wait has an end on this side too: a database that takes bytes and does not answer costs a request
`QUERY_SECONDS` at most. `TenantReader` binds the tenant to every query and refuses one that does not use it;
`RootReader` sees all tenants. Nothing else in the API gets hold of a connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from psycopg import AsyncConnection, AsyncServerCursor, OperationalError
from psycopg.errors import SerializationFailure
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.kit import queries

Row = Mapping[str, Any]
Connection = AsyncConnection[DictRow]
T = TypeVar("T")

POOL_SIZE = 10
MAX_STREAMS = 5  # slow readers of exports must leave connections for everybody else
CONNECT_SECONDS = 3
# The server ends a statement itself (`queries.STATEMENT_TIMEOUT_MS`); where it says nothing at all, this is the end.
QUERY_SECONDS = queries.STATEMENT_TIMEOUT_MS / 1000 + 2
STREAM_BATCH = 2_000
ROOT_ROLE = "root_admin"
TENANT_ROLE = "tenant_admin"
TENANT_PARAMETER = "%(tenant_id)s"

# The figures inside a JSON column are numeric in PostgreSQL and stay exact here.
_decoder = json.JSONDecoder(parse_float=Decimal)
MAX_ID = 2**63 - 1
BEHIND = "metering_replica_behind_seconds"


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build: what figures come from."""

    build_id: str
    as_of: datetime
    data_as_of: datetime | None
    finished_at: datetime
    is_settled: bool
    """Whether no other build has begun since: while one runs, and after one that failed, marts may be of either."""


class Reader:
    """What one request reads with; not used by itself. ``build`` is that of the last query's transaction."""

    # Whether PostgreSQL may keep the query's plan. None: psycopg decides, after a few runs.
    _prepare: bool | None = None

    def __init__(self, database: Database, tenant_id: str, role: str) -> None:
        self._database = database
        self._identity = {"tenant_id": tenant_id, "role": role}
        self.build: Build | None = None
        self._builds: set[Build | None] = set()

    @property
    def identity(self) -> tuple[str, str]:
        """The role and the tenant that row-level security knows the reader by."""
        return self._identity["role"], self.subject

    @property
    def settled_build(self) -> Build | None:
        """The one settled build that all rows read so far are of; None where they may be of several, or of half a one."""
        if len(self._builds) != 1:
            return None
        (build,) = self._builds
        return build if build is not None and build.is_settled else None

    @property
    def subject(self) -> str:
        """The tenant whose rows are read; empty for all."""
        return self._identity["tenant_id"]

    @property
    def data_as_of(self) -> datetime | None:
        """The oldest of the sources' last successful reads in the last build; None before the first one."""
        return self.build.data_as_of if self.build else None

    async def find_build(self) -> Build | None:
        """Return the last build, and nothing else."""
        self.build = await self._database.last_build()
        return self.build

    @asynccontextmanager
    async def _stream(self, query: str, parameters: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[Row]]:
        async with self._database.cursor(self._identity, query, parameters) as (self.build, cursor):
            yield cursor

    async def _rows(self, query: str, parameters: Mapping[str, Any]) -> list[DictRow]:
        self.build, rows = await self._database.read(self._identity, query, parameters, prepare=self._prepare)
        self._builds.add(self.build)
        return rows


class TenantReader(Reader):
    """Reads one tenant's rows: by the predicate in each query, and by row-level security."""

    def __init__(self, database: Database, tenant_id: str) -> None:
        super().__init__(database, tenant_id, TENANT_ROLE)
        self.tenant_id = tenant_id

    def _bound(self, query: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if TENANT_PARAMETER not in query:
            raise ValueError(f"a query for one tenant must have the predicate tenant_id = {TENANT_PARAMETER}")
        return {**parameters, "tenant_id": self.tenant_id}

    async def row(self, query: str, **parameters: Any) -> Row | None:
        """Return the query's first row."""
        rows = await self._rows(query, self._bound(query, parameters))
        return rows[0] if rows else None

    def stream(self, query: str, **parameters: Any) -> AbstractAsyncContextManager[AsyncIterator[Row]]:
        """Run the query; yield its rows, fetched as they are iterated."""
        return self._stream(query, self._bound(query, parameters))


class RootReader(Reader):
    """Reads every tenant's rows."""

    # A kept plan cannot know that the policies let all rows through: it expects a handful and nests its loops
    # (900 ms instead of 13 for 1,000 tenants).
    _prepare = False

    def __init__(self, database: Database) -> None:
        super().__init__(database, "", ROOT_ROLE)

    async def rows(self, query: str, **parameters: Any) -> list[DictRow]:
        return await self._rows(query, parameters)

    async def row(self, query: str, **parameters: Any) -> Row:
        """Return the one row of a query that always has one."""
        return (await self._rows(query, parameters))[0]

    def stream(self, query: str, **parameters: Any) -> AbstractAsyncContextManager[AsyncIterator[Row]]:
        """Run the query; yield its rows, fetched as they are iterated."""
        return self._stream(query, parameters)


class Database:
    """The pool. It opens without a database behind it: requests then get 503, and `/readyz` tells.

    Args:
        least: how many connections it keeps when nobody asks.
    """

    def __init__(self, url: str, *, least: int = 1) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            open=False,
            min_size=least,
            max_size=POOL_SIZE,
            timeout=CONNECT_SECONDS,
            # Not long: the next request starts a new attempt, where a long back-off would outlast the outage.
            reconnect_timeout=CONNECT_SECONDS,
            configure=_configure,
            # Transactions are begun in so many words, in the same round trip as what they are for.
            kwargs={"row_factory": dict_row, "connect_timeout": CONNECT_SECONDS, "autocommit": True},
            name="api",
        )
        self._streams = asyncio.Semaphore(MAX_STREAMS)

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    def tenant(self, tenant_id: str) -> TenantReader:
        return TenantReader(self, tenant_id)

    def root(self) -> RootReader:
        return RootReader(self)

    async def last_build(self) -> Build | None:
        """Return the last build: one statement, for nobody's rows."""

        async def work(connection: Connection) -> Row | None:
            return await (await connection.execute(queries.LAST_BUILD)).fetchone()

        return _build(await self._with_connection(work))

    async def read(
        self,
        identity: Mapping[str, str],
        query: str,
        parameters: Mapping[str, Any],
        *,
        prepare: bool | None = None,
    ) -> tuple[Build | None, list[DictRow]]:
        """Return the last build and the query's rows, from one snapshot."""

        async def work(connection: Connection) -> tuple[Build | None, list[DictRow]]:
            async with connection.pipeline():
                await connection.execute(queries.BEGIN)
                opened = await connection.execute(queries.OPEN_SCOPE, identity)
                rows = await connection.execute(_sent(query), parameters, prepare=prepare)
                await connection.execute(queries.ROLLBACK)
            return _build(await opened.fetchone()), await rows.fetchall()

        return await self._with_connection(work)

    @asynccontextmanager
    async def cursor(
        self, identity: Mapping[str, str], query: str, parameters: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Build | None, AsyncIterator[Row]]]:
        """Run the query; yield the last build and the rows, fetched as they are iterated, both of one snapshot."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._streams.acquire()
        except TimeoutError as error:
            raise PoolTimeout("too many streams at once") from error
        try:
            # Replaces the pool's connections where one has been lost.
            await self._with_connection(_begin_nothing)
            connection = await self._pool.getconn()
            cursor = connection.cursor(name="stream")
            try:
                with bounded(connection):
                    await connection.execute(queries.BEGIN)
                    build = _build(await (await connection.execute(queries.OPEN_SCOPE, identity)).fetchone())
                    await cursor.execute(query.encode(), parameters)
                yield build, _batches(connection, cursor)
            finally:
                with suppress(OperationalError), bounded(connection, CONNECT_SECONDS):
                    await cursor.close()
                await self._give_back(connection)
        finally:
            self._streams.release()

    async def _with_connection(self, work: Callable[[Connection], Awaitable[T]], seconds: float | None = None) -> T:
        """Do read-only work on a connection; again where a replica has cancelled it, or the server had gone while connections
        lay idle: each that is met is replaced, and all of them may have been lost.
        """
        end = time.monotonic() + CONNECT_SECONDS
        attempts = 0
        while True:
            try:
                return await self._attempt(work, seconds)
            except _LostConnection as lost:
                attempts += 1
                if attempts > POOL_SIZE or time.monotonic() > end:
                    raise lost.error from None

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]], seconds: float | None) -> T:
        connection = await self._pool.getconn()
        try:
            with bounded(connection, seconds):
                return await work(connection)
        except DatabaseSilent:
            raise
        except OperationalError as error:
            # A replica cancels what keeps it from replaying; what only reads is asked again.
            if connection.broken or isinstance(error, SerializationFailure):
                raise _LostConnection(error) from error
            raise
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: Connection) -> None:
        try:
            # Also when rolling back: a connection that stays silent is hung up on, and the pool makes another.
            with suppress(OperationalError), bounded(connection, CONNECT_SECONDS):
                await _roll_back(connection)
        finally:
            await self._pool.putconn(connection)

    async def session_role(self) -> Row:
        """Return the role that the sessions have: name, bypasses_row_security."""

        async def work(connection: Connection) -> Row | None:
            return await (await connection.execute(queries.SESSION_ROLE)).fetchone()

        row = await self._with_connection(work, CONNECT_SECONDS)
        assert row is not None
        return row

    async def replica(self) -> Row:
        """Return of the server that is read: is_replica, behind_seconds (null on a primary, or not known)."""

        async def work(connection: Connection) -> Row | None:
            return await (await connection.execute(queries.REPLICA)).fetchone()

        row = await self._with_connection(work, CONNECT_SECONDS)
        assert row is not None
        return row

    async def metrics(self, now: datetime, lookback_days: int) -> list[DictRow]:
        """Return the samples of `ops.metrics`, and of a replica how far behind it may be: name, labels, value."""

        async def work(connection: Connection) -> list[DictRow]:
            await connection.execute(queries.BEGIN_METRICS)
            cursor = await connection.execute(queries.METRICS, {"now": now, "lookback_days": lookback_days})
            rows = await cursor.fetchall()
            server = await (await connection.execute(queries.REPLICA)).fetchone()
            await connection.execute(queries.ROLLBACK)
            if server is not None and server["behind_seconds"] is not None:
                rows.append({"name": BEHIND, "labels": {}, "value": server["behind_seconds"]})
            return rows

        return await self._with_connection(work, CONNECT_SECONDS)

    async def missing_marts(self, marts: Iterable[str]) -> list[str]:
        """Return which of the wanted marts do not exist."""

        async def work(connection: Connection) -> list[str]:
            cursor = await connection.execute(queries.MISSING_MARTS, {"marts": list(marts)})
            return [row["name"] for row in await cursor.fetchall()]

        return await self._with_connection(work, CONNECT_SECONDS)


class DatabaseSilent(OperationalError):
    """The server has taken what was sent and did not answer in time."""


@contextmanager
def bounded(connection: Connection, seconds: float | None = None) -> Iterator[None]:
    """Hang up if the block waits longer than ``seconds`` (default: `QUERY_SECONDS`) for the server.

    The socket is shut down, so that whatever waits on it ends at once; cancelling the wait instead would ask the silent server
    to cancel, and wait for its answer.

    Raises:
        DatabaseSilent: it was hung up on.
    """
    limit = QUERY_SECONDS if seconds is None else seconds
    hung_up = False

    def hang_up() -> None:
        nonlocal hung_up
        hung_up = True
        with suppress(OSError, OperationalError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(limit, hang_up)
    try:
        yield
    except OperationalError as error:
        if hung_up:
            raise DatabaseSilent(f"no answer within {limit:g} s") from error
        raise
    finally:
        timer.cancel()


async def _batches(connection: Connection, cursor: AsyncServerCursor[DictRow]) -> AsyncIterator[Row]:
    # The bound is on each wait for the server: how long the reader takes between two is the reader's affair.
    while True:
        with bounded(connection):
            rows = await cursor.fetchmany(STREAM_BATCH)
        for row in rows:
            yield row
        if len(rows) < STREAM_BATCH:
            return


class _LostConnection(Exception):
    def __init__(self, error: OperationalError) -> None:
        super().__init__(str(error))
        self.error = error


@lru_cache
def _sent(query: str) -> bytes:
    """Return the query without its indentation: psycopg looks for the parameters of a text beyond 4 kB anew with each execution."""
    return "\n".join(map(str.strip, query.splitlines())).encode()


def _exact_json(text: str | bytes) -> Any:
    return _decoder.decode(text if isinstance(text, str) else text.decode())


async def _configure(connection: Connection) -> None:
    set_json_loads(_exact_json, connection)
    await limit_statements(connection)


async def limit_statements(connection: Connection) -> None:
    """Set the session's time limits, whatever the URL says or does not say of them."""
    with bounded(connection, CONNECT_SECONDS):
        await connection.execute(queries.LIMIT_STATEMENTS)


async def _begin_nothing(connection: Connection) -> None:
    await connection.execute(queries.ROUND_TRIP)


async def _roll_back(connection: Connection) -> None:
    # After an error inside the transaction; otherwise it is over by now.
    status = connection.info.transaction_status
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        await connection.rollback()


def _build(row: Row | None) -> Build | None:
    if row is None or row["build_id"] is None:
        return None
    data_as_of = row["data_as_of"]
    return Build(
        row["build_id"],
        row["as_of"].astimezone(UTC),
        data_as_of.astimezone(UTC) if data_as_of else None,
        row["finished_at"].astimezone(UTC),
        row["is_settled"],
    )
