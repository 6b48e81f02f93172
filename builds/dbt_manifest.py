"""dbt's manifest, parsed once per process and shared by the asset definitions and every build in it.

Parsing takes six seconds of CPU time, and each command, code server and run worker needs it: what dbt writes for its own
partial parsing is kept in DAGSTER_HOME, from which the next process reads it in half a second. It is kept under a digest of
everything it comes from, so nothing is ever parsed partially: the files are the same to the last byte, or all is parsed anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import CompiledNode
from dbt.version import __version__ as dbt_version

from builds.dbt_command import NO_FILES

DATABASE_VARIABLE = "METERING_DATABASE_URL"
# dbt reads the profile even to parse; without a database it only needs something that looks like a URL.
NO_DATABASE = "postgresql://nobody:-@127.0.0.1:5432/none"

# What dbt writes into its target folder for the next parse, and the folders that a parse reads.
PARSE_STATE = "partial_parse.msgpack"
PARSED_FOLDERS = ("models", "functions", "macros", "seeds", "tests")
PARSES_KEPT = 4

PROJECT = Path(__file__).parents[1] / "dbt_project"


class DbtProjectError(Exception):
    """The dbt project does not parse."""


@dataclass(frozen=True)
class ParsedProject:
    """The manifest as dbt wants it back (`manifest`) and as data (`nodes` …, the content of manifest.json)."""

    parsed: Manifest
    data: dict[str, Any]

    @property
    def manifest(self) -> Manifest:
        """The manifest for the next dbt command; see `as_parsed`."""
        return as_parsed(self.parsed)


def as_parsed(manifest: Manifest) -> Manifest:
    """Forget what earlier dbt commands have compiled into ``manifest``, and return it.

    dbt keeps each ephemeral model's compiled text there and takes it for that of the next command, which has another window.
    """
    for node in manifest.nodes.values():
        if isinstance(node, CompiledNode):
            node.compiled, node.compiled_code, node._pre_injected_sql = False, None, None
            node.extra_ctes, node.extra_ctes_injected = [], False
    return manifest


def project_folder() -> Path:
    """Return the dbt project's folder: DBT_PROJECT_DIR or the repository's."""
    return Path(os.environ.get("DBT_PROJECT_DIR", PROJECT)).resolve()


def profiles_folder() -> Path:
    """Return the folder of profiles.yml: DBT_PROFILES_DIR or the project's."""
    return Path(os.environ.get("DBT_PROFILES_DIR", project_folder()))


def global_arguments(project: Path | None = None) -> list[str]:
    """Return where project (the usual one, unless it is named) and profile are; they go behind every dbt command."""
    return ["--project-dir", str(project or project_folder()), "--profiles-dir", str(profiles_folder()), "--quiet"]


def project_files(folder: Path | None = None) -> list[Path]:
    """Return the files that make the project (the usual one, unless it is named), sorted."""
    folder = folder or project_folder()
    found = [path for name in PARSED_FOLDERS for path in (folder / name).rglob("*") if path.is_file()]
    return sorted([*found, folder / "dbt_project.yml"])


def parsed_project() -> ParsedProject:
    """Parse the project, or read what another process has parsed; later calls are free.

    Raises:
        DbtProjectError: with dbt's own message.
    """
    # The manifest names the database in every relation, so another database is another manifest.
    return _parse(project_folder(), os.environ.setdefault(DATABASE_VARIABLE, NO_DATABASE))


@functools.cache
def _parse(folder: Path, database_url: str) -> ParsedProject:
    kept = _kept(folder, database_url)
    with tempfile.TemporaryDirectory(prefix="metering-dbt-", ignore_cleanup_errors=True) as target:
        state = Path(target) / PARSE_STATE
        with contextlib.suppress(OSError):  # there is none yet, or another process has just removed it
            if kept is not None:
                shutil.copyfile(kept, state)
        paths = ["--target-path", target, "--log-path", target, *NO_FILES]
        result = dbtRunner().invoke(["parse", *global_arguments(), *paths])
        if not result.success or not isinstance(result.result, Manifest):
            raise DbtProjectError(f"the dbt project in {folder} does not parse: {result.exception}")
        if kept is not None:
            _keep(state, kept)
    return ParsedProject(result.result, result.result.writable_manifest().to_dict(omit_none=False))


def _kept(folder: Path, database_url: str) -> Path | None:
    """Return where the parse of just these files for this database is kept; None without DAGSTER_HOME."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return None
    digest = hashlib.sha256(f"{dbt_version}\0{folder}\0{database_url}\0".encode())
    for path in [*project_files(folder), profiles_folder() / "profiles.yml"]:
        content = path.read_bytes() if path.exists() else b""
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return Path(home) / "dbt" / f"{digest.hexdigest()[:32]}.msgpack"


def _keep(state: Path, kept: Path) -> None:
    """Keep dbt's state of a parse, and of earlier ones only the newest: other processes may be of another version."""
    if kept.exists() or not state.exists():
        return
    # Without it the next process only parses again: a folder that cannot be written is not a reason to fail.
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and renamed: no process reads half of it.
        fresh = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(state, fresh)
        fresh.replace(kept)
        old = sorted(kept.parent.glob("*.msgpack"), key=lambda path: path.stat().st_mtime)[:-PARSES_KEPT]
        for path in old:
            path.unlink(missing_ok=True)
