"""A total of SendGrid's account that is below its parts is told, by the alerts and by the doctor."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from cli.doctor import WRONG, _freshness
from costs.alerts import totals_below_parts

TODAY, DAY = date(2026, 11, 21), date(2026, 11, 20)


def messages(database: str, total: int, parts: tuple[int, ...], day: date = DAY, setting: str = "total") -> list[str]:
    with psycopg.connect(database) as connection:
        insert = "insert into raw.{} (account_id, usage_date, requests, load_id) values (%s, %s, %s, 'test')"
        connection.execute(insert.format("sendgrid_stats").encode(), ("parent", day, total))
        for number, part in enumerate(parts):
            connection.execute(insert.format("sendgrid_subuser_stats").encode(), (f"u{number}", day, part))
        found = totals_below_parts(connection, TODAY, {"METERING_SENDGRID_PARENT_STATS": setting})
        return [one.message for one in found]


@pytest.mark.parametrize(
    ("total", "parts", "day", "setting", "count"),
    [
        (100, (1000,), DAY, "total", 1),
        (100, (1000,), DAY, "", 1),
        (100, (60, 41), DAY, "total", 1),
        (100, (60, 40), DAY, "total", 0),
        (100, (), DAY, "total", 0),
        (100, (1000,), DAY, "own", 0),
        (100, (1000,), TODAY, "total", 0),
        (100, (1000,), date(2026, 9, 30), "total", 0),
    ],
)
def test_a_total_below_its_parts_is_told(
    database: str, total: int, parts: tuple[int, ...], day: date, setting: str, count: int
) -> None:
    found = messages(database, total, parts, day, setting)
    assert len(found) == count
    assert all("METERING_SENDGRID_PARENT_STATS=own" in message for message in found)


def test_the_doctor_says_so(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_AS_OF", TODAY.isoformat())
    messages(database, 100, (1000,))
    [finding] = [one for one in _freshness(database) if one.name == "sendgrid totals"]
    assert finding.state == WRONG
