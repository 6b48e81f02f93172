"""`metering migrate`: from any PostgreSQL >= 15 to one that the other rooms can use.

Roles, schemas, owners, grants and policies are brought to their wanted state every time; tables change by revisions
(`warehouse.migrations`), and functions, views and triggers where their files say otherwise (`warehouse.objects`), both in one transaction.
All of it under one advisory lock, so that several at once (a compose file's services, say) queue up instead of colliding.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from warehouse import migrations, objects
from warehouse.distribution import distribute, is_citus
from warehouse.errors import WarehouseUnavailable
from warehouse.migrations import VERSION_TABLE
from warehouse.migrations import head as head
from warehouse.roles import ensure_grants, ensure_owners, ensure_policies, ensure_roles, ensure_schemas
from warehouse.urls import sqlalchemy_url

MINIMUM_VERSION = 15

# Any constant will do, as long as it is nobody else's: the first bytes of sha256("usage-metering migrate").
MIGRATE_LOCK = 4_716_201_554_271

LOCK_SECONDS = 30.0
"""What a migration waits at most for somebody's lock on a table: behind it everybody else waits, too."""

HOLDER = """
select activity.pid, activity.usename, activity.application_name, activity.state
from pg_stat_activity as activity
inner join pg_locks as locks on locks.pid = activity.pid and locks.granted
inner join pg_class as relations on relations.oid = locks.relation
inner join pg_namespace as namespaces on namespaces.oid = relations.relnamespace
where
    activity.datname = current_database()
    and activity.pid <> pg_backend_pid()
    and namespaces.nspname in ('raw', 'staging', 'intermediate', 'marts', 'ops')
order by activity.xact_start
limit 1
"""


def connect(url: str) -> psycopg.Connection:
    """Open an autocommit connection as the owner.

    Raises:
        WarehouseUnavailable: the server does not answer, refuses us, or is older than PostgreSQL 15.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        # libpq's advice (is the server running?) stands indented under its reason.
        lines = [line for line in str(error).splitlines() if line.strip() and not line[0].isspace()]
        reason = lines[-1] if lines else type(error).__name__
        raise WarehouseUnavailable(f"the database of METERING_DATABASE_URL cannot be reached: {reason}") from error
    if connection.info.server_version < MINIMUM_VERSION * 10_000:
        version = connection.info.server_version // 10_000
        connection.close()
        raise WarehouseUnavailable(
            f"PostgreSQL {version} is too old: METERING_DATABASE_URL needs {MINIMUM_VERSION} or newer"
        )
    return connection


def current(connection: psycopg.Connection) -> str | None:
    """Return the revision that the database is at; None before the first migration."""
    row = connection.execute("select to_regclass(%s)", (f"ops.{VERSION_TABLE}",)).fetchone()
    if row is None or row[0] is None:
        return None
    row = connection.execute(f"select version_num from ops.{VERSION_TABLE}").fetchone()
    return str(row[0]) if row else None


def migrate(
    url: str, *, then: Callable[[], None] | None = None, repaired: Callable[[str], None] | None = None
) -> tuple[str | None, str]:
    """Bring the database to the newest state; return the revisions before and after.

    Args:
        url: the owner's URL.
        then: what else must happen under the same lock, such as making Dagster's tables.
        repaired: gets, a line each, the objects, owners and policies that were not as they must be, as after a restore.

    Raises:
        WarehouseUnavailable: see `connect`; or the owner role may not create roles or schemas, or a table stays locked;
            or a newer version has migrated the database.
    """
    with connect(url) as connection:
        connection.execute("select pg_advisory_lock(%s)", (MIGRATE_LOCK,))
        try:
            connection.execute(_lock_timeout().encode())
            before = current(connection)
            _refuse_unknown(before)
            ensure_roles(connection)
            ensure_schemas(connection)
            owners = ensure_owners(connection)
            applied = upgrade(url)
            # Before the grants: nobody may read a mart whose rows are open.
            policies = ensure_policies(connection)
            ensure_grants(connection)
            if is_citus():
                distribute(connection)
            if repaired is not None and applied and before == head():
                repaired(f"functions, views and triggers stand as in {', '.join(applied)}")
            if repaired is not None and owners:
                repaired(f"{len(owners)} schemas, tables and views belong to metering_transformer again")
            if repaired is not None and policies:
                repaired(f"the rows of {len(policies)} marts are protected again")
            if then is not None:
                then()
        except psycopg.errors.InsufficientPrivilege as error:
            raise WarehouseUnavailable(
                f"the role of METERING_DATABASE_URL may not do what migrate needs ({str(error).strip().splitlines()[0]}):"
                " it must own the database and have CREATEROLE"
            ) from error
        except (psycopg.errors.LockNotAvailable, OperationalError) as error:
            if not isinstance(getattr(error, "orig", error), psycopg.errors.LockNotAvailable):
                raise
            raise WarehouseUnavailable(
                f"a table stays locked by {_holder(connection)}: let it end, or end it, then run `metering migrate` again"
            ) from error
        finally:
            if not connection.broken:
                connection.execute("select pg_advisory_unlock(%s)", (MIGRATE_LOCK,))
    return before, head()


def _refuse_unknown(revision: str | None) -> None:
    if revision is not None and revision not in migrations.revisions():
        raise WarehouseUnavailable(
            f"the database is at revision {revision}, which this version does not have: install the version that migrated it"
        )


def _lock_timeout() -> str:
    return f"set lock_timeout = {round(LOCK_SECONDS * 1000)}"


def _holder(connection: psycopg.Connection) -> str:
    """Return who has been at our tables for longest."""
    row = connection.execute(HOLDER).fetchone()
    if row is None:
        return "a session that has just ended"
    pid, role, application, state = row
    return f"process {pid} ({', '.join(word for word in (role, application, state) if word)})"


def upgrade(url: str, revision: str = "head") -> list[str]:
    """Change the tables up to a revision and, at the newest, what stands on them; return the files of objects that were applied.

    All of it or nothing. The caller holds the lock, and has made roles and schemas.
    """
    engine = create_engine(sqlalchemy_url(url, "psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(_lock_timeout())
        migrations.upgrade(connection, revision)
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        if revision not in ("head", head()):
            return []
        applied = objects.apply(driver)
        driver.execute("select ops.watch_inputs()")
        return applied
