"""Relations from build to build: no needless DDL, no reading of history, no part that breaks the rest."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from builds import static_nodes
from builds.build import BuildFailed, run_build
from builds.dbt_command import build_arguments
from builds.dbt_manifest import global_arguments, parsed_project
from tests.conftest import fresh_database
from tests.dbt.conftest import ALL, AS_OF, Project, window

ONE_DAY = ("2026-03-18", "2026-03-18")
HISTORY = "generate_series('2026-01-01'::timestamptz, '2026-03-20', '1 day') as day"


def build_part(project: Project, target: Path, first: str, last: str, *select: str) -> Any:
    """Build only what ``select`` names."""
    arguments = build_arguments(
        window(first, last), as_of=AS_OF, build_id=uuid.uuid4().hex, target_path=target, select=select
    )
    return dbtRunner(manifest=parsed_project().manifest).invoke([*arguments, *global_arguments()])


def relations(project: Project) -> dict[str, tuple[int, ...]]:
    """Return each relation's oid and the transaction that last changed its definition."""
    rows = project.execute(
        "select nspname || '.' || relname, pg_class.oid::bigint, pg_rewrite.xmin::text::bigint"
        " from pg_class join pg_namespace on relnamespace = pg_namespace.oid"
        " left join pg_rewrite on ev_class = pg_class.oid"
        " where nspname in ('staging', 'intermediate', 'marts') and relkind in ('r', 'v')"
    )
    return {name: tuple(rest) for name, *rest in rows}


def tuples_read(project: Project, table: str) -> int:
    """Return how many rows of a raw table have been read so far, by whatever kind of scan."""
    project.execute("select pg_stat_force_next_flush()")
    ((read,),) = project.execute(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables"
        " where schemaname = 'raw' and (relname = %s or relname like %s)",
        table,
        f"{table}_20%",
    )
    return int(read)


