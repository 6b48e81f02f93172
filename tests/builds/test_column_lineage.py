"""Column lineage out of compiled SQL, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builds import column_origins
from builds.column_lineage import project_lineage
from builds.column_origins import Model, trace
from builds.dbt_manifest import parsed_project
from orchestration.catalog.columns import described

STAGED = Model("staging.stg_calls", 'select sid as call_sid, price from "db"."raw"."calls"', ("raw.calls",))


def test_columns_are_followed_through_ctes_stars_joins_and_aggregates() -> None:
    mart = Model(
        "marts.costs",
        """
        with calls as (select * from "db"."staging"."stg_calls"),
        owners as (select * from "db"."staging"."owners"),
        final as (
            select owners.tenant_id, -sum(calls.price) as cost, count(*) as calls, 'usd'::text as currency
            from calls inner join owners on owners.sid = calls.call_sid group by 1
        )
        select * from final
        """,
        ("staging.stg_calls", "staging.owners"),
    )
    found = trace([STAGED, mart], {"staging.owners": ["sid", "tenant_id"]})
    assert found["staging.stg_calls"] == {"call_sid": [("raw.calls", "sid")], "price": [("raw.calls", "price")]}
    assert found["marts.costs"] == {
        "tenant_id": [("staging.owners", "tenant_id")],
        "cost": [("staging.stg_calls", "price")],
        "calls": [],
        "currency": [],
    }


def test_a_model_that_cannot_be_read_is_left_out_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    found = trace([Model("marts.broken", "select from from", ()), STAGED], {})
    assert list(found) == ["staging.stg_calls"]
    assert "no column lineage of marts.broken" in caplog.text


def test_the_project_is_traced_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    project = parsed_project()
    assert project_lineage(project, compute=False) == {}  # what a run's process does: it never waits for this
    found = project_lineage(project, compute=True)
    assert found["marts.usage_summary"]["estimated_cost_cents"] == [("marts.usage_daily", "estimated_cost_usd")]
    assert ("raw.twilio_messages", "price") in found["staging.stg_twilio__messages"]["price"]
    models = [node for node in project.data["nodes"].values() if node["resource_type"] == "model"]
    # What is ephemeral is part of what reads it: its columns are passed through.
    ephemeral = {node["alias"] for node in models if node["config"]["materialized"] == "ephemeral"}
    assert not {column for columns in found.values() for sources in columns.values() for column in sources} & ephemeral
    models = [node for node in models if node["alias"] not in ephemeral]
    # One model reads a set-returning function's own columns, which sqlglot cannot follow; another reads that one.
    unfollowed = {"marts.usage_line_records", "marts.unattributed_usage"}
    assert {f"{node['schema']}.{node['alias']}" for node in models} - found.keys() <= unfollowed

    monkeypatch.setattr(column_origins, "trace", lambda *_: pytest.fail("traced again"))
    assert project_lineage(project, compute=True) == found


def test_a_column_says_where_it_is_from() -> None:
    assert described("Minutes.", None) == "Minutes."
    assert described("Minutes.", [("a.b", "x"), ("a.b", "y"), ("c.d", "z")]) == "Minutes. ← `a.b`: x, y; `c.d`: z"
    assert described("", [("a.b", str(n)) for n in range(8)]) == "← `a.b`: 0, 1, 2, 3, 4, 5 and 2 more"
