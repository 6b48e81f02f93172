"""Dagster's event log, as dagster.yaml names it, by a connection that is held and not made anew for each statement.

To create a run Dagster writes an event for each asset and each check that is to come; its daemon made two or three connections for
each: of an idle rolling run 420, half of the database's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import event

# As Dagster tells its web server. Renewed each minute: nothing between here and the database may have closed one that a long build
# left idle.
POOL = {"statement_timeout": 0, "pool_recycle": 60, "max_overflow": 10}


# It asks with each event whether the tables and columns are there that came with older versions of it: 340 times in a run of
# 290 events, some within a transaction, which takes a connection more.
ASKED_AGAIN = ("has_table", "has_asset_key_col", "_has_asset_key_col_on_connection")


class EventLog(PostgresEventLogStorage):
    """Dagster's, in each of its processes: the daemon's that create runs, and those of runs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.optimize_for_webserver(**POOL)
        know_tables(self)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> EventLog:
        """Make it of dagster.yaml's part about it."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config_value),
        )

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Hold a connection, asked before each use whether its server has ended it since, as at a restart."""
        self._engine.dispose()
        self._engine = create_pg_engine(
            self.postgres_url,
            self._token_provider,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            pool_recycle=pool_recycle,
            max_overflow=max_overflow,
            pool_pre_ping=True,
        )
        event.listen(
            self._engine, "connect", lambda connection, _: set_pg_statement_timeout(connection, statement_timeout)
        )

    def dispose(self) -> None:
        """Close the connections: nobody's instance may leave one open."""
        super().dispose()
        self._engine.dispose()


def know_tables(storage: SqlEventLogStorage) -> None:
    """Let ``storage`` ask once for its own tables and columns."""
    for name in ASKED_AGAIN:
        setattr(storage, name, _once_there(getattr(storage, name)))


def _once_there(is_there: Callable[..., bool]) -> Callable[..., bool]:
    """Return ``is_there``, which does not ask again for what was there; its last argument is the name."""
    found: set[str] = set()

    def known(*arguments: object) -> bool:
        name = str(arguments[-1])
        if name not in found and is_there(*arguments):
            found.add(name)
        return name in found

    return known
