"""dbt opens a database session for each node and closes it behind it: a new backend, whose catalogue is cold, plans each model's statement.

`kept_sessions` lets each of dbt's threads keep one for all of its nodes: two fifths of the server's CPU time in a build of few days.
A node finds nothing of the one before it: no transaction, no temporary table, no other role; the models set nothing for their session.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from dbt.adapters.contracts.connection import Connection
    from dbt.adapters.postgres.connections import PostgresConnectionManager

# A session that waited longer for its thread's next node may have been cut off on its way, and is not used again.
SECONDS_KEPT = 30.0


def is_of_node(name: str | None) -> bool:
    """Whether a session's name is a node's, `model.usage_metering.usage_daily`: dbt's others are `master`, `list_…`, `create_…`."""
    return (name or "").count(".") >= 2


def releasing(of_dbt: Callable[[PostgresConnectionManager], None]) -> Callable[[PostgresConnectionManager], None]:
    """Return a ``release`` that leaves a node's session as new, and has dbt's close any other, or one that cannot be kept."""

    def release(manager: PostgresConnectionManager) -> None:
        session: Any = manager.get_if_exists()
        if session is not None and session.state == "open" and is_of_node(session.name):
            try:
                session.handle.rollback()
                session.transaction_open = False
                with session.handle.cursor() as cursor:
                    # dbt takes its role within the first transaction: taken back with it, the next node would be the login itself.
                    role = session.credentials.role
                    cursor.execute("discard temporary" + (f"; set role {role}" if role else ""))
                session.handle.commit()
            except Exception:
                # Its server has ended it: dbt's own way is to forget it.
                of_dbt(manager)
            else:
                session.kept_at = time.monotonic()
        else:
            of_dbt(manager)

    return release


def naming(of_dbt: Callable[..., Connection], clock: Callable[[], float]) -> Callable[..., Connection]:
    """Return a ``set_connection_name``, the first thing a node does with its session, that has one kept for long opened anew."""

    def set_connection_name(manager: PostgresConnectionManager, name: str | None = None) -> Connection:
        session: Any = manager.get_if_exists()
        # Once: a node that lasts names its session again.
        kept_at = vars(session).pop("kept_at", None) if session is not None else None
        if kept_at is not None and clock() - kept_at > SECONDS_KEPT:
            manager.close(session)
        return of_dbt(manager, name)

    return set_connection_name


@contextmanager
def kept_sessions() -> Iterator[None]:
    """Let each thread of the dbt commands of this block have one session for all of its nodes; dbt closes them at the command's end."""
    from dbt.adapters.postgres.connections import PostgresConnectionManager as Manager

    with (
        patch.object(Manager, "release", releasing(Manager.release)),
        patch.object(Manager, "set_connection_name", naming(Manager.set_connection_name, time.monotonic)),
    ):
        yield
