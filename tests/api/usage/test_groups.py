"""`/api/billing/usage/daily` by week and month, by group, filtered, since a build, and in a time zone."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute
from tests.api.usage.test_daily import DAILY, daily

WHOLE = {"from": "2026-10-01", "to": "2026-11-20"}
GROUPS = ("service", "feature", "operation", "model")


def figures(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return what adds up, by channel: quantities and exact cost (None where a part of it is unpriced is left to the cells)."""
    sums: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        before = sums.get(row["channel"], (0, 0, Decimal(0), 0))
        cost = Decimal(row["estimatedCostUsd"] or 0)
        sums[row["channel"]] = (
            before[0] + row["unitCount"],
            before[1] + row["requestCount"],
            before[2] + cost,
            before[3] + row["unpricedUnitCount"],
        )
    return {channel: values for channel, values in sums.items() if any(values)}


class TestLongerRows:
    def test_a_month_is_the_sum_of_its_days(self, client: TestClient, acme: Headers) -> None:
        rows = daily(client, acme, granularity="month", **WHOLE)["rows"]
        assert sorted({row["date"] for row in rows}) == ["2026-10-01", "2026-11-01"]
        for first, last in (("2026-10-01", "2026-10-31"), ("2026-11-01", "2026-11-20")):
            days = daily(client, acme, **{"from": first, "to": last})["rows"]
            assert figures([row for row in rows if row["date"] == first]) == figures(days)

    def test_weeks_begin_on_monday_and_the_first_where_the_range_does(self, client: TestClient, acme: Headers) -> None:
        rows = daily(client, acme, granularity="week", **{"from": "2026-11-05", "to": "2026-11-20"})["rows"]
        assert list(dict.fromkeys(row["date"] for row in rows)) == ["2026-11-05", "2026-11-09", "2026-11-16"]
        assert [row["unitCount"] for row in rows if row["channel"] == "sms"] == [0, 0, 250]

    def test_a_row_is_final_when_its_last_day_is(self, client: TestClient, acme: Headers) -> None:
        rows = daily(client, acme, granularity="month", **WHOLE)["rows"]
        assert [(row["date"], row["isFinal"]) for row in rows if row["channel"] == "email"] == [
            ("2026-10-01", True),
            ("2026-11-01", False),
        ]

    def test_billed_is_unknown_while_a_day_of_it_is(self, client: TestClient, acme: Headers) -> None:
        rows = daily(client, acme, granularity="month", **WHOLE)["rows"]
        assert [row["billedCostUsd"] for row in rows if row["channel"] == "sms"] == ["7.9", None]


