"""How a run shows that its process lives: a session lock in the database, held from the first step to the last.

Dagster's default launcher cannot tell whether a run's process is there, so a run that was killed stays "started" for ever
and keeps its place in the queue; two of them stop every schedule. The database knows at once: a lock ends with its holder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

logger = logging.getLogger("metering.build")

# A run that has this tag holds the lock, or is gone.
HOLDS_LOCK = {"metering/run_lock": "held"}
KEY = "hashtextextended('metering run ' || %s, 0)"


@contextmanager
def run_lock(database_url: str, run_id: str) -> Iterator[bool]:
    """Hold the lock of this run; yields whether it is held. A database that does not answer is left to the steps to report.

    Keepalives: a connection that is idle for hours while providers are read must not be forgotten by something on its way.
    """
    try:
        connection = psycopg.connect(
            database_url, autocommit=True, connect_timeout=10, keepalives_idle=30, keepalives_interval=10
        )
    except psycopg.OperationalError as error:
        logger.debug("no lock for run %s: %s", run_id, error)
        yield False
        return
    with connection:
        connection.execute(f"select pg_advisory_lock({KEY})".encode(), (run_id,))
        yield True


def is_held(connection: psycopg.Connection, run_id: str) -> bool:
    """Return whether a process holds the lock of this run. ``connection`` is in autocommit."""
    row = connection.execute(
        f"select pg_try_advisory_lock({KEY}) and pg_advisory_unlock({KEY})".encode(), (run_id, run_id)
    ).fetchone()
    return row is not None and not row[0]
