"""The owner's list: what PostgreSQL takes for its first page, beside the baseline's query on the same rows."""

from __future__ import annotations

import os
import runpy
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench import baseline
from bench.report import Ratio, at_most
from warehouse import embedded
from warehouse.migrate import migrate

TENANTS = (6, 1_000, 10_000)
# What a page may take, in milliseconds of PostgreSQL's CPU time.
BOUNDS = {6: 5, 1_000: 5, 10_000: 10}
RUNS = {6: 200, 1_000: 60, 10_000: 10}
MONTHS = 12
MONTH = "2026-11"
# What the query reads of a build's marts. A month's rows lie together, as a build leaves them.
MARTS = """
set local role metering_transformer;
create table marts.tenants (
    tenant_id text primary key, name text, plan text, plan_label text, monthly_base_price_usd numeric(38, 18), status text,
    updated_at timestamptz default now()
);
create table marts.usage_monthly (
    tenant_id text, month text, channel text, unit_count numeric(38, 18), request_count bigint,
    estimated_cost_cents numeric(38, 18), updated_at timestamptz default now()
);
create table marts.tenant_monthly (
    tenant_id text, month text, openai_cost_cents numeric(38, 18), twilio_sms_cost_cents numeric(38, 18),
    twilio_voice_cost_cents numeric(38, 18), twilio_phone_cost_cents numeric(38, 18), total_cost_cents numeric(38, 18),
    total_messages bigint, total_ai_calls bigint, cost_change_percent numeric(38, 18),
    projected_cost_cents numeric(38, 18), margin_cents numeric(38, 18), adjustment_cents numeric(38, 18),
    usage_status text, unpriced_units jsonb, updated_at timestamptz default now(), sendgrid_cost_cents numeric(38, 18),
    stripe_cost_cents numeric(38, 18), google_places_cost_cents numeric(38, 18), storage_cost_cents numeric(38, 18),
    other_cost_cents numeric(38, 18)
);
-- Of days, which the owner's chart is kept of and this list does not read.
create table marts.usage_daily (date date, service text, request_count bigint, estimated_cost_usd numeric(38, 18));
create table marts.tenant_margin_monthly (
    tenant_id text, month text, own_cost_cents numeric(38, 18), shared_cost_cents numeric(38, 18),
    full_cost_cents numeric(38, 18), full_margin_cents numeric(38, 18), updated_at timestamptz default now()
);
create temporary view numbers as select n as number, 'tenant-' || n as tenant_id from generate_series(1, {tenants}) as n;
create temporary view months as
select to_char(date '{month}-01' - make_interval(months => back), 'YYYY-MM') as month
from generate_series({months} - 1, 0, -1) as back;
insert into marts.tenants
select tenant_id, 'Tenant ' || number, 'plan-' || number % 4, 'Plan', 99, 'active' from numbers;
insert into marts.usage_monthly
select tenant_id, month, channel, number % 977 + 0.5, number % 97, number % 911 + 0.125
from months, numbers, unnest('{{sms, mms, voice, email, ai, phone, storage}}'::text[]) as channel;
insert into marts.tenant_monthly
select
    tenant_id, month, 1.25, number % 911 + 0.5, 2, nullif(number % 9, 0), number % 9973 + 5.125, 10, 20, 1.5, 100, 50, 0,
    'ok', case when number % 20 = 0 then '{{"tokens": 5}}' else '{{}}' end::jsonb
from months, numbers;
insert into marts.tenant_margin_monthly
select tenant_id, month, 10.5, 0.25, 10.75, 88.25 from months, numbers;
create index on marts.usage_monthly (tenant_id, month);
create index on marts.usage_monthly (month);
create index on marts.tenant_monthly (tenant_id, month);
create index on marts.tenant_monthly (month);
create index on marts.tenant_margin_monthly (tenant_id, month);
create index on marts.tenant_margin_monthly (month);
select ops.protect_rows(('marts.' || mart)::regclass)
from unnest('{{tenants, usage_monthly, tenant_monthly, tenant_margin_monthly}}'::text[]) as mart;
"""
# What a build's end does for the list.
KEEP = """
insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status, sources)
values ('bench', '2026-11-01', '2026-12-01', now(), now(), now(), 'ok', '{}');
select ops.keep_lists('bench');
"""
OWNER = "set role metering_api; set metering.role = 'root_admin'; set metering.tenant_id = ''"
FIRST_PAGE = {
    **dict.fromkeys(("plans", "statuses", "min_ai_share", "search", "after_tenant", "after_number", "after_text")),
    "month": MONTH,
    "sort": "estimatedCostCents",
    "descending": True,
    "limit": 50,
}


def run() -> list[Ratio]:
    """PostgreSQL's CPU time of the owner's list at 6, 1,000 and 10,000 tenants, beside the baseline's."""
    with baseline.sources() as root:
        queries = {
            name: runpy.run_path(str(folder / "api" / "admin" / "queries.py"))[statement]
            for name, folder, statement in (
                ("baseline", root, "TENANT_MONTHS"),
                ("now", Path(__file__).parents[1], "KEPT_TENANT_MONTHS"),
            )
        }
    return [ratio for tenants in TENANTS for ratio in _measured(tenants, queries)]


def _agree(before: Any, now: Any) -> bool:
    """Return whether two answers say the same of what both say: the list has got columns since."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(_agree(before[name], now[name]) for name in before.keys() & now.keys())
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        return len(before) == len(now) and all(map(_agree, before, now))
    return bool(before == now)


def _measured(tenants: int, queries: dict[str, str]) -> list[Ratio]:
    folder = Path(tempfile.mkdtemp(prefix="metering-bench-"))
    try:
        url = embedded.start(folder / "pg")
        migrate(url)
        with psycopg.connect(url) as connection:
            connection.execute(MARTS.format(tenants=tenants, month=MONTH, months=MONTHS).encode())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("vacuum analyze")
            before = _cpu_of(connection.info.backend_pid)
            connection.execute(KEEP)
            kept = (_cpu_of(connection.info.backend_pid) - before) / MONTHS * 1000
            connection.execute("vacuum analyze")
            connection.execute(OWNER)
            answers: dict[str, Any] = {}

            def cpu(name: str) -> float:
                before = _cpu_of(connection.info.backend_pid)
                for _ in range(RUNS[tenants]):
                    answers[name] = connection.execute(queries[name].encode(), FIRST_PAGE, prepare=False).fetchall()
                return (_cpu_of(connection.info.backend_pid) - before) / RUNS[tenants] * 1000

            figures = baseline.alternate({name: lambda name=name: cpu(name) for name in queries})  # type: ignore[misc]
        if not _agree(answers["baseline"], answers["now"]):
            raise AssertionError(f"the list of {tenants} tenants is not the baseline's")
    finally:
        embedded.stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)
    now, before_now = (baseline.spread(figures[name], " ms") for name in ("now", "baseline"))
    what = f"the owner's list, {tenants:,} tenants: PostgreSQL's CPU"
    return [
        at_most(f"{what} / {BOUNDS[tenants]} ms", median(figures["now"]) / BOUNDS[tenants], 1, now),
        at_most(
            f"{what} / the baseline's",
            median(figures["now"]) / median(figures["baseline"]),
            1,
            f"{now}; baseline {before_now}; a build keeps a month that has changed in {kept:,.0f} ms",
        ),
    ]


def _cpu_of(process: int) -> float:
    """Return the CPU seconds of one process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
