"""`/api/billing/usage/export`: the CSV."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from fastapi.testclient import TestClient

from api.exports.usage_csv import file_name, neutralised
from api.kit.periods import DayRange
from tests.api.conftest import AppStarter, Headers, execute

EXPORT = "/api/billing/usage/export"


def test_anonymous_is_401_and_another_tenant_404(client: TestClient, acme: Headers) -> None:
    assert client.get(EXPORT).status_code == 401
    assert client.get(EXPORT, params={"tenantId": "bolt"}, headers=acme).status_code == 404


def test_one_line_per_day_channel_direction_source_and_feature(client: TestClient, acme: Headers) -> None:
    answer = client.get(EXPORT, params={"range": "30d"}, headers=acme)
    assert answer.text == (
        "date,channel,direction,source,feature,count,estimated_cost\r\n"
        "2026-10-31,sms,outbound,twilio,broadcast,1000,7.9\r\n"
        "2026-11-01,sms,outbound,twilio,broadcast,400,3.16\r\n"
        "2026-11-19,ai,outbound,openai,'=cmd(),10,\r\n"
        "2026-11-19,sms,inbound,twilio,(untracked),50,0.395\r\n"
        "2026-11-19,sms,outbound,twilio,(untracked),200,1.58\r\n"
        "2026-11-20,ai,outbound,openai,ai_sms,2000,0.005\r\n"
        "2026-11-20,voice,outbound,twilio,(untracked),12.5,0.175\r\n"
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage-acme-2026-10-22-2026-11-20.csv"'
    assert answer.headers["data-as-of"] == "2026-11-20T11:45:00Z"


def test_ninety_days_reach_further_back(client: TestClient, acme: Headers) -> None:
    text = client.get(EXPORT, params={"range": "90d"}, headers=acme).text
    assert "2026-10-15,mms,outbound,twilio,broadcast,2,0.04\r\n" in text


def test_no_usage_is_the_header_alone(client: TestClient, root: Headers) -> None:
    text = client.get(EXPORT, params={"tenantId": "cobalt"}, headers=root).text
    assert text == "date,channel,direction,source,feature,count,estimated_cost\r\n"


@pytest.mark.parametrize("name", ["parquet", "FOCUS", "CSV", ""])
def test_another_format_is_422(client: TestClient, acme: Headers, name: str) -> None:
    answer = client.get(EXPORT, params={"format": name}, headers=acme)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["format"]


def test_it_has_an_etag(client: TestClient, acme: Headers) -> None:
    etag = client.get(EXPORT, headers=acme).headers["etag"]
    again = client.get(EXPORT, headers={**acme, "If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_a_large_export_arrives_whole(own_database: str, start_app: AppStarter, bolt: Headers) -> None:
    execute(
        own_database,
        "insert into marts.usage_daily (tenant_id, date, channel, service, operation, direction, source,"
        " feature, model, evidence, unit, unit_count, request_count, estimated_cost_usd, unpriced_unit_count)"
        " select 'bolt', date '2026-11-01' + n % 20, 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio',"
        " 'feature, \"' || n || '\"', '', 'provider', 'segments', 1, 1, 0.0079, 0"
        " from generate_series(1, 20000) n",
    )
    with start_app(own_database) as client:
        rows = list(csv.DictReader(io.StringIO(client.get(EXPORT, headers=bolt).text)))
    assert len(rows) == 20_001
    assert {row["estimated_cost"] for row in rows} == {"0.0079", ""}
    assert len({row["feature"] for row in rows}) == 20_001


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=x"])
def test_formulas_are_neutralised(text: str) -> None:
    assert neutralised(text) == f"'{text}"


def test_plain_text_stays() -> None:
    assert neutralised("a=b - c") == "a=b - c"


def test_file_names_are_safe() -> None:
    days = DayRange(date(2026, 11, 1), date(2026, 11, 20))
    assert file_name('a"/..\r\né', days) == "usage-a_______-2026-11-01-2026-11-20.csv"
