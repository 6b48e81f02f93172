"""`/api/billing/usage/explain` and the owner's: lines, pages, records, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.explain.service import rule_text
from costs.rules.explain import problems
from tests.api.conftest import Headers, bearer

EXPLAIN = "/api/billing/usage/explain"
DAY = "2026-11-19"


def ask(client: TestClient, headers: Headers, **parameters: Any) -> Any:
    answer = client.get(EXPLAIN, params={"date": DAY, **parameters}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_anonymous_is_401_and_another_tenant_404(client: TestClient, acme: Headers) -> None:
    assert client.get(EXPLAIN, params={"date": "x"}).status_code == 401
    assert client.get(EXPLAIN, params={"date": DAY, "tenantId": "bolt"}, headers=acme).status_code == 404
    assert client.get("/api/admin/usage/acme/explain", headers=acme).status_code == 403


def test_lines_come_dearest_first_and_sum_to_their_channels(client: TestClient, acme: Headers) -> None:
    body = ask(client, acme)
    assert [(line["channel"], line["operation"]) for line in body["lines"]] == [
        ("sms", "outbound"),
        ("sms", "inbound"),
        ("ai", "chat_completion"),
    ]
    assert [(part["channel"], part["estimatedCostUsd"]) for part in body["channels"]] == [
        ("sms", "1.975"),
        ("ai", None),
    ]
    assert body["nextCursor"] is None


def test_a_line_says_how_it_is_computed_and_bears_it_out(client: TestClient, acme: Headers) -> None:
    line = ask(client, acme, channel="sms")["lines"][0]
    assert line["formula"] == "200 × 0.0079 ÷ 1"
    assert (line["estimatedCostUsd"], line["unpricedReason"]) == ("1.58", None)
    assert line["priceSet"]["version"] == "a version"
    assert [(part["rule"], part["recordCount"]) for part in line["attribution"]] == [("phone_number", 2), ("event", 1)]
    assert problems(line, DAY) == []


def test_an_unpriced_line_says_why_and_costs_nothing_known(client: TestClient, acme: Headers) -> None:
    (line,) = ask(client, acme, channel="ai")["lines"]
    assert (line["estimatedCostUsd"], line["formula"], line["terms"]) == (None, None, None)
    assert line["unpricedReason"] == "The price book has no price for openai chat_completion gpt-x on 2026-11-19."
    assert problems(line, DAY) == []


def test_a_page_of_lines_follows_the_one_before(client: TestClient, acme: Headers) -> None:
    whole = [line["lineId"] for line in ask(client, acme)["lines"]]
    seen: list[str] = []
    cursor = None
    while True:
        page = ask(client, acme, limit=1, **({"cursor": cursor} if cursor else {}))
        seen += [line["lineId"] for line in page["lines"]]
        assert len(page["channels"]) == 2
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == whole


def test_a_lines_records_are_paged_by_a_cursor_of_their_own(client: TestClient, acme: Headers) -> None:
    records = ask(client, acme, records=2)["lines"][0]["records"]
    line_id = ask(client, acme)["lines"][0]["lineId"]
    assert ([item["id"] for item in records["items"]], records["total"]) == (["R1", "R2"], 3)
    rest = ask(client, acme, line=line_id, records=2, cursor=records["nextCursor"])["lines"][0]["records"]
    assert ([item["id"] for item in rest["items"]], rest["total"], rest["nextCursor"]) == (["R3"], 3, None)


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"date": "2026-13-01"}, 422),
        ({"date": "2026-11-21"}, 422),
        ({"channel": "fax"}, 404),
        ({"line": "0123"}, 404),
        ({"limit": 0}, 422),
        ({"records": 501}, 422),
        ({"cursor": "nonsense"}, 422),
        ({"channel": "a\0b"}, 422),
    ],
)
def test_bad_input(client: TestClient, acme: Headers, parameters: dict[str, Any], status: int) -> None:
    assert client.get(EXPLAIN, params={"date": DAY, **parameters}, headers=acme).status_code == status


def test_a_cursor_belongs_to_its_list(client: TestClient, acme: Headers) -> None:
    cursor = ask(client, acme, limit=1)["nextCursor"]
    for other in ({"channel": "sms"}, {"date": "2026-11-20"}):
        answer = client.get(EXPLAIN, params={"date": DAY, "cursor": cursor, **other}, headers=acme)
        assert answer.status_code == 422
    other_tenant = client.get(EXPLAIN, params={"date": DAY, "cursor": cursor}, headers=bearer("tenant_admin", "bolt"))
    assert other_tenant.status_code == 422


def test_the_owner_asks_for_any_tenant_and_for_nobody(client: TestClient, acme: Headers, root: Headers) -> None:
    own = client.get(EXPLAIN, params={"date": DAY}, headers=acme)
    seen = client.get("/api/admin/usage/acme/explain", params={"date": DAY}, headers=root)
    assert (seen.status_code, seen.text) == (200, own.text)
    nobody = client.get("/api/admin/usage/unattributed/explain", params={"date": "2026-11-12"}, headers=root).json()
    assert [line["service"] for line in nobody["lines"]] == ["sendgrid"]
    assert client.get("/api/admin/usage/nobody/explain", headers=root).status_code == 404


def test_another_tenants_line_is_not_found(client: TestClient, acme: Headers, root: Headers) -> None:
    other_line = client.get("/api/admin/usage/bolt/explain", params={"date": "2026-11-10"}, headers=root).json()
    line_id = other_line["lines"][0]["lineId"]
    answer = client.get(EXPLAIN, params={"date": "2026-11-10", "line": line_id}, headers=acme)
    assert answer.status_code == 404


def test_a_known_etag_is_304(client: TestClient, acme: Headers) -> None:
    etag = client.get(EXPLAIN, params={"date": DAY}, headers=acme).headers["etag"]
    again = client.get(EXPLAIN, params={"date": DAY}, headers={**acme, "If-None-Match": etag})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("messaging_service", "The messaging service is the tenant's on that day."),
        ("bucket", "The bucket is the tenant's on that day."),
        ("none", "No entry of the tenant directory names its tenant."),
    ],
)
def test_how_a_tenant_was_found_is_a_sentence(rule: str, text: str) -> None:
    assert rule_text(rule) == text
