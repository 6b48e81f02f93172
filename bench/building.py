"""One side of ``bench.build``, run with the sources of either commit: days of messages, built, and what that took of the processor.

Its days are of 0, 10 and 100 % tracked messages, and one without any. It prints as one JSON object, by day, the CPU seconds of this
process and of PostgreSQL together for a build of the day that was built before, and of the same rows by COPY and one GROUP BY with
prices; and the most MB that a build of the day of 100 % held.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources may lack the next ones

from bench.baseline import postgres_cpu  # noqa: E402
from bench.by_hand import by_hand  # noqa: E402
from bench.memory import held  # noqa: E402
from bench.stage import Stage, stage  # noqa: E402
from builds.build import NodeResult, run_build  # noqa: E402
from ingestion.windows import Window  # noqa: E402
from sandbox import Dataset  # noqa: E402

AS_OF = date(2026, 11, 10)
LAST = AS_OF - timedelta(days=2)
TENANTS = 1_000

DIRECTORY = """
insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled)
select 't' || n, 'Tenant ' || n, 'starter', 'active', false from generate_series(1, {tenants}) as n;
insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)
select 't' || n, 'twilio', 'subaccount', 'AC' || n from generate_series(1, {tenants}) as n;
"""
MESSAGES = """
insert into raw.twilio_messages (
    account_id, usage_date, sid, direction, status, num_segments, num_media, price, price_unit, date_sent, load_id
)
select
    'AC' || 1 + n % {tenants}, day, 'SM' || md5(day || ' ' || n), case when n % 5 = 0 then 'inbound' else 'outbound-api' end,
    case when n % 100 = 0 then 'failed' else 'delivered' end, 1 + n % 3, case when n % 20 = 0 then 1 else 0 end,
    case when n % 50 > 0 then -0.0083 * (1 + n % 3) end, 'USD', day + n * interval '80 ms', 'bench'
from generate_series(date '{first}', date '{last}', interval '1 day') as days (day), generate_series(1, {messages}) as n
"""
EVENTS = """
insert into raw.usage_events (
    event_key, external_id, tenant_id, service, operation, channel, direction, source, units, feature, occurred_at, load_id
)
select
    sid, sid, 't' || substr(account_id, 3), 'twilio_sms', 'outbound', 'sms', 'outbound', 'twilio', num_segments,
    case when num_segments = 2 then 'broadcast' else 'reminder' end, date_sent, 'bench'
from raw.twilio_messages
where usage_date = '{day}' and ('x' || right(sid, 6))::bit(24)::int % 100 < {percent}
"""
PERCENTS = {"0": LAST, "10": LAST - timedelta(days=1), "100": LAST - timedelta(days=2)}
DAYS = {**PERCENTS, "none": LAST - timedelta(days=3)}


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--nodes", action="store_true", help="also print the seconds of each step")
    options = parser.parse_args()
    result: dict[str, Any] = {name: {} for name in DAYS}
    with (
        stage(Dataset(), start=min(DAYS.values()), as_of=AS_OF) as system,
        psycopg.connect(system.url, autocommit=True) as connection,
    ):
        connection.execute(DIRECTORY.format(tenants=TENANTS).encode())
        for percent, day in PERCENTS.items():
            connection.execute(
                MESSAGES.format(first=day, last=day, tenants=TENANTS, messages=options.messages).encode()
            )
            connection.execute(EVENTS.format(day=day, percent=percent).encode())
        build(system, min(DAYS.values()), PERCENTS["0"])  # not counted: the first of a process, and of each day
        result["memory"] = held(partial(build, system, PERCENTS["100"], PERCENTS["100"]), system.folder / "pg")
        for name, day in DAYS.items():
            result[name]["again"], nodes = build(system, day, day)
            if options.nodes:
                for node in sorted(nodes, key=lambda one: -one.seconds)[:20]:
                    print(f"{name:>5}: {node.seconds:8.2f} {node.unique_id}")
        # Last: what the server does afterwards, on its own account, falls on no build.
        for name, day in PERCENTS.items():
            result[name]["by_hand"] = by_hand(system, f"usage_date = '{day}'")
    print(json.dumps(result))


def build(system: Stage, first: date, last: date) -> tuple[float, list[NodeResult]]:
    """Build the days ``first`` to ``last`` and return the CPU seconds and the steps."""
    started = time.process_time() + postgres_cpu(system.folder / "pg")
    noon = datetime.combine(AS_OF, datetime.min.time(), tzinfo=UTC) + timedelta(hours=12)
    window = Window(first, last + timedelta(days=1))
    nodes = run_build(system.url, window, as_of=noon, build_id=uuid.uuid4().hex, tables=["twilio_messages"])
    return time.process_time() + postgres_cpu(system.folder / "pg") - started, nodes


if __name__ == "__main__":
    main()