def test_a_day_costs_the_same_whatever_the_history(project: Project) -> None:
    project.execute(
        "insert into raw.twilio_messages"
        " (account_id, usage_date, sid, direction, status, num_segments, date_sent, load_id)"
        " select 'ACa', (day at time zone 'UTC')::date, 'SM' || day || n, 'outbound-api', 'delivered',"
        " 1, day, 'test'"
        f" from {HISTORY}, generate_series(1, 200) as n"
    )
    # Child legs of children: each asks its parent, and none of them may read the table to find it.
    project.execute(
        "insert into raw.twilio_calls"
        " (account_id, usage_date, sid, parent_call_sid, direction, status, duration_seconds,"
        "  start_time, load_id)"
        " select case when n % 3 = 0 then 'ACa' else 'ACnobody' end, (day at time zone 'UTC')::date,"
        " 'CA' || day || n, case when n % 3 > 0 then 'CA' || day || (n - 1) end, 'outbound-dial', 'completed',"
        " 60, day, 'test'"
        f" from {HISTORY}, generate_series(0, 89) as n"
    )
    project.execute(
        "insert into raw.openai_usage_completions"
        " (account_id, usage_date, project_id, model, input_tokens, cached_input_tokens, output_tokens,"
        "  num_model_requests, load_id)"
        " select 'org', (day at time zone 'UTC')::date, 'proj_a', 'gpt-4o-' || n, 1, 0, 1, 1, 'test'"
        f" from {HISTORY}, generate_series(1, 60) as n"
    )
    project.execute(
        "insert into raw.openai_costs"
        " (account_id, usage_date, project_id, line_item, currency, amount, load_id)"
        " select 'org', (day at time zone 'UTC')::date, 'proj_a', 'gpt-4o-' || n || ', input', 'usd',"
        " 1, 'test'"
        f" from {HISTORY}, generate_series(1, 60) as n"
    )
    project.execute(
        "insert into raw.sendgrid_subuser_stats (account_id, usage_date, requests, load_id)"
        " select 'sub' || n, (day at time zone 'UTC')::date, 1, 'test'"
        f" from {HISTORY}, generate_series(1, 60) as n"
    )
    project.execute(
        "insert into raw.twilio_recordings"
        " (account_id, usage_date, sid, call_sid, status, duration_seconds, date_created, load_id)"
        " select 'ACnobody', (day at time zone 'UTC')::date, 'RE' || day || n, 'CA' || day || n, 'completed', 60, day, 'test'"
        f" from {HISTORY}, generate_series(0, 59) as n"
    )
    # A charge and its refund a day later, of which the refund says nothing by itself.
    project.execute(
        "insert into raw.stripe_balance_transactions"
        " (account_id, usage_date, id, type, currency, amount_minor, fee_minor, net_minor, application_fee_minor, charge_id,"
        "  metadata_tenant_id, created, load_id)"
        " select 'platform', (day at time zone 'UTC')::date + is_refund, 'txn' || is_refund || day || n,"
        "  case is_refund when 1 then 'refund' else 'charge' end, 'usd', 100, 3, 97, 0, 'ch' || day || n,"
        "  case is_refund when 0 then 'a' end, day + make_interval(days => is_refund), 'test'"
        f" from {HISTORY}, generate_series(0, 29) as n, generate_series(0, 1) as is_refund"
    )
    project.execute(
        "insert into raw.r2_operations"
        " (account_id, usage_date, bucket, action_type, action_status, response_status, requests, load_id)"
        " select 'cf', (day at time zone 'UTC')::date, 'bucket ' || n, 'PutObject', 'success', 200, 5, 'test'"
        f" from {HISTORY}, generate_series(0, 59) as n"
    )
    # Of every service, about records and about nothing that a provider has, by either key.
    project.execute("select raw.ensure_usage_event_months(array['2026-01-01', '2026-02-01', '2026-03-01']::date[])")
    project.execute(
        "insert into raw.usage_events"
        " (event_key, external_id, tenant_id, service, operation, channel, direction, source, feature, model, units,"
        "  input_tokens, output_tokens, occurred_at, load_id)"
        " select case when n % 2 = 0 then 'SM' else 'event of ' end || day || n,"
        "  case when n % 2 = 1 then 'SM' || day || n end, 'a', service, operation, channel, 'outbound', source,"
        "  'feature ' || n % 3, case when service = 'openai' then 'gpt-4o-1' end, 1, 1, 0, day, 'test'"
        f" from {HISTORY}, generate_series(1, 100) as n"
        " join (values (0, 'twilio_sms', 'outbound', 'sms', 'twilio'), (1, 'openai', 'chat_completion', 'ai', 'openai'),"
        "  (2, 'internal', 'export', 'internal', 'internal')) as kinds (kind, service, operation, channel, source)"
        " on kind = n % 3"
    )
    project.execute("analyze")
    project.build("2026-01-01", "2026-03-20")
    project.execute("analyze")
    time.sleep(1.1)  # the server writes a closed connection's counts at most once a second
    rows_of_a_day = {
        "twilio_messages": 200,
        "twilio_calls": 90,
        "openai_usage_completions": 60,
        "openai_costs": 60,
        "sendgrid_subuser_stats": 60,
        "twilio_recordings": 60,
        "stripe_balance_transactions": 60,
        "r2_operations": 60,
        "usage_events": 100,
    }
    before = {table: tuples_read(project, table) for table in rows_of_a_day}

    project.build_and_test(*ONE_DAY)

    time.sleep(1.1)
    read = {table: tuples_read(project, table) - before[table] for table in rows_of_a_day}
    # Models and tests read a day a few times over; the history has 79 days.
    assert {table: count for table, count in read.items() if count > 12 * rows_of_a_day[table]} == {}
    assert min(read.values()) > 0
    found = project.mart("usage_daily", "date = '2026-03-18' and channel = 'voice'")
    assert [(row["tenant_id"], row["request_count"]) for row in found] == [("a", 90)]


def test_a_rebuild_of_the_same_days_changes_no_relation(built: Project) -> None:
    before = relations(built)
    policies = "select oid::bigint, xmin::text from pg_policy order by 1"
    protected = built.execute(policies)
    built.build(*ALL)
    assert relations(built) == before
    assert built.execute(policies) == protected


def test_other_days_replace_views_in_place(built: Project) -> None:
    before = relations(built)
    built.build(*ONE_DAY)
    assert {name: oids[0] for name, oids in relations(built).items()} == {
        name: oids[0] for name, oids in before.items()
    }


def test_building_a_part_leaves_the_rest_standing(built: Project, tmp_path: Path) -> None:
    before = built.marts()
    outcome = build_part(built, tmp_path, *ALL, "+usage_daily")
    assert outcome.success
    assert build_part(built, tmp_path, *ALL, "tenant_usage_status").success
    assert built.marts() == before


def test_usage_daily_refuses_views_of_other_days(built: Project, tmp_path: Path) -> None:
    before = built.marts()
    outcome = build_part(built, tmp_path, *ONE_DAY, "usage_daily")
    assert not outcome.success
    assert "select +usage_daily" in str([result.message for result in outcome.result])
    assert built.marts() == before


def test_a_view_whose_columns_changed_is_made_anew(built: Project) -> None:
    whole = built.marts()
    built.execute("drop view staging.stg_twilio__messages cascade")
    built.execute("set role metering_transformer; create view staging.stg_twilio__messages as select 1 as other")
    built.build(*ALL)
    assert built.marts() == whole


