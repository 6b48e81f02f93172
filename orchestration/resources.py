"""What assets need from outside: the database and the settings of ingestion, read when a run starts, not on import."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import dagster as dg
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from builds.run_lock import HOLDS_LOCK, run_lock
from ingestion.config import IngestSettings

# Dagster's storage connects anew for each of a run's thousand statements (1,291 times in a build of nine days, half of the
# database's work) unless it is told to hold a connection, as its web server tells it. Renewed each minute: nothing between
# here and the database may have closed one that a long build left idle.
POOL = {"statement_timeout": 0, "pool_recycle": 60, "max_overflow": 10}


# It asks with each event whether the tables and columns are there that came with older versions of it: 340 times in a run of
# 290 events, some within a transaction, which takes a connection more.
ASKED_AGAIN = ("has_table", "has_asset_key_col", "_has_asset_key_col_on_connection")


def hold_connections(instance: dg.DagsterInstance) -> None:
    """Let the storage of ``instance`` hold its connections and know its own tables, in the process of a run."""
    instance.optimize_for_webserver(**POOL)
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
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


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The database, as its owner; the rooms take their own roles from it. While a run has it, the run's lock is held."""

    url: str = dg.EnvVar("METERING_DATABASE_URL")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["Warehouse"]:
        """Give a run the database, and hold its lock until the run's last step has ended."""
        if context.run is None:
            yield self
            return
        if context.instance is not None:
            hold_connections(context.instance)
        with run_lock(self.url, context.run.run_id) as is_held:
            if is_held and context.instance is not None:
                context.instance.add_run_tags(context.run.run_id, HOLDS_LOCK)
            yield self


class Providers(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Credentials and options of ingestion, from the environment of the run's process."""

    def settings(self) -> IngestSettings:
        """Read the environment now.

        Raises:
            ConfigError: a variable is missing or unusable.
        """
        return IngestSettings.from_environment()
