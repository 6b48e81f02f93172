"""Scratch builds: the very dbt project, built into schemas of its own, with other seeds or another tenant directory.

For questions whose answer must come from the one set of rules: what would other prices or plans give, and do the marts still
equal what raw says? A scratch build reads `raw` and `ops`, writes nothing but its own schemas, takes no build lock (so no
production build waits for it) and runs no data tests. See docs/decisions/0008-scratch-builds.md.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from builds.ctes import quick_ctes
from builds.dbt_command import scratch_arguments
from builds.dbt_manifest import DbtProjectError, as_parsed, global_arguments, parsed_project, project_folder
from builds.gathering import SCHEMA, gather
from builds.sessions import kept_sessions
from ingestion.archived import months_of, refuse_archived
from ingestion.windows import Window
from warehouse.distribution import is_citus

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

logger = logging.getLogger("metering.scratch")

PREFIX = re.compile(r"^(scratch_[0-9a-f]{12})_[a-z]+$")
ROLE = "metering_transformer"
# Held by the process that owns the schemas for as long as it lives; whoever gets the lock of another's knows it is dead.
LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 4716201554))"
UNLOCK = "select pg_advisory_unlock(hashtextextended(%s, 4716201554))"
SEEDS, SETTINGS = "seeds", "dbt_project.yml"
DIRECTORY_TABLES = ("tenants", "tenant_limits")

ChangeDirectory = Callable[[psycopg.Connection, str], None]


class ScratchFailed(Exception):
    """dbt could not build the scratch schemas; the message names the first node that failed."""


@dataclass(frozen=True)
class Scratch:
    """Scratch schemas that are there as long as the `scratch` block they come from.

    Attributes:
        database_url: of the database that they are in.
        prefix: the schemas are ``<prefix>_marts``, ``<prefix>_staging``, …
        project: the folder that seeds are read from.
        manifest: the dbt project's, with its relations in these schemas.
    """

    database_url: str
    prefix: str
    project: Path
    manifest: Manifest
    variables: Mapping[str, str]

    def schema(self, layer: str) -> str:
        """Return the schema of a layer: staging, intermediate, marts."""
        return f"{self.prefix}_{layer}"

    def build(self, window: Window, *, as_of: datetime, select: Sequence[str]) -> None:
        """Build the seeds and models of ``select`` for ``window``; again with another window, and they hold both.

        Raises:
            ScratchFailed: naming the nodes.
            MonthArchived: a day's month is archived; nothing is built.
        """
        refuse_archived(months_of(self.database_url), window.days())
        from dbt.cli.main import dbtRunner

        if is_citus():
            with psycopg.connect(self.database_url) as connection:
                gather(connection, window, self.schema(SCHEMA))
        with tempfile.TemporaryDirectory(prefix="metering-dbt-", ignore_cleanup_errors=True) as target:
            arguments = scratch_arguments(
                window, as_of=as_of, variables=self.variables, target_path=Path(target), select=select
            )
            with quick_ctes(), kept_sessions():
                outcome = dbtRunner(manifest=as_parsed(self.manifest)).invoke(
                    [*arguments, *global_arguments(self.project)]
                )
        if outcome.success:
            return
        bad = [result for result in getattr(outcome.result, "results", ()) if str(result.status) == "error"]
        reasons = [f"{result.node.name}: {' '.join((result.message or '').split())}" for result in bad[:3]]
        raise ScratchFailed(f"the scratch build failed: {'; '.join(reasons) or outcome.exception}")


@contextmanager
def scratch(
    database_url: str, *, seeds: Mapping[str, str] | None = None, directory: ChangeDirectory | None = None
) -> Iterator[Scratch]:
    """Yield scratch schemas; drop them in the end, whatever happens. What killed processes left is swept first.

    Args:
        seeds: file names of the dbt project's seeds, and the texts that replace them.
        directory: called with a connection and the name of a schema that holds copies of raw.tenants and
            raw.tenant_limits, to change; these are then read in their place.

    Raises:
        ScratchFailed: a seed is not the project's, the project does not parse, or (from `Scratch.build`) does not build.
    """
    prefix = f"scratch_{uuid.uuid4().hex[:12]}"
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        tempfile.TemporaryDirectory(prefix="metering-scratch-", ignore_cleanup_errors=True) as folder,
    ):
        connection.execute(LOCK, (prefix,))
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(ROLE)))
        # Before this scratch has schemas: their lock would be given to their own session once more.
        sweep(connection)
        try:
            project = _with_seeds(Path(folder), seeds) if seeds else project_folder()
            variables = {"scratch": prefix}
            if directory is not None:
                variables["directory_schema"] = f"{prefix}_raw"
                _copy_directory(connection, f"{prefix}_raw", directory)
            yield Scratch(database_url, prefix, project, _manifest(prefix), variables)
        finally:
            _drop(connection, prefix)


def sweep(connection: psycopg.Connection) -> list[str]:
    """Drop the scratch schemas whose process is dead; return their prefixes. Needs an autocommit connection."""
    names = connection.execute("select nspname from pg_namespace where starts_with(nspname, 'scratch_')").fetchall()
    dead = []
    for prefix in sorted({match.group(1) for (name,) in names if (match := PREFIX.match(name))}):
        got = connection.execute(LOCK, (prefix,)).fetchone()
        if got is None or not got[0]:
            continue
        _drop(connection, prefix)
        connection.execute(UNLOCK, (prefix,))
        logger.info("dropped the schemas of a scratch build that had been killed: %s", prefix)
        dead.append(prefix)
    return dead


def _drop(connection: psycopg.Connection, prefix: str) -> None:
    names = connection.execute("select nspname from pg_namespace where starts_with(nspname, %s)", (f"{prefix}_",))
    for (name,) in names.fetchall():
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))


def _with_seeds(folder: Path, seeds: Mapping[str, str]) -> Path:
    """Return a project in ``folder`` with other seeds: what dbt reads from disk when it is given a manifest, and nothing else."""
    shutil.copytree(project_folder() / SEEDS, folder / SEEDS)
    shutil.copyfile(project_folder() / SETTINGS, folder / SETTINGS)
    for name, text in seeds.items():
        path = folder / SEEDS / name
        if not path.exists():
            raise ScratchFailed(f"{name} is not a seed of the dbt project: it cannot be replaced")
        path.write_text(text)
    return folder


def _copy_directory(connection: psycopg.Connection, schema: str, change: ChangeDirectory) -> None:
    name = sql.Identifier(schema)
    with connection.transaction():
        connection.execute(sql.SQL("create schema {}").format(name))
        for table in DIRECTORY_TABLES:
            connection.execute(
                sql.SQL("create table {}.{} as select * from raw.{}").format(
                    name, sql.Identifier(table), sql.Identifier(table)
                )
            )
        change(connection, schema)


def _manifest(prefix: str) -> Manifest:
    """Return the project's manifest with every relation in the scratch's schemas: what a parse with var `scratch` would give.

    Models stand in it as they were written and are compiled when they are built, so it differs only in where they are built;
    a parse takes longer than most scratch builds.
    """
    try:
        made: Manifest = parsed_project().manifest.deepcopy()  # type: ignore[no-untyped-call]
    except DbtProjectError as error:
        raise ScratchFailed(str(error)) from error
    for node in [*made.nodes.values(), *made.functions.values()]:
        schema, node.schema = node.schema, f"{prefix}_{node.schema}"
        if node.relation_name:
            node.relation_name = node.relation_name.replace(f'."{schema}".', f'."{node.schema}".')
    return made
