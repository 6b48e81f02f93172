"""What a build is held against: the same messages by COPY, and the sums that somebody would write by hand for them."""

from __future__ import annotations

import io
import time

import psycopg

from bench.baseline import postgres_cpu
from bench.stage import Stage

LINES = """
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
SUMS = ("sum(requests) as requests", "sum(units) as units", "sum(estimated) as estimated", "sum(billed) as billed")
MARTS = (
    f"create table by_hand_summary as select tenant_id, usage_date, channel, {', '.join(SUMS)} from by_hand group by 1, 2, 3",
    "create table by_hand_monthly as select tenant_id, to_char(usage_date, 'YYYY-MM') as month, channel, "
    f"{', '.join(SUMS)} from by_hand_summary group by 1, 2, 3",
)


def by_hand(system: Stage, condition: str, *, marts: bool = False) -> float:
    """Return the CPU seconds of one COPY of raw.twilio_messages' rows and one GROUP BY with prices.

    Args:
        condition: which rows, of SQL.
        marts: also a day's and a month's sums of it.
    """
    rows = io.BytesIO()
    with psycopg.connect(system.url, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(f"copy (select * from raw.twilio_messages where {condition}) to stdout".encode()) as out:
            for block in out:
                rows.write(block)
        cursor.execute("create table copied (like raw.twilio_messages including all)")
        started = time.process_time() + postgres_cpu(system.folder / "pg")
        with cursor.copy("copy copied from stdin") as into:
            into.write(rows.getvalue())
        cursor.execute("analyze copied")
        for statement in (LINES, *(MARTS if marts else ())):
            cursor.execute(statement.encode())
        taken = time.process_time() + postgres_cpu(system.folder / "pg") - started
        cursor.execute("drop table if exists copied, by_hand, by_hand_summary, by_hand_monthly")
    return taken
