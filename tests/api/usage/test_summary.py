"""`/api/billing/usage/summary` and `/status`: what a period's usage is against its caps."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, bearer, execute

SUMMARY = "/api/billing/usage/summary"
STATUS = "/api/billing/usage/status"


def summary(client: TestClient, headers: Headers, **parameters: str) -> dict[str, Any]:
    answer = client.get(SUMMARY, params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_anonymous_is_401(client: TestClient) -> None:
    assert client.get(SUMMARY).status_code == 401


def test_another_tenant_is_404(client: TestClient, acme: Headers) -> None:
    assert client.get(SUMMARY, params={"tenantId": "bolt"}, headers=acme).status_code == 404


def test_it_names_tenant_plan_and_period(client: TestClient, acme: Headers) -> None:
    body = summary(client, acme)
    assert (body["tenantId"], body["tenantName"]) == ("acme", "Acme Homes")
    assert body["currentPlan"] == {"name": "pro", "label": "Pro", "monthlyBasePriceUsd": "99.5"}
    assert body["currentPeriod"] == {"start": "2026-11-01", "end": "2026-11-30", "label": "November 2026"}
    assert body["hardStopEnabled"] is True
    assert body["dataAsOf"] == "2026-11-20T11:45:00Z"


def test_each_channel_is_one_row_with_its_worst_limit(client: TestClient, acme: Headers) -> None:
    channels = summary(client, acme)["channels"]
    assert [channel["channel"] for channel in channels] == ["sms", "voice", "email", "ai"]
    sms = channels[0]
    assert {key: sms[key] for key in ("metric", "used", "cap", "percentUsed", "warningThresholdPct", "status")} == {
        "metric": "cost_cents",
        "used": 474,
        "cap": 500,
        "percentUsed": 94.8,
        "warningThresholdPct": 80,
        "status": "warning",
    }
    assert [(limit["metric"], limit["direction"], limit["used"]) for limit in sms["limits"]] == [
        ("cost_cents", "outbound", 474),
        ("units", "any", 650),
    ]
    assert (sms["unit"], sms["unitCount"], sms["requestCount"]) == ("segments", 650, 500)


def test_a_channel_without_a_limit_shows_plain_units(client: TestClient, acme: Headers) -> None:
    voice = summary(client, acme)["channels"][1]
    assert (voice["metric"], voice["used"], voice["cap"]) == ("units", 12.5, None)
    assert (voice["percentUsed"], voice["status"], voice["limits"]) == (None, "ok", [])


def test_a_limit_without_a_cap_has_no_percent(client: TestClient, acme: Headers) -> None:
    email = summary(client, acme)["channels"][2]
    assert (email["used"], email["cap"], email["percentUsed"], email["status"]) == (0, None, None, "ok")
    assert (email["estimatedCostCents"], email["estimatedCostUsd"]) == (0, "0")


def test_money_is_rounded_half_even_and_exact_beside_it(client: TestClient, acme: Headers) -> None:
    body = summary(client, acme)
    sms, voice, _, ai = body["channels"]
    assert (sms["estimatedCostCents"], sms["estimatedCostUsd"]) == (514, "5.135")
    assert (voice["estimatedCostCents"], voice["estimatedCostUsd"]) == (18, "0.175")
    assert (ai["estimatedCostCents"], ai["estimatedCostUsd"]) == (0, "0.005")
    totals = body["totalsForPeriod"]
    assert (totals["estimatedCostCents"], totals["estimatedCostUsd"]) == (532, "5.315")
    assert (body["projectedCostCents"], body["projectedCostUsd"]) == (811, "8.105263157894736842")


def test_billed_is_null_until_all_of_it_is_known(client: TestClient, acme: Headers) -> None:
    body = summary(client, acme)
    assert [channel["billedCostUsd"] for channel in body["channels"]] == [None, "0.175", "0", "0.254"]
    assert body["totalsForPeriod"]["billedCostCents"] is None


def test_totals_count_units_and_messages(client: TestClient, acme: Headers) -> None:
    totals = summary(client, acme)["totalsForPeriod"]
    assert (totals["smsUsed"], totals["totalMessages"], totals["requestCount"]) == (650, 500, 508)
    assert (totals["voiceMinutesUsed"], totals["aiTokensUsed"], totals["aiRequests"]) == (12.5, 2010, 5)
    assert (totals["mmsUsed"], totals["emailsSent"], totals["unpricedUnitCount"]) == (0, 0, 10)


def test_unpriced_is_null_never_zero(client: TestClient, bolt: Headers) -> None:
    body = summary(client, bolt)
    ai = body["channels"][-1]
    assert (ai["estimatedCostCents"], ai["estimatedCostUsd"], ai["unpricedUnitCount"]) == (None, None, 77)
    assert (body["totalsForPeriod"]["estimatedCostCents"], body["topChannelBySpend"]) == (None, None)
    assert (body["topFeatureBySpend"], body["projectedCostCents"]) == (None, None)


def test_top_spenders(client: TestClient, acme: Headers) -> None:
    body = summary(client, acme)
    assert body["topChannelBySpend"] == {
        "channel": "sms",
        "estimatedCostCents": 514,
        "estimatedCostUsd": "5.135",
    }
    assert body["topFeatureBySpend"] == {
        "feature": "broadcast",
        "estimatedCostCents": 316,
        "estimatedCostUsd": "3.16",
    }


def test_plan_limits_are_the_plan_s(client: TestClient, acme: Headers) -> None:
    limits = summary(client, acme)["planLimits"]
    assert [(limit["channel"], limit["metric"], limit["monthlyCap"]) for limit in limits] == [
        ("ai", "cost_cents", 2000),
        ("email", "requests", None),
        ("sms", "units", 1000),
    ]


def test_daily_usage_is_dense_over_thirty_days(client: TestClient, acme: Headers) -> None:
    rows = summary(client, acme)["dailyUsage"]
    days = sorted({row["date"] for row in rows})
    assert (len(days), days[0], days[-1]) == (30, "2026-10-22", "2026-11-20")
    assert len(rows) == 30 * 4
    cells = {(row["date"], row["channel"]): row for row in rows}
    assert cells["2026-10-31", "sms"]["unitCount"] == 1000
    assert cells["2026-11-19", "sms"]["estimatedCostUsd"] == "1.975"
    assert cells["2026-11-19", "ai"]["estimatedCostCents"] is None
    assert cells["2026-11-02", "email"] == {
        "date": "2026-11-02",
        "channel": "email",
        "unit": "emails",
        "unitCount": 0,
        "requestCount": 0,
        "estimatedCostCents": 0,
        "estimatedCostUsd": "0",
    }


def test_daily_usage_is_in_the_order_of_days_and_channels(client: TestClient, acme: Headers) -> None:
    rows = [(row["date"], row["channel"]) for row in summary(client, acme)["dailyUsage"]]
    channels = [channel for _, channel in rows[:4]]
    assert channels == [row["channel"] for row in summary(client, acme)["channels"]]
    assert rows == [(day, channel) for day in sorted({day for day, _ in rows}) for channel in channels]


def test_days_without_any_usage_are_zeros(own_database: str, start_app: AppStarter, acme: Headers) -> None:
    execute(own_database, "delete from marts.usage_summary where tenant_id = 'acme'")
    with start_app(own_database) as client:
        rows = summary(client, acme)["dailyUsage"]
        assert len({row["date"] for row in rows}) == 30
        assert {(row["unitCount"], row["requestCount"], row["estimatedCostUsd"]) for row in rows} == {(0, 0, "0")}
        assert summary(client, acme, period="2025-01")["dailyUsage"] == []


def test_the_status_is_the_worst_channel_s(client: TestClient, acme: Headers, bolt: Headers) -> None:
    assert summary(client, acme)["status"] == "warning"
    body = summary(client, bolt)
    assert (body["status"], body["channels"][0]["percentUsed"]) == ("over_cap", 100.2)


def test_an_earlier_period(client: TestClient, acme: Headers) -> None:
    body = summary(client, acme, period="2026-10")
    assert body["currentPeriod"] == {"start": "2026-10-01", "end": "2026-10-31", "label": "October 2026"}
    assert [channel["channel"] for channel in body["channels"]] == ["sms", "mms"]
    assert (body["channels"][0]["percentUsed"], body["status"]) == (100.0, "warning")
    assert body["totalsForPeriod"]["totalMessages"] == 902
    days = [row["date"] for row in body["dailyUsage"]]
    assert (days[0], days[-1]) == ("2026-10-02", "2026-10-31")


def test_a_period_before_any_usage_is_empty(client: TestClient, acme: Headers) -> None:
    body = summary(client, acme, period="2020-02")
    assert (body["channels"], body["status"], body["topChannelBySpend"]) == ([], "ok", None)
    assert body["totalsForPeriod"]["estimatedCostUsd"] == "0"
    assert body["currentPeriod"]["end"] == "2020-02-29"


def test_a_tenant_without_plan_or_usage(client: TestClient, root: Headers) -> None:
    dune = summary(client, root, tenantId="dune")
    assert (dune["currentPlan"], dune["planLimits"]) == (None, [])
    cobalt = summary(client, bearer("tenant_admin", "cobalt"))
    assert (cobalt["channels"], cobalt["dailyUsage"], cobalt["projectedCostUsd"]) == ([], [], "0")


@pytest.mark.parametrize(
    "period",
    [
        "2026-12",
        "9999-12",
        "2026-13",
        "2026-00",
        "0000-01",
        "2026-1",
        "2026-11-01",
        "",
        "next",
        "２０２６-11",
    ],
)
def test_a_bad_or_future_period_is_422_naming_the_field(client: TestClient, acme: Headers, period: str) -> None:
    for path in (SUMMARY, STATUS, "/api/billing/usage/features"):
        answer = client.get(path, params={"period": period}, headers=acme)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["period"]


def test_the_alias_gives_the_same(client: TestClient, acme: Headers) -> None:
    assert client.get("/api/admin/usage/summary", headers=acme).json() == summary(client, acme)


def test_status_has_the_summary_s_channels_and_totals(client: TestClient, acme: Headers) -> None:
    whole = summary(client, acme)
    body = client.get(STATUS, headers=acme).json()
    assert body["channels"] == whole["channels"]
    assert body["totals"] == whole["totalsForPeriod"]
    assert (body["status"], body["hardStopEnabled"]) == ("warning", True)


class TestMonthEdges:
    """METERING_AS_OF pins the month; days are UTC."""

    @pytest.mark.parametrize(
        ("as_of", "label"),
        [
            ("2026-11-01", "November 2026"),
            ("2026-10-31T23:59:59Z", "October 2026"),
            ("2026-11-01T01:30:00+02:00", "October 2026"),
            ("2026-12-31T23:59:59.999999", "December 2026"),
        ],
    )
    def test_current_is_the_month_of_as_of(
        self, seeded: str, start_app: AppStarter, acme: Headers, as_of: str, label: str
    ) -> None:
        with start_app(seeded, METERING_AS_OF=as_of) as client:
            assert summary(client, acme)["currentPeriod"]["label"] == label

    def test_a_month_that_no_build_has_touched_has_the_last_caps_and_nothing_used(
        self, seeded: str, start_app: AppStarter, acme: Headers
    ) -> None:
        with start_app(seeded, METERING_AS_OF="2026-12-01") as client:
            body = summary(client, acme)
        sms = next(channel for channel in body["channels"] if channel["channel"] == "sms")
        assert body["status"] == "ok"
        assert [(limit["metric"], limit["used"], limit["cap"], limit["percentUsed"]) for limit in sms["limits"]] == [
            ("cost_cents", 0, 500, 0.0),
            ("units", 0, 1000, 0.0),
        ]
        assert body["projectedCostCents"] == 0


def test_exact_sums_beyond_twenty_eight_digits(own_database: str, start_app: AppStarter, bolt: Headers) -> None:
    """Python's default decimal context would round here."""
    execute(
        own_database,
        "update marts.usage_monthly set estimated_cost_cents = 12345678901234567890.123456789012345678"
        " where tenant_id = 'bolt'",
        "insert into marts.usage_monthly values ('bolt', '2026-11', 'sms', 'segments', 1, 1,"
        " 0.000000000000000001, null, 0)",
    )
    with start_app(own_database) as client:
        totals = summary(client, bolt)["totalsForPeriod"]
    assert totals["estimatedCostUsd"] == "123456789012345678.90123456789012345679"
    assert totals["estimatedCostCents"] == 12345678901234567890
