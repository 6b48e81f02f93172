"""One dbt build: by `dbtRunner` in this very process, which holds the database's build lock while it runs.

A lock held by anybody else (an on-run-start hook, a parent process) outlives or predeceases the work it guards; a dbt
subprocess survives its killed parent and goes on committing. Here both end with the process.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from builds import ledger
from builds.build_lock import build_lock
from builds.code_version import code_version
from builds.ctes import quick_ctes
from builds.dbt_command import build_arguments
from builds.dbt_manifest import global_arguments, parsed_project
from builds.failing_rows import Sample, read_sample
from builds.gathering import gather
from builds.sessions import kept_sessions
from builds.standing import seeds_digest
from builds.static_nodes import STATIC, standing_version, static_nodes, tag_static
from builds.upkeep import analyze_grown, free_replaced_rows
from ingestion.archived import archived_months, refuse_archived
from ingestion.windows import Window
from warehouse.distribution import is_citus

logger = logging.getLogger("metering.build")


class BuildFailed(Exception):
    """dbt ended with errors; the message names the first nodes that failed, ``results`` has every node that dbt came to."""

    def __init__(self, message: str, results: Sequence[NodeResult] = ()) -> None:
        super().__init__(message)
        self.results = tuple(results)


@dataclass(frozen=True)
class NodeResult:
    """What dbt says of one node: ``status`` success, pass, warn, fail, error or skipped; ``failures`` of a test.

    ``query`` is the SQL of a test that found rows, as dbt ran it, and ``sample`` the first of them.
    """

    unique_id: str
    status: str
    rows: int | None
    failures: int | None
    seconds: float
    message: str
    query: str | None = None
    sample: Sample | None = None


def run_build(
    database_url: str,
    window: Window,
    *,
    as_of: datetime,
    build_id: str,
    tables: Sequence[str],
    failing_rows: int = 0,
) -> list[NodeResult]:
    """Build the marts of ``window`` and record it; return every node's result.

    Args:
        failing_rows: how many rows of a failed test its result has as ``sample``.

    Raises:
        BuildFailed: a model or a test of severity error failed. What was built before it stays built.
        MonthArchived: a day's month is archived; nothing is built.
    """
    # When it is needed: it takes a second to import, and most runs find nothing to build.
    from dbt.cli.main import dbtRunner

    with (
        build_lock(database_url) as connection,
        tempfile.TemporaryDirectory(prefix="metering-dbt-", ignore_cleanup_errors=True) as target,
    ):
        # Marts of days whose records are in files would be built of nothing.
        refuse_archived(archived_months(connection), window.days())
        project = parsed_project()
        static = static_nodes(project.data)
        tag_static(project, static)
        standing = standing_version(connection, project.data, static)
        stands = standing is not None and standing == ledger.static_version(connection)
        unfinished = ledger.unfinished_days(connection)
        ledger.begin_build(connection, build_id, window, as_of, tables, static_version=standing if stands else None)
        free_replaced_rows(connection)
        analyze_grown(connection)
        if is_citus():
            gather(connection, window)
        arguments = build_arguments(
            window,
            as_of=as_of,
            build_id=build_id,
            target_path=Path(target),
            code_version=code_version(),
            exclude=[STATIC] if stands else (),
            is_same_code=stands,
            unfinished=unfinished,
        )
        try:
            with quick_ctes(), kept_sessions():
                outcome = dbtRunner(manifest=project.manifest).invoke([*arguments, *global_arguments()])
        except BaseException:
            ledger.end_build(connection, build_id, ok=False)
            raise
        results = [_node_result(result) for result in getattr(outcome.result, "results", ())]
        if outcome.success and not stands:
            standing = standing_version(connection, project.data, static)
        ledger.end_build(
            connection,
            build_id,
            ok=outcome.success,
            static_version=standing,
            seeds_seen=seeds_digest(connection, project.data),
        )
        if failing_rows:
            # Under the lock: afterwards another build may have replaced what the test saw.
            results = [_with_sample(database_url, node, failing_rows) for node in results]
    if not outcome.success:
        raise BuildFailed(_why(outcome.exception, results), results)
    return results


def _node_result(result: Any) -> NodeResult:
    response = result.adapter_response or {}
    status = str(result.status)
    return NodeResult(
        unique_id=result.node.unique_id,
        status=status,
        rows=response.get("rows_affected"),
        failures=result.failures,
        seconds=result.execution_time,
        message=(result.message or "").strip(),
        query=result.node.compiled_code if result.failures and status in ("fail", "warn") else None,
    )


def _with_sample(database_url: str, node: NodeResult, limit: int) -> NodeResult:
    if node.query is None:
        return node
    try:
        return replace(node, sample=read_sample(database_url, node.query, limit))
    except psycopg.Error as error:
        # The test has failed; that its rows cannot be shown must not hide it.
        logger.warning("no sample of %s: %s", node.unique_id, str(error).splitlines()[0])
        return node


def _why(exception: BaseException | None, results: Sequence[NodeResult]) -> str:
    bad = [node for node in results if node.status in ("error", "fail", "runtime error")]
    if not bad:
        return f"dbt build failed: {' '.join(str(exception).split())}"
    first = "; ".join(f"{node.unique_id.split('.')[2]}: {' '.join(node.message.split())}" for node in bad[:3])
    return f"dbt build failed at {len(bad)} node(s): {first}"
