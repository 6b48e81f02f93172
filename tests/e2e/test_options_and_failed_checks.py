"""What the launchpad's options do to a run, and what the UI is told of a dbt test that fails."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from ingestion.run import PROVIDERS
from orchestration.automation.jobs import REBUILD
from orchestration.definitions import build_definitions
from orchestration.options import default_config
from orchestration.resources import hold_connections
from tests.e2e.system import System

DAY = "2026-11-08"
TAGS = {"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": DAY}
BROKEN_TEST = "stg_twilio__messages__usage_date_is_the_utc_day"


def run(instance: dg.DagsterInstance, **options: Any) -> dg.ExecuteInProcessResult:
    """Run the job over the day with some of the launchpad's choices changed."""
    config = default_config()
    config["resources"]["options"]["config"] |= options
    config["loggers"] = {"console": {"config": {"log_level": "CRITICAL"}}}
    job = build_definitions().resolve_job_def(REBUILD)
    return job.execute_in_process(instance=instance, run_config=config, tags=TAGS, raise_on_error=False)


def errors(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return why steps failed."""
    return [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]


def written(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Return the materializations' metadata by asset."""
    return {
        "/".join(event.asset_key.path): {name: entry.value for name, entry in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Return the checks' evaluations by asset and name."""
    return {("/".join(found.asset_key.path), found.check_name): found for found in result.get_asset_check_evaluations()}


@pytest.mark.timeout(600)
def test_options_choose_the_steps_and_a_failed_test_shows_its_rows(system: System) -> None:
    with dg.DagsterInstance.get() as instance:
        hold_connections(instance)
        ingested = run(instance, steps="ingest", sources={name: name == "twilio" for name in PROVIDERS})
        assert ingested.success, errors(ingested)
        assets = written(ingested)
        assert assets["raw/twilio_messages"]["status"] == "ok"
        assert assets["raw/twilio_messages"]["dagster/partition_row_count"] > 0
        assert assets["raw/openai_costs"]["status"] == "not asked"
        assert not any(key.startswith(("marts/", "ops/")) for key in assets)
        answered = checks(ingested)
        assert answered["raw/twilio_messages", "answered"].passed
        assert not answered["raw/openai_costs", "answered"].passed  # no run has ever asked for this day
        assert system.query("select provider from ops.ingest_runs") == [("twilio",)]

        built = run(instance, steps="build")
        assert built.success, errors(built)
        assets = written(built)
        assert assets["raw/twilio_messages"]["status"] == "not asked"
        assert checks(built)["raw/twilio_messages", "answered"].passed
        assert len(system.query("select 1 from ops.ingest_runs")) == 1
        ((rows, cost),) = system.query("select count(*), sum(estimated_cost_usd) from marts.usage_daily")
        daily = assets["marts/usage_daily"]
        assert (daily["dagster/partition_row_count"], daily["cost_usd"]) == (rows, pytest.approx(float(cost)))
        assert daily["duration_seconds"] > 0
        assert assets["ops/source_days"]

        marts = "select ctid::text, xmin::text from marts.usage_daily union all select ctid::text, xmin::text from marts.tenant_monthly"
        made = system.query(marts)
        twilio_only = run(instance, only_changes=True, sources={name: name == "twilio" for name in PROVIDERS})
        assert twilio_only.success, errors(twilio_only)
        assets = written(twilio_only)
        assert assets["raw/twilio_messages"]["unchanged_units"] == assets["raw/twilio_messages"]["answered_units"] > 0
        for key in assets:
            assert not key.startswith("marts/") or assets[key]["made_by_run"] == built.run_id
        assert assets["marts/usage_daily"]["unchanged_since"]
        assert checks(twilio_only)["raw/twilio_messages", "taken_in"].passed
        assert set(system.query(marts)) == set(made)
        system.execute("update raw.twilio_messages set price = price")
        news = written(run(instance, steps="build", only_changes=True))["marts/usage_daily"]
        assert "unchanged_since" not in news
        assert set(system.query(marts)) != set(made)

        ((sid,),) = system.query("select max(sid) from raw.twilio_messages")
        system.execute("update raw.twilio_messages set date_sent = date_sent - interval '2 days' where sid = %s", sid)
        failed = run(instance, steps="build", failing_rows=5)
        assert not failed.success
        found = checks(failed)["marts/usage_daily", BROKEN_TEST]
        assert not found.passed
        assert found.metadata["failures"].value == 1
        table = str(found.metadata["failing_rows"].value).splitlines()
        assert table[0].startswith(r"| message\_sid | account\_sid | usage\_date |")
        assert [line.split(" ")[1] for line in table[2:3]] == [sid]
        assert "stg_twilio__messages" in str(found.metadata["query"].value)
        # What dbt came to before it, and only that.
        assert checks(failed)["marts/usage_daily", "stg_directory__tenants__periods_do_not_overlap"].passed
        not_run = checks(failed)["marts/usage_daily", "usage_daily_equals_staging"]
        assert (not_run.passed, not_run.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert str(not_run.metadata["message"].value).startswith("not run")
        assert "marts/usage_daily" not in written(failed)
        assert "ops/source_days" not in written(failed)
