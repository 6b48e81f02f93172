"""One side of ``bench.build``, run with the sources of either commit: a day of messages, built, and what that took of the processor.

It prints CPU seconds of this process and of PostgreSQL together as one JSON object: of the day's first build, of its next one, and
of the same rows by COPY and one hand-written GROUP BY with prices.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources may lack the next one

from bench.baseline import postgres_cpu  # noqa: E402
from bench.stage import Stage, stage  # noqa: E402
from builds.build import NodeResult, run_build  # noqa: E402
from ingestion.windows import Window  # noqa: E402
from sandbox import Dataset  # noqa: E402

AS_OF = date(2026, 11, 10)
FULL = AS_OF - timedelta(days=2)
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
from (select date '{day}' as day) as days, generate_series(1, {messages}) as n
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
BY_HAND = """
create table by_hand as
select
    resources.tenant_id, messages.usage_date, channel, direction, count(*) as requests, sum(units) as units,
    sum(units * unit_price) as estimated, sum(abs(messages.price)) as billed
from (
    select
        copied.*, direction = 'inbound' as is_inbound, case when num_media > 0 then 'mms' else 'sms' end as channel,
        case when num_media > 0 then 1 else greatest(num_segments, 1) end as units
    from copied where status not in ('failed', 'canceled')
) as messages
left join raw.tenant_resources as resources on messages.account_id = resources.resource_id
left join (values ('sms', 0.0083), ('mms', 0.02)) as prices (kind, unit_price) on messages.channel = prices.kind
group by 1, 2, 3, 4
"""


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--percent", type=int, default=0)
    parser.add_argument("--days", type=int, default=0, help="days of 4,000 messages behind the day")
    parser.add_argument("--nodes", action="store_true", help="also print the seconds of each step")
    options = parser.parse_args()
    first = FULL - timedelta(days=options.days)
    with (
        stage(Dataset(), start=first, as_of=AS_OF) as system,
        psycopg.connect(system.url, autocommit=True) as connection,
    ):
        connection.execute(DIRECTORY.format(tenants=TENANTS).encode())
        for behind in range(options.days, -1, -1):
            day = FULL - timedelta(days=behind)
            of_day = {"day": day, "tenants": TENANTS, "percent": options.percent}
            messages = 4_000 if options.days else options.messages
            connection.execute(MESSAGES.format(messages=messages, **of_day).encode())
            connection.execute(EVENTS.format(**of_day).encode())
        result: dict[str, Any] = {}
        if options.days:
            _build(system, Window(first, FULL))
        result["first"], nodes = _build(system, Window(FULL, FULL + timedelta(days=1)))
        result["again"], nodes = _build(system, Window(FULL, FULL + timedelta(days=1)))
        result["by_hand"] = _by_hand(system, connection)
    if options.nodes:
        for node in sorted(nodes, key=lambda one: -one.seconds)[:40]:
            print(f"{node.seconds:8.2f} {node.unique_id}")
    print(json.dumps(result))


def _build(system: Stage, window: Window) -> tuple[float, list[NodeResult]]:
    """Build ``window`` and return its CPU seconds and steps."""
    started = time.process_time() + postgres_cpu(system.folder / "pg")
    noon = datetime.combine(AS_OF, datetime.min.time(), tzinfo=UTC) + timedelta(hours=12)
    nodes = run_build(system.url, window, as_of=noon, build_id=uuid.uuid4().hex, tables=["twilio_messages"])
    return time.process_time() + postgres_cpu(system.folder / "pg") - started, nodes


def _by_hand(system: Stage, connection: psycopg.Connection) -> float:
    """COPY the day's rows into a table like raw's and sum them; return the CPU seconds."""
    rows = io.BytesIO()
    with connection.cursor() as cursor:
        with cursor.copy(
            f"copy (select * from raw.twilio_messages where usage_date = '{FULL}') to stdout".encode()
        ) as out:
            for block in out:
                rows.write(block)
        connection.execute("create table copied (like raw.twilio_messages including all)")
        started = time.process_time() + postgres_cpu(system.folder / "pg")
        with cursor.copy("copy copied from stdin") as into:
            into.write(rows.getvalue())
        connection.execute("analyze copied")
        connection.execute(BY_HAND.encode())
    return time.process_time() + postgres_cpu(system.folder / "pg") - started


if __name__ == "__main__":
    main()
