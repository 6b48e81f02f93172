"""What assets need from outside: the database and the settings of ingestion, read when a run starts, not on import."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from builds.run_lock import HOLDS_LOCK, run_lock
from ingestion.config import IngestSettings
from orchestration.storage import POOL, EventLog, know_tables


def hold_connections(instance: dg.DagsterInstance) -> None:
    """Let the storage of ``instance`` hold its connections and know its own tables, in the process of a run.

    Dagster's own connects anew for each of a run's thousand statements: 1,291 times in a build of nine days, half of the database's work.
    """
    instance.optimize_for_webserver(**POOL)
    storage = instance.event_log_storage
    # Ours knows them; a DAGSTER_HOME of somebody's own may name Dagster's.
    if isinstance(storage, SqlEventLogStorage) and not isinstance(storage, EventLog):
        know_tables(storage)


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
