"""Whether a URL leads to sessions of PostgreSQL, or to a pooler that deals them out by the transaction.

One build, one load of a table, one migration at a time: that is an advisory lock of a session. Where a pooler gives the session to
somebody else after each transaction, the lock goes with it, and two builds run at once.
"""

from __future__ import annotations

import psycopg

ROUNDS = 3


def keeps_sessions(url: str) -> bool:
    """Return whether a connection keeps one session of its own, between transactions too.

    Whoever deals sessions out gives the one that has just become free to the next who asks; so one that is seen in two connections,
    or changes within one, is dealt out.
    """
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as first:
        own = _session(first)
        for _ in range(ROUNDS):
            with psycopg.connect(url, connect_timeout=10) as second:
                # In a transaction, which holds it. Where there is but one session, the first connection would now wait for it.
                if _session(second) == own or _session(first) != own:
                    return False
    return True


def _session(connection: psycopg.Connection) -> int:
    row = connection.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])
