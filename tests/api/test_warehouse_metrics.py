"""`metering_*` on `/metrics`: what the warehouse holds, of one bounded read, and of no tenant by name."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api import warehouse_metrics
from api.kit import queries
from tests.api.conftest import AppStarter, execute
from tests.api.test_isolation import NAMES, TENANTS
from warehouse.urls import as_role

Samples = dict[tuple[str, ...], float]


def scrape(client: TestClient) -> Samples:
    """Return the samples of `metering_*`: (name, label values in the order of their names …) -> value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name.startswith("metering_")
    }


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape reads anew."""
    monkeypatch.setattr(warehouse_metrics, "HELD_SECONDS", 0.0)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.usefixtures("fresh")
class TestSamples:
    def test_of_the_small_world(self, own_database: str, start_app: AppStarter) -> None:
        execute(
            own_database,
            # Of 2026-11-10 to -16 (the lookback begins on the 17th) the 10th and 11th are final, the 12th was built too early, the
            # 13th is not built, the 14th was built by a clock that was ahead, the 15th and 16th were never read.
            "insert into ops.source_days values"
            " ('twilio', '2026-11-10', now(), now(), '2026-11-20'), ('twilio', '2026-11-11', now(), now(), '2026-11-15'),"
            " ('twilio', '2026-11-12', now(), now(), '2026-11-15'), ('twilio', '2026-11-13', now(), null, null),"
            " ('twilio', '2026-11-14', now(), now(), '2026-11-21'), ('stripe', '2026-11-19', now(), now(), '2026-11-20')",
            "insert into raw.rejected_records (table_name, account_id, usage_date, reason, record, load_id)"
            " values ('twilio_messages', 'AC1', '2026-11-19', 'no date', '{}', 'load-1')",
            "insert into ops.usage_alerts (tenant_id, alert_type, severity, message, acknowledged, resolved_at) values"
            " ('acme', 'threshold', 'critical', '', false, null), ('acme', 'spike', 'warning', '', true, null),"
            " ('bolt', 'threshold', 'critical', '', false, now())",
            "insert into ops.alert_outbox (alert_id, round, medium, idempotency_id, tenant_name, body, created_at, next_attempt_at)"
            " select id, 1, 'sms', id, '', '', now(), now() from ops.usage_alerts where severity = 'warning'",
            "insert into ops.access_decisions (tenant_id, channel, units, allowed) values"
            " ('acme', 'sms', 1, false), ('bolt', 'sms', 1, false), ('acme', 'sms', 1, true)",
            "insert into ops.touched_days (usage_date, load_id) values ('2026-11-19', 'a'), ('2026-11-19', 'b')",
        )
        with start_app(own_database) as client:
            samples = scrape(client)
        expected = {
            ("metering_warehouse_up",): 1,
            ("metering_source_last_read_timestamp_seconds", "twilio", "twilio_messages"): at("2026-11-20 11:50"),
            ("metering_source_last_run_success", "twilio"): 0,
            ("metering_undone_days", "twilio"): 5,
            ("metering_undone_days", "stripe"): 0,
            ("metering_rejected_records", "twilio_messages"): 1,
            ("metering_alerts_open", "critical"): 1,
            ("metering_alerts_open", "warning"): 1,
            ("metering_alerts_open", "info"): 0,
            ("metering_alerts_unacknowledged", "critical"): 1,
            ("metering_alerts_unacknowledged", "warning"): 0,
            ("metering_alerts_unacknowledged", "info"): 0,
            ("metering_notifications_waiting",): 1,
            ("metering_build_timestamp_seconds",): at("2026-11-20 12:01"),
            ("metering_build_data_timestamp_seconds",): at("2026-11-20 11:45"),
            ("metering_build_last_success",): 1,
            ("metering_days_touched",): 1,
            ("metering_events_pending",): 0,
            ("metering_reservations",): 0,
            ("metering_proof_different_days",): 1,
            ("metering_cap_blocks_total", "sms"): 2,
            # From 0 on, so that the first one is an increase.
            ("metering_cap_blocks_total", "ai"): 0,
            ("metering_cap_blocks_total", "voice"): 0,
            ("metering_cap_blocks_total", "email"): 0,
            ("metering_unpriced_units", "tokens"): 87,
            ("metering_unpriced_units", "segments"): 0,
            ("metering_unpriced_units", "minutes"): 0,
            ("metering_unpriced_units", "emails"): 0,
            ("metering_unpriced_tenants",): 2,
        }
        assert samples == expected

    def test_a_failed_build_is_told_while_the_good_one_stands(self, own_database: str, start_app: AppStarter) -> None:
        execute(
            own_database,
            "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status) values"
            " ('b', '2026-11-20', '2026-11-21', now(), '2026-11-20 13:00+00', '2026-11-20 13:01+00', 'failed'),"
            " ('c', '2026-11-20', '2026-11-21', now(), '2026-11-20 14:00+00', null, 'running')",
        )
        with start_app(own_database) as client:
            samples = scrape(client)
        assert samples["metering_build_last_success",] == 0
        assert samples["metering_build_timestamp_seconds",] == at("2026-11-20 12:01")

    def test_before_the_first_build(self, database: str, start_app: AppStarter) -> None:
        with start_app(database) as client:
            samples = scrape(client)
        assert samples["metering_warehouse_up",] == 1
        assert ("metering_unpriced_tenants",) not in samples
        assert ("metering_build_timestamp_seconds",) not in samples

    def test_a_database_that_is_away_takes_no_time(self, start_app: AppStarter) -> None:
        with start_app("postgresql://x@127.0.0.1:1/x") as client:
            begun = time.monotonic()
            samples = scrape(client)
        assert samples == {("metering_warehouse_up",): 0}
        assert time.monotonic() - begun < 10

    def test_a_locked_table_ends_by_the_limit(
        self, own_database: str, start_app: AppStarter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "BEGIN_METRICS", "begin read only; set local statement_timeout = 300")
        with start_app(own_database) as client, psycopg.connect(own_database) as holder:
            holder.execute("lock table ops.source_reads in access exclusive mode")
            assert scrape(client) == {("metering_warehouse_up",): 0}
            holder.rollback()
            assert scrape(client)["metering_warehouse_up",] == 1


def test_no_tenant_is_named(client: TestClient) -> None:
    text = client.get("/metrics").text
    assert not [name for name in (*TENANTS, *NAMES) if f'"{name}"' in text]


def test_who_asks_often_is_told_the_same(own_database: str, start_app: AppStarter) -> None:
    with start_app(own_database) as client:
        before = scrape(client)
        execute(own_database, "insert into ops.touched_days (usage_date, load_id) values ('2026-11-19', 'a')")
        assert scrape(client) == before


def test_the_api_may_ask_and_nobody_else(own_database: str) -> None:
    ask = "select count(*) from ops.metrics(now(), 3)"
    with psycopg.connect(as_role(own_database, "metering_api")) as connection:
        assert connection.execute(ask).fetchone() is not None
    tracker = as_role(own_database, "metering_tracker")
    with psycopg.connect(tracker) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(ask)
