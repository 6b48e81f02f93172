"""A whole system for a test: a database, a sandbox that plays the providers, a directory, and the `rebuild` job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from rich.console import Console

from builds import ledger
from builds.due import ranges_of
from cli.errors import CommandFailed
from cli.rebuild import run_rebuild
from costs.seeds import check_price_book
from ingestion.config import IngestSettings
from ingestion.directory import load_directory
from ingestion.run import PROVIDERS
from ingestion.windows import Window
from orchestration.assets import ingestion
from orchestration.assets.marts import RAW_TABLES
from orchestration.assets.reporting import load_id_of
from tests.dbt.price_book import build_models
from usage_metering.clock import as_of

ROOT = Path(__file__).parents[2]

# All marts, whatever they are: what is compared must not be a list that someone forgets to extend.
MARTS = "select table_name from information_schema.tables where table_schema = 'marts' order by 1"


@dataclass
class System:
    """Everything is in the environment; see the `system` fixture."""

    database_url: str
    folder: Path
    sandbox: Any

    def rebuild(self, first: str, last: str, only: str | None = None) -> None:
        """Run the job over the days ``first`` … ``last``, both included.

        Raises:
            cli.errors.CommandFailed: a provider or a step failed.
        """
        run_rebuild(self._window(first, last), only, console=Console(stderr=True, quiet=True))

    @staticmethod
    def _window(first: str, last: str) -> Window:
        return Window.of_days(date.fromisoformat(first), date.fromisoformat(last))

    def refresh(
        self, first: str, last: str, only: str | None = None, *, providers: Iterable[str] = tuple(PROVIDERS)
    ) -> None:
        """Do to raw and marts what `rebuild` does, by the functions that the job's steps call: for tests of figures.

        Half of a small rebuild's time is Dagster's, and a third of a build's is data tests. No run is recorded, no check reported,
        no alert evaluated; the tests of those use `rebuild`.

        Args:
            providers: who is asked; what changed at nobody else need not be read from anybody else.

        Raises:
            cli.errors.CommandFailed: a provider failed; as `rebuild` says it, after the build.
        """
        window, run_id, settings = self._window(first, last), uuid.uuid4().hex, IngestSettings.from_environment()
        check_price_book()
        load_directory(
            settings=settings, database_url=self.database_url, as_of=as_of(), known_plans=ingestion.known_plans()
        )
        if only != "build":
            for provider in providers:
                ingestion.ingest_window(provider, window, self.database_url, settings, run_id)
        if only != "ingest":
            build_models(window, as_of=as_of(), tables=RAW_TABLES)
        if failed := ledger.failures(self.database_url, load_id_of(run_id)):
            raise CommandFailed("\n".join(f"{provider}: {error}" for provider, error in failed.items()))
        if only is None:
            touched = ledger.touched_days(self.database_url)
            for days in ranges_of(day for day, loads in touched.items() if load_id_of(run_id) in loads):
                build_models(days, as_of=as_of(), tables=RAW_TABLES)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``metering …`` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", "from cli.main import run; run()", *arguments],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, as the owner."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()

    def execute(self, statement: str, *parameters: object) -> None:
        """Run one statement, as the owner."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), parameters or None)

    def marts(self) -> dict[str, list[str]]:
        """Return every row of every mart as text, sorted, without `updated_at`."""
        found: dict[str, list[str]] = {}
        with psycopg.connect(self.database_url) as connection:
            for (table,) in connection.execute(MARTS).fetchall():
                rows = connection.execute(
                    sql.SQL("select (to_jsonb(t) - 'updated_at')::text from marts.{} as t").format(
                        sql.Identifier(table)
                    )
                )
                found[table] = sorted(row[0] for row in rows)
        return found

    def changed_days(self, before: dict[str, list[str]], table: str = "usage_summary") -> set[str]:
        """Return the dates whose rows of a daily mart differ from ``before``."""
        now = set(self.marts()[table])
        return {str(json.loads(row)["date"]) for row in now ^ set(before[table])}

    def changed_cells(self, before: dict[str, list[str]]) -> set[tuple[str, str]]:
        """Return each (channel, date) of `usage_summary` that differs from ``before`` for some tenant."""
        rows = map(json.loads, set(self.marts()["usage_summary"]) ^ set(before["usage_summary"]))
        return {(row["channel"], row["date"]) for row in rows}

    @property
    def directory(self) -> Path:
        """The tenant directory's folder."""
        return self.folder / "directory"


def fresh_home(template: Path, folder: Path) -> Path:
    """Return a DAGSTER_HOME like the template's."""
    home = folder / "dagster"
    shutil.copytree(template, home)
    return home
