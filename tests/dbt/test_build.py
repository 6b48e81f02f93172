"""`dbt build` by itself, dbt's own unit tests, and the profile that is made of one URL."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from dbt.cli.main import dbtRunner
from dbt.config.renderer import ProfileRenderer
from dbt.contracts.graph.manifest import Manifest
from dbt_common.context import set_invocation_context

from builds.ctes import quick_ctes
from builds.dbt_manifest import PROJECT, global_arguments, parsed_project
from builds.sessions import kept_sessions
from tests.dbt.conftest import ALL, Project, fill, prepare, track
from tests.proof import LONG

ROOT = PROJECT.parent
DBT = Path(sys.executable).with_name("dbt")


def invoke(target: Path, *arguments: str, manifest: Manifest | None = None) -> Any:
    """Run dbt in this process, which parses the project anew unless it is given its manifest."""
    return dbtRunner(manifest=manifest).invoke(
        [*arguments, *global_arguments(), "--target-path", str(target), "--log-path", str(target)]
    )


def unit_tests_pass(target: Path) -> int:
    # The fixtures take their types from relations, so these have to exist.
    with quick_ctes(), kept_sessions():
        outcome = invoke(target, "test", "--select", "test_type:unit", manifest=parsed_project().manifest)
    failed = [f"{result.node.name}: {result.message}" for result in outcome.result if result.status != "pass"]
    assert failed == []
    return len(outcome.result)


def test_unit_tests_pass(built: Project, tmp_path: Path) -> None:
    built.set_for_all_sessions("timezone", "Pacific/Auckland")
    assert unit_tests_pass(tmp_path) > 40


def test_fixtures_have_the_types_of_the_ephemeral_models(built: Project, tmp_path: Path) -> None:
    text = (PROJECT / "macros" / "fixtures.sql").read_text()
    declared = ast.literal_eval(text[text.index("return({") + 7 : text.rindex("}) }}") + 1].replace("~ '", "'"))
    selection = ["--select", "config.materialized:ephemeral"]
    compiled = invoke(tmp_path, "compile", *selection, manifest=parsed_project().manifest)
    models = {result.node.name: result.node for result in compiled.result if result.node.resource_type == "model"}
    assert models.keys() == declared.keys()
    with psycopg.connect(built.url) as connection:
        for name, node in models.items():
            connection.execute(f"create temporary view {name} as {node.compiled_code}".encode())
            found = connection.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = to_regclass('pg_temp.' || %s) and attnum > 0",
                (name,),
            ).fetchall()
            types = {column: kind for kind, columns in declared[name].items() for column in columns.split()}
            assert dict(found) == types, name
            assert types.keys() >= node.columns.keys()


# What is always tried there: migrations, every route of the API, a restore.
@LONG
def test_the_oldest_server_builds_the_same_marts(
    tracked: Project, oldest_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", oldest_database)
    prepare(oldest_database).set_for_all_sessions("timezone", "Pacific/Auckland")
    oldest = Project(oldest_database)
    with oldest.in_one_session():
        fill(oldest)
        track(oldest)
    oldest.build_and_test(*ALL)
    # Another version sorts otherwise.
    found, wanted = ({name: sorted(rows, key=str) for name, rows in of.marts().items()} for of in (oldest, tracked))
    assert found == wanted
    assert unit_tests_pass(tmp_path) > 40


def test_plain_build_needs_only_the_url(filled: Project, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment["METERING_DATABASE_URL"] = filled.url
    # Without its unit tests, which take most of the time: the tests above run them.
    arguments = ["build", "--exclude-resource-type", "unit_test", "--warn-error"]
    arguments += ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    ran = subprocess.run(
        [str(DBT), *arguments, "--target-path", str(tmp_path), "--log-path", str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert len(filled.mart("usage_daily")) > 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://me:secret@db.example.com:6543/metering",
            ("db.example.com", 6543, "me", "secret", "metering", "prefer"),
        ),
        (
            "postgres://m%40e:p%40ss%2Fw%3A%25@db/metering",
            ("db", 5432, "m@e", "p@ss/w:%", "metering", "prefer"),
        ),
        ("postgresql://me@db/metering", ("db", 5432, "me", "-", "metering", "prefer")),
        ("postgresql://db:5433/metering", ("db", 5433, "postgres", "-", "metering", "prefer")),
        (
            "postgresql://postgres:-@%2Ftmp%2Fp%20g/metering",
            ("/tmp/p g", 5432, "postgres", "-", "metering", "prefer"),
        ),
        (
            "postgresql://me:x@db:5432/my%2Ddb?connect_timeout=3&sslmode=verify-full",
            ("db", 5432, "me", "x", "my-db", "verify-full"),
        ),
        ("postgresql://me:x@db/metering?sslmode=require", ("db", 5432, "me", "x", "metering", "require")),
    ],
)
def test_profile_of_a_url(
    url: str, expected: tuple[str, int, str, str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", url)
    raw = yaml.safe_load((PROJECT / "profiles.yml").read_text())["usage_metering"]["outputs"]["default"]
    set_invocation_context(os.environ)
    found = ProfileRenderer({}).render_data(raw)
    assert tuple(found[name] for name in ("host", "port", "user", "password", "dbname", "sslmode")) == expected
