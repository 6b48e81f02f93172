"""Days that a provider forgets: told while they can still be asked for, and not once they were read to their end."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest

from costs.alerts.retention import about_to_expire, expiring, retention_conditions
from ingestion.sources import cloudflare, twilio

TODAY = date(2026, 11, 20)
OLDEST = date(2026, 10, 21)
LONG_AGO = date(2026, 1, 1)
CREDENTIALS = {"CLOUDFLARE_API_TOKEN": "t", "CLOUDFLARE_ACCOUNT_ID": "a"}


@pytest.mark.parametrize(
    ("first_day", "days"),
    [
        (LONG_AGO, (OLDEST, OLDEST + timedelta(days=2))),
        (OLDEST + timedelta(days=1), (OLDEST + timedelta(days=1), OLDEST + timedelta(days=2))),
        (OLDEST + timedelta(days=3), None),
    ],
)
def test_the_oldest_days_that_can_be_asked_for_are_about_to_expire(
    first_day: date, days: tuple[date, date] | None
) -> None:
    assert about_to_expire(cloudflare.SPEC, TODAY, first_day) == days
    assert about_to_expire(twilio.SPEC, TODAY, first_day) is None


def read(connection: psycopg.Connection, table: str, day: date, answered_at: str) -> None:
    connection.execute(
        "insert into ops.source_reads (table_name, account_id, usage_date, provider, load_id, answered_at, row_count)"
        " values (%s, 'a', %s, 'cloudflare', 'test', %s, 1)",
        (table, day, answered_at),
    )


def test_a_day_is_safe_once_every_table_was_read_after_its_end(database: str) -> None:
    with psycopg.connect(database) as connection:

        def unread() -> list[date]:
            return [day for one in expiring(connection, TODAY, LONG_AGO, CREDENTIALS) for day in one.days]

        days = [OLDEST + timedelta(days=back) for back in range(3)]
        assert unread() == days
        # In the middle of the day, and one table only, are not enough.
        read(connection, "r2_operations", days[0], f"{days[0]} 12:00:00+00")
        read(connection, "r2_storage", days[0], f"{days[1]} 01:00:00+00")
        read(connection, "r2_operations", days[1], f"{days[2]} 00:00:00+00")
        assert unread() == days
        read(connection, "r2_storage", days[1], f"{days[2]} 00:00:00+00")
        assert unread() == [days[0], days[2]]
        [one] = expiring(connection, TODAY, LONG_AGO, CREDENTIALS)
        assert one.until == TODAY
        assert f"--from {days[0]} --to {days[2]}" in one.message
        assert expiring(connection, TODAY, LONG_AGO, {"CLOUDFLARE_API_TOKEN": "t"}) == []


def test_it_is_a_critical_alert_of_nobody(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(database) as connection:
        [found] = retention_conditions(connection, TODAY, LONG_AGO)
    assert (found.tenant_id, found.alert_type, found.severity, found.channel) == (
        "unattributed",
        "drift",
        "critical",
        "storage_ops",
    )
    assert found.details == {"provider": "cloudflare", "days": 3, "lastDate": "2026-10-23", "until": "2026-11-20"}