@pytest.mark.parametrize("was_table", [False, True], ids=["view", "table"])
def test_a_part_takes_no_view_along_that_it_does_not_make(built: Project, tmp_path: Path, was_table: bool) -> None:
    """marts.unattributed_usage stands on marts.usage_line_records, which an older version had otherwise."""
    if was_table:
        built.execute("drop view marts.usage_line_records cascade")
        built.execute("set role metering_transformer; create table marts.usage_line_records (line_id text)")
        built.execute(
            "set role metering_transformer; create view marts.unattributed_usage as table marts.usage_line_records"
        )
    else:
        built.execute("alter view marts.usage_line_records rename column attribution to rule")
        built.execute("comment on view marts.usage_line_records is 'of before'")
    stood, whole = views(built), built.marts()
    outcome = build_part(built, tmp_path, *ONE_DAY, "usage_line_records")
    assert views(built) == stood
    assert not outcome.success
    assert "select usage_line_records+" in str([result.message for result in outcome.result])
    assert build_part(built, tmp_path, *ONE_DAY, "usage_line_records+").success
    assert views(built).keys() >= {"marts.usage_line_records", "marts.unattributed_usage"}
    built.execute("select attribution from marts.usage_line_records")
    assert built.marts() == whole


@pytest.mark.parametrize("table", ["usage_lines", "price_sets"])
def test_lines_and_the_prices_that_they_name_are_replaced_at_once(built: Project, tmp_path: Path, table: str) -> None:
    """What a build has left that failed at one of the two is what everybody reads until it comes to it."""
    built.insert(
        "openai_usage_completions",
        [
            {
                "account_id": "org",
                "project_id": "proj_a",
                "usage_date": ONE_DAY[0],
                "model": "gpt-4o",
                "input_tokens": 5,
                "cached_input_tokens": 0,
                "output_tokens": 5,
                "num_model_requests": 1,
                "load_id": "test",
            }
        ],
    )
    names = "select (select count(*) from marts.usage_lines where price_model = 'gpt-4o'), (select count(*) from marts.price_sets where model = 'gpt-4o')"
    before = built.mart("usage_lines"), built.mart("price_sets")
    built.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;"
        f" create trigger refused before insert on marts.{table} for each row execute function public.refuse()"
    )
    outcome = build_part(built, tmp_path, *ONE_DAY, "+price_sets")
    assert "refused" in str([result.message for result in outcome.result])
    assert (built.mart("usage_lines"), built.mart("price_sets")) == before
    assert built.execute(names) == [(0, 0)]
    built.execute("drop function public.refuse() cascade")
    built.build(*ONE_DAY)
    assert built.execute(names) == [(1, 1)]


