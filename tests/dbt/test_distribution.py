"""Models give the same figures where they read what `builds/gathering.py` has gathered, as they do on Citus; what stands in for Citus here
leaves the tables where they are.
"""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from builds.build import BuildFailed
from builds.column_lineage import _models
from builds.dbt_manifest import DATABASE_VARIABLE, parsed_project
from builds.gathering import gather
from builds.scratch import scratch
from ingestion.windows import Window
from tests.dbt.conftest import ALL, AS_OF, Project
from tests.obstacles import obstacles, reads_spread
from tests.stand_in import stand_in_for_citus
from warehouse.errors import WarehouseUnavailable
from warehouse.migrate import migrate

VIEWS = "select viewname, definition from pg_views where schemaname in ('staging', 'intermediate', 'marts')"


@pytest.fixture
def spread(tracked: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The tracked world with calls, recordings and refunds that are of other days' records, built as on one server; then spread."""
    call = {
        "account_id": "ACz",
        "direction": "outbound-dial",
        "status": "completed",
        "duration_seconds": 70,
        "load_id": "test",
    }
    legs = [
        {
            **call,
            "usage_date": "2026-03-02",
            "sid": sid,
            "parent_call_sid": parent,
            "start_time": "2026-03-02 00:00:01+00",
        }
        for sid, parent in (("CAleg", "CA2026-03-01a"), ("CAleg of leg", "CAleg"))
    ]
    tracked.insert("twilio_calls", legs)
    recording = {
        "account_id": "ACz",
        "usage_date": "2026-03-02",
        "sid": "RE",
        "call_sid": "CAleg of leg",
        "status": "completed",
    }
    tracked.insert(
        "twilio_recordings",
        [{**recording, "duration_seconds": 70, "date_created": "2026-03-02 00:02:00+00", "load_id": "test"}],
    )
    money = {"account_id": "platform", "currency": "usd", "fee_minor": 59, "net_minor": 0, "application_fee_minor": 0}
    tracked.insert(
        "stripe_balance_transactions",
        [
            {
                **money,
                "usage_date": day,
                "id": name,
                "type": kind,
                "amount_minor": 1_000,
                "charge_id": "ch",
                "source_id": source,
            }
            | {"metadata_tenant_id": tenant, "created": f"{day} 10:00:00+00", "load_id": "test"}
            for day, name, kind, source, tenant in (
                ("2026-02-27", "txn charge", "charge", "ch", "a"),
                ("2026-03-02", "txn refund", "refund", "re", None),
                ("2026-03-02", "txn dispute", "adjustment", "dp", None),
            )
        ],
    )
    return tracked


def nobodys(project: Project) -> list[tuple[object, ...]]:
    return project.execute("select to_jsonb(u) from marts.unattributed_usage as u order by 1")


def test_every_mart_is_the_same_whether_the_rows_are_gathered_or_not(
    spread: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread.build_and_test(*ALL)
    marts, of_nobody = spread.marts(), nobodys(spread)
    assert of_nobody
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    spread.execute(stand_in_for_citus().decode())
    migrate(spread.url)
    spread.empty_marts()
    # By months, and a single day again: what is asked of other days must be gathered, too.
    for first, last in (("2026-02-01", "2026-02-28"), ("2026-03-01", "2026-03-20"), ("2026-03-02", "2026-03-02")):
        spread.build_and_test(first, last)
    assert spread.marts() == marts
    assert nobodys(spread) == of_nobody
    # No model asks the workers: each look-up would bring a whole history.
    assert [name for name, text in spread.execute(VIEWS) if reads_spread(text)] == []
    # Of other days only what is nobody's stays.
    kept = spread.execute("select distinct account_id from gathered.twilio_messages where usage_date <> '2026-03-02'")
    assert kept == [("ACx",)]


def test_a_model_has_none_of_citus_s_obstacles(monkeypatch: pytest.MonkeyPatch) -> None:
    """For it reads no table that is spread, but for sums of all messages."""
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    models = {model.relation: model.sql for model in _models(parsed_project())}
    assert [name for name, text in models.items() if reads_spread(text)] == ["marts.usage_reconciliation"]
    assert obstacles(models["marts.usage_reconciliation"], ()) == []
    assert reads_spread(models["staging.stg_tracking__events"].replace("lineage_gathered", "raw"))


def test_models_depend_on_the_same_with_either_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or Dagster would be told twice that a mart depends on a table of raw, and load nothing: staging alone depends on these."""
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    # Of another database: parsed anew.
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://nobody:-@127.0.0.1/spread")
    models = [node for node in parsed_project().data["nodes"].values() if node["resource_type"] == "model"]
    of_raw = {node["name"] for node in models if any(".raw." in name for name in node["depends_on"]["nodes"])}
    assert "stg_twilio__messages" in of_raw
    assert {name for name in of_raw if not name.startswith("stg_")} == set()
    # A parse is kept, and read again after the setting has changed.
    (asked_between_builds,) = parsed_project().data["functions"].values()
    assert "model.usage_metering.stg_tracking__events" in asked_between_builds["depends_on"]["nodes"]


def test_what_is_kept_of_nobody_s_goes_where_the_provider_takes_it_back(
    spread: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    spread.execute(stand_in_for_citus().decode())
    migrate(spread.url)
    spread.build_and_test("2026-02-28", "2026-03-02")
    # Two vanish, and an event is about one of them; one goes to another day.
    spread.execute("delete from raw.twilio_messages where sid in ('SM2026-03-01x', 'SM2026-02-28x')")
    spread.execute(
        "update raw.twilio_messages set usage_date = '2026-03-03', date_sent = '2026-03-03 09:00Z' where sid = 'SM2026-03-02x'"
    )
    gone = "SM2026-02-28x"
    spread.event("late", "2026-03-02 09:00:00", external_id=gone, record_key=gone)
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        spread.build_and_test(day, day)
    sums = (
        "select date::text, tenant_id, sum(unit_count) from marts.usage_daily"
        " where channel = 'sms' and date >= '2026-03-01' group by 1, 2 order by 1, 2"
    )
    found = spread.execute(sums)
    monkeypatch.delenv("METERING_DISTRIBUTION")
    spread.build_and_test("2026-03-01", "2026-03-03")
    assert found == spread.execute(sums)


def test_what_is_somebody_s_by_now_is_kept_no_longer(spread: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    spread.execute(stand_in_for_citus().decode())
    migrate(spread.url)
    days = "select count(distinct usage_date) from gathered.twilio_messages where account_id = 'ACx'"
    spread.build_and_test("2026-02-28", "2026-03-02")
    assert spread.execute(days) == [(3,)]
    spread.execute(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id) values ('a', 'twilio', 'subaccount', 'ACx')"
    )
    for day in ("2026-03-01", "2026-03-02", "2026-03-04"):
        spread.build_and_test(day, day)
    assert spread.execute(days) == [(1,)]
    of_tenants = "select distinct tenant_id from intermediate.int_settled_records where usage_date = '2026-03-01' and service = 'twilio_sms'"
    assert ("unattributed",) not in spread.execute(of_tenants)


def test_without_citus_a_build_says_what_to_do(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    window = Window.of_days(date(2026, 3, 1), date(2026, 3, 1))
    with (
        psycopg.connect(database) as connection,
        pytest.raises(WarehouseUnavailable, match="no Citus: run `create extension citus` and `metering migrate`"),
    ):
        gather(connection, window)


def test_a_build_refuses_to_leave_out_a_shard(spread: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    spread.execute(stand_in_for_citus().decode())
    migrate(spread.url)
    spread.execute("insert into pg_dist_shard values ('raw.usage_events', 3, '3')")
    with pytest.raises(BuildFailed, match="run metering migrate"):
        spread.build_and_test("2026-03-01", "2026-03-01")


def test_a_table_that_workers_do_not_have_is_no_empty_one(spread: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    spread.execute(stand_in_for_citus().decode())
    migrate(spread.url)
    statement = 'select * from "a_database"."raw"."openai_costs"'
    with pytest.raises(psycopg.errors.RaiseException, match=r"reads raw\.openai_costs, and workers do not have it"):
        spread.execute("select raw.settle_on_workers('raw.usage_events', %s, '2026-03-01', '2026-03-02')", statement)


def test_a_scratch_build_gathers_for_itself(spread: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    spread.build(*ALL)
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    spread.execute(stand_in_for_citus().decode())
    migrate(spread.url)
    with scratch(spread.url) as made:
        made.build(Window.of_days(date(2026, 3, 1), date(2026, 3, 2)), as_of=AS_OF, select=["+usage_daily"])
        with psycopg.connect(spread.url) as connection:
            count = connection.execute(f"select count(*) from {made.schema('marts')}.usage_daily".encode()).fetchone()
            assert connection.execute("select to_regnamespace('gathered')").fetchone() == (None,)
    assert count == tuple(
        spread.execute("select count(*) from marts.usage_daily where date between '2026-03-01' and '2026-03-02'")[0]
    )
