"""A whole system for a test: a database, a sandbox that plays the providers, a directory, and the `rebuild` job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from rich.console import Console

from cli.rebuild import run_rebuild
from ingestion.windows import Window

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
        window = Window.of_days(date.fromisoformat(first), date.fromisoformat(last))
        run_rebuild(window, only, console=Console(stderr=True, quiet=True))

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