class TestGroups:
    @pytest.mark.parametrize("names", [names for size in (1, 2, 4) for names in combinations(GROUPS, size)])
    @pytest.mark.parametrize("granularity", ["day", "week", "month"])
    def test_they_add_up_to_the_channels(
        self, client: TestClient, acme: Headers, names: tuple[str, ...], granularity: str
    ) -> None:
        rows = daily(client, acme, granularity=granularity, groupBy=",".join(names), **WHOLE)["rows"]
        assert figures(rows) == figures(daily(client, acme, granularity=granularity, **WHOLE)["rows"])
        assert {tuple(row["group"]) for row in rows} == {names}

    def test_rows_are_dense_and_say_what_they_are_of(self, client: TestClient, acme: Headers) -> None:
        days = {"from": "2026-11-19", "to": "2026-11-20"}
        rows = daily(client, acme, groupBy="channel,feature", **days)["rows"]
        assert [(row["date"][-2:], row["channel"], row["group"], row["requestCount"]) for row in rows] == [
            ("19", "sms", {"feature": "(untracked)"}, 200),
            ("19", "voice", {"feature": "(untracked)"}, 0),
            ("19", "ai", {"feature": "=cmd()"}, 1),
            ("19", "ai", {"feature": "ai_sms"}, 0),
            ("20", "sms", {"feature": "(untracked)"}, 0),
            ("20", "voice", {"feature": "(untracked)"}, 3),
            ("20", "ai", {"feature": "=cmd()"}, 0),
            ("20", "ai", {"feature": "ai_sms"}, 4),
        ]
        unpriced = rows[2]
        assert (unpriced["estimatedCostUsd"], unpriced["unpricedUnits"]) == (None, [{"unit": "tokens", "quantity": 10}])

    def test_by_channel_is_as_it_was(self, client: TestClient, acme: Headers) -> None:
        assert daily(client, acme, groupBy="channel")["rows"] == daily(client, acme)["rows"]

    def test_tracked_units_without_a_record_are_provisional(
        self, own_database: str, start_app: AppStarter, acme: Headers
    ) -> None:
        execute(
            own_database,
            "update marts.usage_daily set evidence = 'tracked' where tenant_id = 'acme' and date = '2026-11-01'",
        )
        with start_app(own_database) as client:
            rows = daily(client, acme, groupBy="feature", **{"from": "2026-11-01", "to": "2026-11-01"})["rows"]
        assert [(row["group"]["feature"], row["provisionalUnitCount"]) for row in rows] == [("broadcast", 400)]

    @pytest.mark.parametrize("value", ["tenant", "day", "service,feture"])
    def test_an_unknown_one_is_422(self, client: TestClient, acme: Headers, value: str) -> None:
        answer = client.get(DAILY, params={"groupBy": value}, headers=acme)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "groupBy")

    def test_more_rows_than_a_body_has_are_422(self, own_database: str, start_app: AppStarter, acme: Headers) -> None:
        execute(
            own_database,
            "insert into marts.usage_daily select tenant_id, date, channel, service, operation, direction, source, 'f' || n, model,"
            " evidence, unit, unit_count, request_count, 0, 0, 0, estimated_cost_usd, billed_cost_usd, 0, updated_at"
            " from marts.usage_daily, generate_series(1, 60) as n where tenant_id = 'acme' and date = '2026-11-01'",
        )
        with start_app(own_database) as client:
            answer = client.get(DAILY, params={"groupBy": "feature", "range": "366d"}, headers=acme)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "groupBy")
            assert len(daily(client, acme, groupBy="feature", granularity="month", range="366d")["rows"]) > 700


class TestFilters:
    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ({"channel": "sms"}, {"sms": 250}),
            ({"channel": "sms,ai"}, {"sms": 250, "ai": 2010}),
            ({"service": "openai"}, {"ai": 2010}),
            ({"feature": "ai_sms,broadcast"}, {"ai": 2000}),
            ({"operation": "inbound"}, {"sms": 50}),
            ({"model": "gpt-4o-mini"}, {"ai": 2000}),
            ({"model": "gpt-4o-mini", "feature": "=cmd()"}, {}),
            ({"feature": "no such feature"}, {}),
        ],
    )
    def test_only_what_fits_all_of_them_counts(
        self, client: TestClient, acme: Headers, parameters: dict[str, str], expected: dict[str, int]
    ) -> None:
        rows = daily(client, acme, **{"from": "2026-11-18", "to": "2026-11-20"}, **parameters)["rows"]
        units: dict[str, int] = {}
        for row in rows:
            units[row["channel"]] = units.get(row["channel"], 0) + row["unitCount"]
        assert {channel: count for channel, count in units.items() if count} == expected

    def test_a_name_with_a_comma_is_a_name(self, own_database: str, start_app: AppStarter, acme: Headers) -> None:
        execute(own_database, "update marts.usage_daily set feature = 'a, b' where feature = 'ai_sms'")
        with start_app(own_database) as client:
            rows = daily(client, acme, feature="a, b", range="1d")["rows"]
        assert [(row["channel"], row["unitCount"]) for row in rows] == [("ai", 2000)]

    def test_an_unknown_channel_is_404(self, client: TestClient, acme: Headers) -> None:
        assert client.get(DAILY, params={"channel": "sms,fax"}, headers=acme).status_code == 404

    @pytest.mark.parametrize("name", ["feature", "service", "operation", "model"])
    def test_another_tenants_rows_stay_out(self, client: TestClient, bolt: Headers, name: str) -> None:
        value = {"feature": "broadcast", "service": "twilio_sms", "operation": "outbound", "model": "gpt-4o-mini"}[name]
        assert daily(client, bolt, **{name: value}, **WHOLE)["rows"] == []


