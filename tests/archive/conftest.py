"""A closed month of made-up rows, without a build: what archiving needs of marts is a view of nobody's records."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from archive import archive_store
from archive.store import Store
from warehouse.urls import as_role

MONTH = "2026-10"
MESSAGES, EVENTS = 500, 300

ROWS = """
insert into raw.twilio_messages (account_id, usage_date, sid, to_number_hash, direction, status, num_segments, price, price_unit, date_sent, load_id)
select
    'AC1', day::date, 'SM' || md5(n::text), case when n % 3 = 0 then md5((n % 7)::text) end, 'outbound-api', 'delivered', 1 + n % 3,
    case when n % 5 > 0 then -0.000000000000000001 * n * 7919 end, 'USD', day + n * interval '1 second' + interval '123456 microseconds', 'load'
from generate_series(1, {messages}) as n
cross join lateral (select '2026-09-20Z'::timestamptz + n % 60 * interval '1 day') as days (day);
insert into raw.usage_events (event_key, tenant_id, service, channel, units, external_id, metadata, occurred_at)
select
    'key ' || n, 'acme', 'twilio_sms', 'sms', n * 1.000000000000000001, case when n % 2 = 0 then 'SM' || md5(n::text) end,
    jsonb_build_object('n', n * 0.10, 'text', 'ünïcode "' || n, 'nothing', null), '2026-09-20Z'::timestamptz + n % 50 * interval '1 day'
from generate_series(1, {events}) as n;
insert into raw.usage_event_keys (event_key, payload_hash, usage_date) select event_key, md5(event_key), usage_date from raw.usage_events;
insert into raw.stripe_balance_transactions (
    account_id, usage_date, id, type, currency, amount_minor, fee_minor, net_minor, application_fee_minor, created, load_id
)
select 'platform', '2026-10-05', 'txn_' || n, (array['charge', 'refund', 'payout'])[1 + n % 3], 'usd', n, 1, n - 1, 0, '2026-10-05Z', 'load'
from generate_series(1, 30) as n;
insert into raw.sendgrid_stats (account_id, usage_date, requests, load_id)
select 'parent', day::date, 5, 'load' from generate_series('2026-09-28'::timestamp, '2026-11-03', interval '1 day') as day;
insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root)
values ('2026-10', '2026-10-01', '2026-10-31', now(), 'test', 'test', '', 0, '\\x01');
"""


@pytest.fixture
def closed(database: str) -> str:
    """URL of a database whose October is closed; rows of months beside it are there, too."""
    with psycopg.connect(as_role(database, "metering_transformer"), autocommit=True) as connection:
        connection.execute("create table marts.usage_line_records (tenant_id text, date date, record_id text)")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select raw.ensure_usage_event_months('{2026-09-01,2026-10-01,2026-11-01}'::date[])")
        connection.execute(ROWS.format(messages=MESSAGES, events=EVENTS).encode())
    return database


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A folder, which METERING_ARCHIVE_URL names."""
    monkeypatch.setenv("METERING_ARCHIVE_URL", str(tmp_path / "archive"))
    return archive_store()
