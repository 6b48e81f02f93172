"""Scratch builds: the same figures in schemas of their own, nothing of production touched, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

from builds.dbt_command import NO_FILES
from builds.dbt_manifest import PROJECT, global_arguments
from builds.scratch import ScratchFailed, scratch, sweep
from tests.dbt.conftest import ALL, AS_OF, Project, window

MARTS = ["+usage_daily", "+usage_summary", "+usage_activity_daily", "+tenant_monthly"]


def rows(project: Project, schema: str, mart: str) -> list[str]:
    found = project.execute(f"select (to_jsonb(t) - 'updated_at')::text from {schema}.{mart} as t order by 1")
    return [row[0] for row in found]


def schemas(project: Project) -> set[str]:
    return {row[0] for row in project.execute("select nspname from pg_namespace where nspname like 'scratch%'")}


def test_it_equals_the_marts_and_leaves_nothing(built: Project) -> None:
    before = built.execute("select to_jsonb(b) from ops.builds as b")
    updated = built.execute("select max(updated_at) from marts.usage_daily")
    with scratch(built.url) as made:
        # Two windows into the same schemas: the second replaces its days, the first stays.
        made.build(window(ALL[0], "2026-02-28"), as_of=AS_OF, select=MARTS)
        made.build(window("2026-03-01", ALL[1]), as_of=AS_OF, select=MARTS)
        for mart in ("usage_daily", "usage_summary", "usage_activity_daily", "tenant_monthly"):
            expected = rows(built, "marts", mart)
            assert expected
            assert rows(built, made.schema("marts"), mart) == expected
        assert built.execute(f"select count(*) from pg_policies where schemaname = '{made.schema('marts')}'") == [(0,)]
        assert built.execute(
            "select count(*) from information_schema.role_table_grants where grantee = 'metering_api' and table_schema like 'scratch%'"
        ) == [(0,)]
    assert schemas(built) == set()
    assert built.execute("select to_jsonb(b) from ops.builds as b") == before
    assert built.execute("select max(updated_at) from marts.usage_daily") == updated


def test_its_manifest_is_what_a_parse_with_its_schemas_gives(built: Project, tmp_path: Path) -> None:
    with scratch(built.url) as made:
        parsed = dbtRunner().invoke(
            [
                *("parse", *global_arguments(), "--vars", json.dumps(dict(made.variables))),
                *("--target-path", str(tmp_path), "--log-path", str(tmp_path), *NO_FILES),
            ]
        )
        assert isinstance(parsed.result, Manifest), parsed.exception

        def relations(manifest: Manifest) -> dict[str, tuple[str, str | None]]:
            return {
                name: (node.schema, node.relation_name)
                for name, node in [*manifest.nodes.items(), *manifest.functions.items()]
            }

        assert relations(made.manifest) == relations(parsed.result)


def test_other_seeds_and_another_directory_change_only_the_scratch(built: Project) -> None:
    seed = (PROJECT / "seeds" / "price_book.csv").read_text()
    dearer = seed.replace("twilio_sms,outbound,,,unit,0.0083", "twilio_sms,outbound,,,unit,0.0166")
    assert dearer != seed

    def all_pro(connection: psycopg.Connection, schema: str) -> None:
        connection.execute(f"update {schema}.tenants set plan = 'pro'".encode())

    cost = "select sum(estimated_cost_usd) from {}.usage_daily where channel = 'sms'"
    before = built.execute(cost.format("marts"))[0][0]
    with scratch(built.url, seeds={"price_book.csv": dearer}, directory=all_pro) as made:
        made.build(window(*ALL), as_of=AS_OF, select=MARTS)
        assert built.execute(cost.format(made.schema("marts")))[0][0] == 2 * before > Decimal(0)
        assert built.execute(f"select distinct plan from {made.schema('staging')}.stg_directory__tenants") == [("pro",)]
    assert built.execute(cost.format("marts"))[0][0] == before
    assert built.execute("select distinct plan from staging.stg_directory__tenants order by 1") == [
        ("pro",),
        ("starter",),
    ]


def test_a_failed_build_is_one_line_and_dropped(built: Project) -> None:
    seed = (PROJECT / "seeds" / "price_book.csv").read_text().replace("unit,0.0083,1", "unit,dear,1", 1)
    with (
        pytest.raises(ScratchFailed, match=r"^the scratch build failed: price_book: .*dear"),
        scratch(built.url, seeds={"price_book.csv": seed}) as made,
    ):
        made.build(window(*ALL), as_of=AS_OF, select=MARTS)
    assert schemas(built) == set()


def test_a_killed_process_s_schemas_are_swept_and_a_living_one_s_are_not(built: Project) -> None:
    script = (
        "import os, time; from builds.scratch import scratch\n"
        "with scratch(os.environ['METERING_DATABASE_URL'], directory=lambda c, s: None) as made:\n"
        "    print(made.prefix, flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=PROJECT.parent, env=dict(os.environ)
    )
    try:
        assert child.stdout is not None
        prefix = child.stdout.readline().strip()
        assert f"{prefix}_raw" in schemas(built)
        with psycopg.connect(built.url, autocommit=True) as connection:
            assert sweep(connection) == []
            child.send_signal(signal.SIGKILL)
            child.wait()
            deadline = time.monotonic() + 10
            while not (swept := sweep(connection)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert swept == [prefix]
    finally:
        child.kill()
        child.wait()
    assert schemas(built) == set()
