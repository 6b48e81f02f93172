"""SendGrid's stats and subusers: days, paging, refusals, rate headers; and the official SDK against it."""

from __future__ import annotations

import time
from datetime import date, timedelta

import pytest
import requests
from python_http_client.exceptions import TooManyRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient

from sandbox import Sandbox
from sandbox.sendgrid import METRICS

from .conftest import FIRST, LAST, SETTLED, Http

SPAN = {"start_date": "2026-10-05", "end_date": "2026-10-11"}
DAYS = [f"2026-10-{day:02d}" for day in range(5, 12)]


def test_wrong_key_is_sendgrids_401(shared: Sandbox) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = requests.get(f"{shared.url}/v3/stats", headers=headers, timeout=10)
        assert answer.status_code == 401
        assert answer.json() == {"errors": [{"field": None, "message": "authorization required"}]}


def test_unknown_path_is_sendgrids_404(http: Http) -> None:
    answer = http.sendgrid("/v3/nonsense")
    assert answer.status_code == 404
    assert "errors" in answer.json()


def test_stats_of_the_account_are_one_row_a_day_both_ends_included(http: Http) -> None:
    answer = http.sendgrid("/v3/stats", **SPAN)
    rows = answer.json()
    assert [row["date"] for row in rows] == DAYS
    assert set(rows[0]["stats"][0]["metrics"]) == set(METRICS)
    stored = {record["date"]: record["metrics"] for record in http.sandbox.dataset.sendgrid_stats}
    assert all(row["stats"][0]["metrics"] == stored[row["date"]] for row in rows)


def test_rate_limit_headers(http: Http) -> None:
    headers = http.sendgrid("/v3/stats", **SPAN).headers
    assert headers["X-RateLimit-Limit"] == "600"
    assert 0 < int(headers["X-RateLimit-Remaining"]) < 600
    assert 0 <= int(headers["X-RateLimit-Reset"]) - time.time() <= 60


def test_days_before_the_data_are_zero_and_days_after_today_absent(http: Http) -> None:
    early = (FIRST - timedelta(days=2)).isoformat()
    rows = http.sendgrid("/v3/stats", start_date=early, end_date=early).json()
    assert set(rows[0]["stats"][0]["metrics"].values()) == {0}
    late = http.sendgrid("/v3/stats", start_date="2026-11-09", end_date="2026-12-31").json()
    assert [row["date"] for row in late] == ["2026-11-09", SETTLED.date().isoformat()]
    assert http.sendgrid("/v3/stats", start_date=LAST.isoformat()).json()[-1]["date"] == "2026-11-10"


def test_paging_by_offset(http: Http) -> None:
    rows = []
    while page := http.sendgrid("/v3/stats", **SPAN, limit=3, offset=len(rows)).json():
        rows += page
    assert [row["date"] for row in rows] == DAYS


def test_subuser_stats(http: Http) -> None:
    names = [subuser["username"] for subuser in http.sendgrid("/v3/subusers").json()]
    assert len(names) == 6
    rows = http.sendgrid("/v3/subusers/stats", **SPAN, subusers=[*names, "nobody"]).json()
    assert [row["date"] for row in rows] == DAYS
    assert [stat["name"] for stat in rows[0]["stats"]] == names
    totals = {row["date"]: row["stats"][0]["metrics"]["requests"] for row in http.sendgrid("/v3/stats", **SPAN).json()}
    for row in rows:
        assert sum(stat["metrics"]["requests"] for stat in row["stats"]) <= totals[row["date"]]
    behalf = http.sendgrid("/v3/stats", {"On-Behalf-Of": names[0]}, **SPAN).json()
    assert [r["stats"][0]["metrics"] for r in behalf] == [r["stats"][0]["metrics"] for r in rows]
    assert http.sendgrid("/v3/stats", {"On-Behalf-Of": "nobody"}, **SPAN).status_code == 403


def test_list_of_subusers(http: Http) -> None:
    first = http.sendgrid("/v3/subusers", limit=4).json()
    rest = http.sendgrid("/v3/subusers", limit=4, offset=4).json()
    assert (len(first), len(rest)) == (4, 2)
    name = rest[0]["username"]
    assert http.sendgrid("/v3/subusers", username=name, include_region="true").json() == [
        {**rest[0], "region": "global"}
    ]


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/v3/stats", {}, "start_date"),
        ("/v3/stats", {"start_date": "10/05/2026"}, "start_date"),
        ("/v3/stats", {"start_date": "2026-10-05", "end_date": "2026-10-01"}, "end_date"),
        ("/v3/stats", {**SPAN, "aggregated_by": "year"}, "aggregated_by"),
        ("/v3/stats", {**SPAN, "limit": "0"}, "limit"),
        ("/v3/subusers/stats", SPAN, "subusers"),
        ("/v3/subusers/stats", {**SPAN, "subusers": [f"s{number}" for number in range(11)]}, "subusers"),
        ("/v3/categories/stats", {**SPAN, "categories": [f"c{number}" for number in range(11)]}, "categories"),
    ],
)
def test_bad_parameters_are_named(http: Http, path: str, params: dict[str, object], field: str) -> None:
    answer = http.sendgrid(path, **params)  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_weeks_and_months_are_sums_of_days(http: Http) -> None:
    days = http.sendgrid("/v3/stats", start_date="2026-10-01", end_date="2026-10-31").json()
    month = http.sendgrid("/v3/stats", start_date="2026-10-01", end_date="2026-10-31", aggregated_by="month").json()
    assert [row["date"] for row in month] == ["2026-10-01"]
    assert month[0]["stats"][0]["metrics"]["requests"] == sum(row["stats"][0]["metrics"]["requests"] for row in days)
    week = http.sendgrid("/v3/stats", **SPAN, aggregated_by="week").json()
    assert [row["date"] for row in week] == ["2026-10-05"]
    assert date(2026, 10, 5).weekday() == 0


def test_a_missing_day_is_left_out(own: Sandbox, own_http: Http) -> None:
    own.set_missing({"sendgrid_stats": [DAYS[2]]})
    assert [row["date"] for row in own_http.sendgrid("/v3/stats", **SPAN).json()] == DAYS[:2] + DAYS[3:]


def test_official_sdk(own: Sandbox) -> None:
    environment = own.environment()
    host = environment["SENDGRID_BASE_URL"]
    client = SendGridAPIClient(api_key=environment["SENDGRID_API_KEY"], host=host).client
    assert len(client.stats.get(query_params=SPAN).to_dict) == 7
    names = [subuser["username"] for subuser in client.subusers.get(query_params={"limit": 2}).to_dict]
    stats = client.subusers.stats.get(query_params={**SPAN, "subusers": names}).to_dict
    assert [stat["name"] for stat in stats[0]["stats"]] == names
    own.faults.add("/v3/stats", status=429)
    with pytest.raises(TooManyRequestsError) as refused:
        client.stats.get(query_params=SPAN)
    assert int(refused.value.headers["X-RateLimit-Reset"]) >= int(time.time())
    refused.value.__cause__ = None
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient(api_key="SG.wrong", host=host).client.stats.get(query_params=SPAN)
