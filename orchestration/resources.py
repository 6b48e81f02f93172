"""What assets need from outside: the database and the settings of ingestion, read when a run starts, not on import."""

import dagster as dg

from ingestion.config import IngestSettings


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The database, as its owner; the rooms take their own roles from it."""

    url: str = dg.EnvVar("METERING_DATABASE_URL")


class Providers(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Credentials and options of ingestion, from the environment of the run's process."""

    def settings(self) -> IngestSettings:
        """Read the environment now.

        Raises:
            ConfigError: a variable is missing or unusable.
        """
        return IngestSettings.from_environment()