def test_what_only_code_changes_is_built_when_the_code_has_changed(
    built: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_code() -> set[str]:
        return {node.unique_id.split(".")[2] for node in built.build_and_test(*ONE_DAY)} & {
            "plans",
            "plans__no_gaps",
            "stg_twilio__messages",
            "usage_as_built",
        }

    assert of_code() == set()  # `built` was a build of all
    built.execute("drop view staging.stg_ops__source_reads cascade")
    everything = of_code()
    assert len(everything) == 4
    monkeypatch.setattr(static_nodes, "_code", lambda: "other code")
    built.execute("update staging.plans set monthly_base_price_usd = -1 where plan = 'pro'")
    built.execute("alter table marts.usage_monthly rename to kept; create view marts.usage_monthly as select 1 as one")
    with pytest.raises(BuildFailed):
        built.build_and_test(*ONE_DAY)
    built.execute("drop view marts.usage_monthly; alter table marts.kept rename to usage_monthly")
    assert of_code() == everything  # the failed build may have made a part of them
    assert of_code() == set()


def test_tables_of_an_older_version_get_their_new_columns(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_nodes, "_code", lambda: "other code")
    whole = built.marts()
    for table, column in (
        ("marts.usage_summary", "provisional_unit_count"),
        ("marts.usage_monthly", "provisional_unit_count"),
        ("marts.usage_monthly", "month_start"),
        ("marts.tenant_usage_status", "month_start"),
        ("marts.tenant_monthly", "month_start"),
        ("marts.tenant_margin_monthly", "month_start"),
        ("intermediate.int_usage_lines_estimated", "feature"),
        ("intermediate.int_usage_lines_estimated", "activity"),
    ):
        built.execute(f"alter table {table} drop column {column} cascade")
    built.build(*ONE_DAY)
    assert built.marts() == whole


def test_a_missing_or_older_policy_is_made_again(built: Project) -> None:
    policies = (
        "select relname, polname, pg_get_expr(polqual, polrelid), relrowsecurity from pg_class left join pg_policy"
        " on pg_class.oid = polrelid where relname = any(%s) order by 1, 2"
    )
    tampered = ["usage_daily", "usage_summary", "tenant_monthly"]
    wanted = built.execute(policies, tampered)
    built.execute(
        "drop policy own_tenant on marts.usage_daily; alter policy own_tenant on marts.usage_summary using (true);"
        " comment on policy own_tenant on marts.usage_summary is 'of an older version';"
        " alter table marts.tenant_monthly disable row level security"
    )
    for mart in tampered:
        assert built.execute(policies, [mart]) != [row for row in wanted if row[0] == mart]
    built.build(*ONE_DAY)
    assert built.execute(policies, tampered) == wanted


def test_every_column_is_described(built: Project) -> None:
    nodes = parsed_project().data["nodes"].values()
    silent = []
    for node in nodes:
        if node["resource_type"] not in ("model", "seed") or node["config"]["materialized"] == "ephemeral":
            continue
        columns = built.execute(
            "select column_name from information_schema.columns where table_schema = %s and table_name = %s",
            node["schema"],
            node["alias"],
        )
        described = {name for name, column in node["columns"].items() if column["description"]}
        assert {name for (name,) in columns} >= set(node["columns"]), node["name"]
        silent += [f"{node['name']}.{name}" for (name,) in columns if name not in described]
        assert columns, node["name"]
        assert node["description"], node["name"]
    assert silent == []


def views(project: Project) -> dict[str, tuple[int, ...]]:
    """Return each view's oid and the transaction that last changed its text."""
    return {name: found for name, found in relations(project).items() if found[1] is not None}


def comments(project: Project) -> dict[str, str]:
    """Return what the database says of each relation ('marts.tenants') and column ('marts.tenants.plan') of dbt's."""
    rows = project.execute(
        "select concat_ws('.', relnamespace::regnamespace, relname, attname), description from pg_description join pg_class on pg_class.oid = objoid"
        " left join pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0"
        " where classoid = 'pg_class'::regclass"
        " and relnamespace in ('staging'::regnamespace, 'intermediate'::regnamespace, 'marts'::regnamespace)"
    )
    return {str(name): str(comment) for name, comment in rows}


def test_descriptions_are_comments(built: Project) -> None:
    stored = comments(built)
    for node in parsed_project().data["nodes"].values():
        if node["resource_type"] not in ("model", "seed") or node["config"]["materialized"] == "ephemeral":
            continue
        relation = f"{node['schema']}.{node['alias']}"
        assert stored[relation].startswith(node["description"]), node["name"]
        for name, column in node["columns"].items():
            assert stored[f"{relation}.{name}"] == column["description"], (node["name"], name)


def test_comments_are_written_when_the_code_has_changed(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = comments(built)
    built.execute(
        "comment on table marts.tenants is 'of an older version'; comment on column marts.tenants.plan is null;"
        " comment on column staging.plans.label is null"
    )
    older = comments(built)
    built.build_and_test(*ONE_DAY)
    assert comments(built) == older
    monkeypatch.setattr(static_nodes, "_code", lambda: "other code")
    built.build_and_test(*ONE_DAY)
    assert comments(built) == wanted


def test_a_copy_under_another_name_has_the_views_of_its_original(
    server: str, built_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a restored backup: no view is made again because the database's name stands in its text."""
    for url in fresh_database(server, built_template, "moved"):
        monkeypatch.setenv("METERING_DATABASE_URL", url)
        moved = Project(url)
        before = views(moved), comments(moved)
        monkeypatch.setattr(static_nodes, "_code", lambda: "other code")
        moved.build(*ONE_DAY)
        assert (views(moved), comments(moved)) == before


def test_no_model_asks_the_clock() -> None:
    for node in parsed_project().data["nodes"].values():
        if node["resource_type"] == "model":
            for word in ("now()", "current_timestamp", "current_date", "clock_timestamp"):
                assert word not in node["raw_code"].lower(), node["name"]


def test_a_failed_build_says_which_test(built: Project) -> None:
    built.execute("update raw.twilio_messages set usage_date = usage_date + 1 where sid = 'SM2026-03-01a'")
    with pytest.raises(BuildFailed, match="stg_twilio__messages__usage_date_is_the_utc_day"):
        run_build(built.url, window(*ALL), as_of=AS_OF, build_id=uuid.uuid4().hex, tables=["twilio_messages"])