class TestDeltas:
    def test_nothing_was_built_since(self, client: TestClient, acme: Headers) -> None:
        body = daily(client, acme)
        assert body["builtAt"] == "2026-11-20T12:01:00Z"
        assert daily(client, acme, since=body["builtAt"])["rows"] == []

    def test_days_of_later_builds_are_there_whole(
        self, own_database: str, start_app: AppStarter, acme: Headers
    ) -> None:
        columns = "build_id, window_start, window_end, as_of, started_at, finished_at, status, stands_on"
        times = "'2026-11-20 12:00+00', '2026-11-20 13:00+00'"
        execute(
            own_database,
            f"insert into ops.builds ({columns}) values"
            f" ('ok', '2026-11-19', '2026-11-20', {times}, '2026-11-20 13:01+00', 'ok', null),"
            f" ('failed', '2026-10-31', '2026-11-01', {times}, '2026-11-20 13:02+00', 'failed', null),"
            f" ('running', '2026-11-05', '2026-11-06', {times}, null, 'running', null),"
            f" ('nothing new', '2026-11-01', '2026-11-21', {times}, '2026-11-20 13:03+00', 'ok', 'ok')",
        )
        with start_app(own_database) as client:
            body = daily(client, acme, since="2026-11-20T12:01:00Z", **WHOLE)
            assert sorted({row["date"] for row in body["rows"]}) == ["2026-10-31", "2026-11-05", "2026-11-19"]
            whole = daily(client, acme, **WHOLE)["rows"]
            assert [row for row in whole if row["date"] == "2026-11-19"] == [
                row for row in body["rows"] if row["date"] == "2026-11-19"
            ]
            months = daily(client, acme, since="2026-11-20T13:01:30Z", granularity="month", **WHOLE)["rows"]
            assert {row["date"] for row in months} == {"2026-10-01", "2026-11-01"}
            # The next one asks by the last good build's end: what failed or runs is told again.
            again = daily(client, acme, since=body["builtAt"], **WHOLE)["rows"]
            assert {row["date"] for row in again} == {"2026-11-05"}

    @pytest.mark.parametrize("value", ["2026-11-20", "yesterday", "2026-11-20T12:00:00", "2026", "-0.5", "1795250400"])
    def test_an_instant_needs_its_zone(self, client: TestClient, acme: Headers, value: str) -> None:
        answer = client.get(DAILY, params={"since": value}, headers=acme)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "since")


class TestTimeZones:
    def test_instants_are_written_in_it_and_days_stay(self, client: TestClient, acme: Headers) -> None:
        plain, berlin = daily(client, acme, range="7d"), daily(client, acme, range="7d", timeZone="Europe/Berlin")
        assert berlin["rows"] == plain["rows"]
        assert (plain["timeZone"], plain["startsAt"], plain["endsAt"]) == (
            "UTC",
            "2026-11-14T00:00:00Z",
            "2026-11-21T00:00:00Z",
        )
        assert (berlin["timeZone"], berlin["startsAt"], berlin["dataAsOf"], berlin["builtAt"]) == (
            "Europe/Berlin",
            "2026-11-14T01:00:00+01:00",
            "2026-11-20T12:45:00+01:00",
            "2026-11-20T13:01:00+01:00",
        )

    @pytest.mark.parametrize("value", ["Mars/Olympus", "", "../../etc/passwd", "europe/berlin", "+01:00", "\0"])
    def test_an_unknown_one_is_422(self, client: TestClient, acme: Headers, value: str) -> None:
        answer = client.get(DAILY, params={"timeZone": value}, headers=acme)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "timeZone")
