"""Where each column of a dbt model comes from: dbt's compiled SQL, as `builds.column_origins` reads it.

Two seconds of CPU for the whole project, so it is worked out once for each state of the project and kept as a file. Nothing
is worked out while a run is going on: a run's process finds the file, or goes without.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builds.dbt_manifest import ParsedProject, global_arguments

if TYPE_CHECKING:
    from builds.column_origins import Model

logger = logging.getLogger("metering.catalog")

# What is kept is named by this as well: another way of reading SQL is another file.
FORMAT = "2"

Column = tuple[str, str]
"""A relation as ``schema.table``, and one of its columns."""
Lineage = dict[str, dict[str, list[Column]]]
"""By relation and column: the columns of its direct parents that it is made of; [] for a constant."""


def project_lineage(project: ParsedProject, *, compute: bool) -> Lineage:
    """Return the lineage of a parsed project: what is kept of it, else (if ``compute``) worked out and kept, else {}."""
    path = _folder() / f"{_digest(project)}.json"
    with suppress(OSError, ValueError):
        kept: Lineage = json.loads(path.read_text())
        return {
            relation: {name: [(parent, column) for parent, column in deps] for name, deps in columns.items()}
            for relation, columns in kept.items()
        }
    if not compute:
        return {}
    from builds.column_origins import trace  # sqlglot is a third of a second of CPU, which no run needs

    origins = trace(_models(project), _known_columns(project.data))
    _keep(path, origins)
    return origins


def _folder() -> Path:
    return Path(os.environ.get("DAGSTER_HOME") or tempfile.gettempdir()) / "column_lineage"


def _keep(path: Path, origins: Lineage) -> None:
    # Beside and renamed, so that a process that reads meanwhile finds a whole file; a full or read-only disk only costs time.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(origins))
        fresh.replace(path)
    except OSError as error:
        logger.warning("column lineage cannot be kept in %s: %s", path.parent, error)


def _digest(project: ParsedProject) -> str:
    parts = [FORMAT]
    for unique_id, node in sorted(project.data["nodes"].items()):
        if node["resource_type"] in ("model", "seed"):
            parts += [unique_id, node["schema"], node["alias"], node["checksum"]["checksum"]]
    parts += [macro["macro_sql"] for _, macro in sorted(project.data["macros"].items()) if _is_ours(macro, project)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _is_ours(macro: Mapping[str, Any], project: ParsedProject) -> bool:
    return bool(macro["package_name"] == project.data["metadata"]["project_name"])


def relation_of(node: Mapping[str, Any]) -> str:
    """Return a manifest node's relation as ``schema.table``."""
    return f"{node['schema']}.{node.get('alias') or node['identifier']}"


def _known_columns(data: Mapping[str, Any]) -> dict[str, list[str]]:
    nodes = [*data["sources"].values(), *(node for node in data["nodes"].values() if node["resource_type"] == "seed")]
    return {relation_of(node): list(node["columns"]) for node in nodes}


def _models(project: ParsedProject) -> list[Model]:
    """Return the models, compiled, parents before children. No database is asked: what a macro would read is the empty case."""
    from dbt.cli.main import dbtRunner

    from builds.column_origins import Model

    nodes = {**project.data["nodes"], **project.data["sources"]}
    # `scratch` is the build that asks the ledgers nothing; schemas' names are in the manifest already.
    variables = {"scratch": "lineage", "build_id": "lineage", "as_of": "2026-01-02", "window_start": "2026-01-01"}
    with tempfile.TemporaryDirectory(prefix="metering-dbt-", ignore_cleanup_errors=True) as target:
        arguments = ["compile", "--no-introspect", "--no-populate-cache", "--select", "resource_type:model"]
        arguments += ["--vars", json.dumps({**variables, "window_end": "2026-01-02"})]
        arguments += ["--target-path", target, "--log-path", target]
        outcome = dbtRunner(manifest=project.manifest).invoke([*arguments, *global_arguments()])
    compiled = {
        result.node.unique_id: result.node.compiled_code
        for result in getattr(outcome.result, "results", ())
        if result.node.resource_type == "model" and result.node.compiled_code
    }
    if not outcome.success:
        logger.warning("column lineage is incomplete, dbt did not compile every model: %s", outcome.exception)
    ordered: list[Model] = []
    done: set[str] = set()

    def parents_of(unique_id: str) -> Iterator[str]:
        for parent in nodes[unique_id].get("depends_on", {}).get("nodes", ()):
            if parent in nodes and nodes[parent].get("config", {}).get("materialized") == "ephemeral":
                yield from parents_of(parent)  # no relation: its text stands in its child's
            elif parent in nodes:
                yield parent

    def visit(unique_id: str) -> None:
        if unique_id in done or unique_id not in nodes:
            return
        done.add(unique_id)
        node = nodes[unique_id]
        parents = list(dict.fromkeys(parents_of(unique_id)))
        for parent in parents:
            visit(parent)
        if unique_id in compiled and node["config"]["materialized"] != "ephemeral":
            names = tuple(relation_of(nodes[parent]) for parent in parents)
            ordered.append(Model(relation_of(node), compiled[unique_id], names))

    for unique_id in sorted(compiled):
        visit(unique_id)
    return ordered
