"""dbt's manifest, parsed once per process and shared by the asset definitions and every build in it."""

from __future__ import annotations

import functools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

from orchestration.dbt_command import NO_FILES

DATABASE_VARIABLE = "METERING_DATABASE_URL"
# dbt reads the profile even to parse; without a database it only needs something that looks like a URL.
NO_DATABASE = "postgresql://nobody:-@127.0.0.1:5432/none"

PROJECT = Path(__file__).parents[1] / "dbt_project"


class DbtProjectError(Exception):
    """The dbt project does not parse."""


@dataclass(frozen=True)
class ParsedProject:
    """The manifest as dbt wants it back (`manifest`) and as data (`nodes` …, the content of manifest.json)."""

    manifest: Manifest
    data: dict[str, Any]


def project_folder() -> Path:
    """Return the dbt project's folder: DBT_PROJECT_DIR or the repository's."""
    return Path(os.environ.get("DBT_PROJECT_DIR", PROJECT)).resolve()


def profiles_folder() -> Path:
    """Return the folder of profiles.yml: DBT_PROFILES_DIR or the project's."""
    return Path(os.environ.get("DBT_PROFILES_DIR", project_folder()))


def global_arguments() -> list[str]:
    """Return where project and profile are; they go behind every dbt command."""
    return ["--project-dir", str(project_folder()), "--profiles-dir", str(profiles_folder()), "--quiet"]


def parsed_project() -> ParsedProject:
    """Parse the project (about two seconds; later calls are free).

    Raises:
        DbtProjectError: with dbt's own message.
    """
    # The manifest names the database in every relation, so another database is another manifest.
    return _parse(project_folder(), os.environ.setdefault(DATABASE_VARIABLE, NO_DATABASE))


@functools.cache
def _parse(folder: Path, _database_url: str) -> ParsedProject:
    with tempfile.TemporaryDirectory(prefix="metering-dbt-", ignore_cleanup_errors=True) as target:
        paths = ["--target-path", target, "--log-path", target, *NO_FILES]
        result = dbtRunner().invoke(["parse", *global_arguments(), *paths])
    if not result.success or not isinstance(result.result, Manifest):
        raise DbtProjectError(f"the dbt project in {folder} does not parse: {result.exception}")
    return ParsedProject(result.result, result.result.writable_manifest().to_dict(omit_none=False))
