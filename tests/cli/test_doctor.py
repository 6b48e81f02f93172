"""What the doctor says of the operator commands, the cap's totals and days that stand half made."""

from __future__ import annotations

import psycopg
import pytest

from builds.build_lock import build_lock
from cli.doctor import OK, WARNING, WRONG, _half_built, _operations, _totals

VARIABLES = ("METERING_API_OPERATIONS", "METERING_DAGSTER_URL", "METERING_DAGSTER_INTERNAL_URL")


@pytest.mark.parametrize(
    ("operations", "dagster", "internal", "state", "message"),
    [
        ("", "", "", OK, "the API only reads"),
        ("false", "http://127.0.0.1:1", "", OK, "the API only reads"),
        ("perhaps", "", "", WRONG, "must be true or false"),
        ("true", "", "", WARNING, "set METERING_DAGSTER_URL"),
        ("true", "127.0.0.1:3000", "", WRONG, "METERING_DAGSTER_URL must begin with"),
        ("true", "http://127.0.0.1:1", "", WRONG, "start Dagster's web server"),
        ("true", "https://dagster.example", "http://127.0.0.1:1", WRONG, "start Dagster's web server"),
    ],
)
def test_the_operator_commands(
    monkeypatch: pytest.MonkeyPatch, operations: str, dagster: str, internal: str, state: str, message: str
) -> None:
    for name, value in zip(VARIABLES, (operations, dagster, internal), strict=True):
        monkeypatch.setenv(name, value)
    (finding,) = _operations()
    assert finding.state == state
    assert message in finding.detail


def test_totals_of_the_cap_that_are_not_the_sum_of_their_rows(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, is_reserved)"
            " values ('K', 'acme', 'sms', 'outbound', '2026-11', 5, 1, false)"
        )
        assert _totals(database).state == OK
        connection.execute("update ops.live_usage_totals set units = 4")
        finding = _totals(database)
        assert (finding.state, "acme, sms, 2026-11, outbound" in finding.detail) == (WRONG, True)
        assert "ops.recount_live_usage()" in finding.detail
        connection.execute("select ops.recount_live_usage()")
        assert _totals(database).state == OK


def test_days_that_a_failed_build_left_half_made(database: str) -> None:
    assert list(_half_built(database)) == []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into ops.builds (build_id, window_start, window_end, as_of, status, started_at)"
            " values ('b', '2026-11-02', '2026-11-05', now(), 'running', now())"
        )
        connection.execute(
            "insert into ops.built_days (usage_date, build_id) values ('2026-11-02', 'b'), ('2026-11-04', 'b')"
        )
    (finding,) = _half_built(database)
    assert finding.state == WARNING
    assert "`metering rebuild --from 2026-11-02 --to 2026-11-04 --only build`" in finding.detail
    with build_lock(database):  # it is not dead: it is at it
        assert list(_half_built(database)) == []
