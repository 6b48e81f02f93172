"""dbt's manifest, parsed once per process and shared by the asset definitions and every build in it.

Parsing takes six seconds of CPU time, and each command, code server and run worker needs it: what dbt writes for its own
partial parsing is kept in DAGSTER_HOME, from which the next process reads it in a second, and beside it the same as plain data,
which takes neither that second nor the one in which dbt is imported: most processes never run it. They are kept under a digest of
everything they come from, so nothing is ever parsed partially: the files are the same to the last byte, or all is parsed anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builds.dbt_command import NO_FILES

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

dbt_version = version("dbt-core")

DATABASE_VARIABLE = "METERING_DATABASE_URL"
# dbt reads the profile even to parse; without a database it only needs something that looks like a URL.
NO_DATABASE = "postgresql://nobody:-@127.0.0.1:5432/none"

# What dbt writes into its target folder for the next parse, and the folders that a parse reads.
PARSE_STATE = "partial_parse.msgpack"
PARSED_FOLDERS = ("models", "functions", "macros", "seeds", "tests")
PARSES_KEPT = 4
DATA = ".json"

PROJECT = Path(__file__).parents[1] / "dbt_project"


class DbtProjectError(Exception):
    """The dbt project does not parse."""


class ParsedProject:
    """The project as data (``data``: `nodes` …, the content of manifest.json) and as dbt wants it back (`manifest`).

    Args:
        parse: returns dbt's manifest of the same files; called when it is first needed.
    """

    def __init__(self, data: dict[str, Any], parse: Callable[[], Manifest]) -> None:
        self.data = data
        self._parse = parse

    @functools.cached_property
    def _parsed(self) -> Manifest:
        return self._parse()

    @property
    def manifest(self) -> Manifest:
        """The manifest for the next dbt command; see `as_parsed`."""
        return as_parsed(self._parsed)


def as_parsed(manifest: Manifest) -> Manifest:
    """Forget what earlier dbt commands have compiled into ``manifest``, and return it.

    dbt keeps each ephemeral model's compiled text there and takes it for that of the next command, which has another window.
    """
    from dbt.contracts.graph.nodes import CompiledNode

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
    files = [path for name in PARSED_FOLDERS for path in (folder / name).rglob("*") if path.is_file()]
    return sorted([*files, folder / "dbt_project.yml"])


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
    if kept is not None:
        with contextlib.suppress(OSError, ValueError):  # there is none yet, or it is broken
            return ParsedProject(json.loads(kept.with_suffix(DATA).read_bytes()), lambda: _manifest(folder, kept))
    manifest = _manifest(folder, kept)
    data = manifest.writable_manifest().to_dict(omit_none=False)
    if kept is not None:
        _keep_data(data, kept)
    return ParsedProject(data, lambda: manifest)


def _manifest(folder: Path, kept: Path | None) -> Manifest:
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

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
    return result.result


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
            path.with_suffix(DATA).unlink(missing_ok=True)


def _keep_data(data: dict[str, Any], kept: Path) -> None:
    """Keep a parse as data, if the next process would read just the same."""
    text = json.dumps(data, default=str)
    if json.loads(text) != data:
        return
    with contextlib.suppress(OSError):
        fresh = kept.with_suffix(f"{DATA}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(kept.with_suffix(DATA))
