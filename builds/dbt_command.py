"""dbt's command line, from a window: pure, so that a table of cases can pin it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ingestion.windows import Window

# A build's results are taken from the process itself and its target folder is thrown away: a manifest.json, the graph, a debug log and
# lines for a console are a quarter of dbt's own work for nobody (measured on 124 nodes: 5.1 s, without files 3.9 s). What went wrong is in
# the results, and in the exception.
NO_FILES = ("--no-write-json", "--log-level-file", "none", "--log-level", "none")


def build_arguments(
    window: Window,
    *,
    as_of: datetime,
    build_id: str,
    target_path: Path,
    code_version: str = "",
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    is_same_code: bool = False,
    unfinished: Window | None = None,
) -> list[str]:
    """Return the arguments of one production build: models, seeds and data tests of ``window``.

    Unit tests prove the code, not the data: they run in CI, never here. Exposures are documentation, and nothing to build.

    Args:
        code_version: what computes the figures, kept with each day that is built; see `builds.code_version`.
        exclude: selectors of nodes that are left out, and they alone: a test of one of them and something else is run.
        is_same_code: what only code changes is of this code already, such as the columns of tables: nothing looks whether it is.
        unfinished: days that stand as a build left them that did not end well. They are not built; their months are summed up anew.
    """
    variables: dict[str, str | bool] = {
        "window_start": window.start.isoformat(),
        "window_end": window.end.isoformat(),
        "as_of": as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "build_id": build_id,
    }
    if code_version:
        variables["code_version"] = code_version
    if is_same_code:
        variables["is_same_code"] = True
    if unfinished:
        days = unfinished.days()
        variables["months_from"], variables["months_to"] = days[0].isoformat(), days[-1].isoformat()
    arguments = ["build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "exposure"]
    arguments += ["--vars", json.dumps(variables)]
    arguments += ["--target-path", str(target_path), "--log-path", str(target_path), *NO_FILES]
    if select:
        arguments += ["--select", *select]
    if exclude:
        # "empty": otherwise dbt leaves out every test that has to do with an excluded node.
        arguments += ["--indirect-selection", "empty", "--exclude", *exclude]
    return arguments


def scratch_arguments(
    window: Window, *, as_of: datetime, variables: Mapping[str, str], target_path: Path, select: Sequence[str]
) -> list[str]:
    """Return the arguments of a scratch build: seeds and models of ``select``, no tests (production's build has them).

    Args:
        variables: ``scratch``, the prefix of the schemas, and, where there is one, ``directory_schema``.
    """
    everything = {
        "window_start": window.start.isoformat(),
        "window_end": window.end.isoformat(),
        "as_of": as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        **variables,
    }
    arguments = ["build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"]
    arguments += ["--vars", json.dumps(everything), "--target-path", str(target_path), "--log-path", str(target_path)]
    return [*arguments, *NO_FILES, "--select", *select]
