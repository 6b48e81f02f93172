"""dbt's manifest, parsed once per process and shared by the asset definitions and every build in it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

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
    """Parse the project: two seconds, a quarter of one where DAGSTER_HOME keeps the parse of these very files; later calls are free.

    Raises:
        DbtProjectError: with dbt's own message.
    """
    # The manifest names the database in every relation, so another database is another manifest.
    return _parse(project_folder(), os.environ.setdefault(DATABASE_VARIABLE, NO_DATABASE))


@functools.cache
def _parse(folder: Path, database_url: str) -> ParsedProject:
    kept = _kept_parse(folder, database_url)
    arguments = ["parse", "--no-write-json", *global_arguments()]
    if kept is not None and kept.exists():
        arguments += ["--partial-parse-file-path", str(kept)]
    with tempfile.TemporaryDirectory(prefix="metering-dbt-", ignore_cleanup_errors=True) as target:
        result = dbtRunner().invoke([*arguments, "--target-path", target, "--log-path", target])
        fresh = Path(target) / "partial_parse.msgpack"
        if result.success and kept is not None and fresh.exists():
            _keep(fresh, kept)
    if not result.success or not isinstance(result.result, Manifest):
        raise DbtProjectError(f"the dbt project in {folder} does not parse: {result.exception}")
    return ParsedProject(result.result, result.result.writable_manifest().to_dict(omit_none=False))


def _kept_parse(folder: Path, database_url: str) -> Path | None:
    """Return where dbt's own parse of exactly these files and this database is (to be) kept; None without a DAGSTER_HOME.

    dbt could also bring an older parse up to date. Named by the content of every file, it never has to: nothing has changed.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return None
    digest = hashlib.sha256(database_url.encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not {"target", "logs"} & set(path.relative_to(folder).parts):
            digest.update(f"\0{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return Path(home) / "dbt_parse" / f"{digest.hexdigest()[:16]}.msgpack"


def _keep(fresh: Path, kept: Path) -> None:
    """Keep a parse instead of those before it. Beside and renamed: who reads meanwhile finds a whole file, or none."""
    with suppress(OSError):  # a read-only or full disk costs time, and nothing else
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(fresh, beside)
        beside.replace(kept)
        for old in kept.parent.glob("*.msgpack"):
            if old != kept:
                old.unlink(missing_ok=True)
