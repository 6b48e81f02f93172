"""DAGSTER_HOME and the migration of everything, under one lock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from cli.errors import CommandFailed
from cli.folders import ROOT
from warehouse.migrate import current, head, migrate


def migrate_all(repaired: Callable[[str], None] | None = None) -> tuple[str | None, str]:
    """Migrate the database and make DAGSTER_HOME; return the revisions before and after. ``repaired``: see `migrate`."""
    return migrate(os.environ["METERING_DATABASE_URL"], then=make_dagster_home, repaired=repaired)


def make_dagster_home() -> None:
    """Write DAGSTER_HOME/dagster.yaml and create Dagster's tables.

    Two runs that meet a fresh home break each other, so this is migrate's work, under its lock, and never a run's.
    """
    home = Path(os.environ["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    # The default home is ours, and follows the project's file; a home of somebody's own keeps what they made of it.
    if home.resolve() == (ROOT / ".local" / "dagster").resolve() or not (home / "dagster.yaml").exists():
        shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        instance.upgrade()


def require_migrated(database_url: str) -> None:
    """Raise unless database and DAGSTER_HOME are at the newest state.

    Raises:
        CommandFailed: with the remedy.
        WarehouseUnavailable: the database does not answer.
    """
    from warehouse.migrate import connect

    with connect(database_url) as connection:
        revision = current(connection)
    if revision != head():
        state = "not migrated" if revision is None else f"at revision {revision}, not {head()}"
        raise CommandFailed(f"the database is {state}: run `metering migrate`")
    if not (Path(os.environ["DAGSTER_HOME"]) / "dagster.yaml").exists():
        raise CommandFailed(f"there is no DAGSTER_HOME at {os.environ['DAGSTER_HOME']}: run `metering migrate`")
