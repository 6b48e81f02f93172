"""One dbt build per database at a time: whoever builds, or relies on what was built, holds this lock meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

logger = logging.getLogger("metering.build")

# Any constant that is nobody else's; the key of "one dbt build per database at a time".
BUILD_LOCK = 4_716_201_554_272


@contextmanager
def build_lock(database_url: str) -> Iterator[psycopg.Connection]:
    """Hold the build lock of this database; wait for it as long as it takes."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        got = connection.execute("select pg_try_advisory_lock(%s)", (BUILD_LOCK,)).fetchone()
        if got is not None and not got[0]:
            logger.info("another build is running on this database: waiting for it to end")
            connection.execute("select pg_advisory_lock(%s)", (BUILD_LOCK,))
        try:
            yield connection
        finally:
            # A server ends a session a moment after its connection is closed: who only tries the lock next would not get it.
            with suppress(psycopg.OperationalError):
                connection.execute("select pg_advisory_unlock(%s)", (BUILD_LOCK,))
