"""Anthropic's reports: buckets, rows, grouping, bounds, refusals; and the official SDK."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anthropic
import pytest
import requests

from sandbox import Sandbox

from .conftest import FIRST, LAST

USAGE, COSTS = "usage_report/messages", "cost_report"
SINCE, UNTIL = f"{FIRST}T00:00:00Z", f"{LAST + timedelta(days=1)}T00:00:00Z"


MONTH = LAST.replace(day=1)


def of_month(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["date"] >= MONTH.isoformat()]


def ask(shared: Sandbox, path: str, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
    usual = {"x-api-key": shared.environment()["ANTHROPIC_ADMIN_KEY"], "anthropic-version": "2023-06-01"}
    return requests.get(
        f"{shared.url}/v1/organizations/{path}", params=params, headers={**usual, **(headers or {})}, timeout=10
    )


def results(shared: Sandbox, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    page: dict[str, Any] = {}
    while True:
        body = ask(shared, path, starting_at=SINCE, ending_at=UNTIL, **params, **page).json()
        for bucket in body["data"]:
            yield from bucket["results"]
        if not body["has_more"]:
            return
        page = {"page": body["next_page"]}


@pytest.mark.parametrize(("key", "status"), [("", 401), ("sk-ant-sandbox", 401), ("sk-ant-admin01-other", 401)])
def test_wrong_keys(shared: Sandbox, key: str, status: int) -> None:
    answer = ask(shared, USAGE, {"x-api-key": key}, starting_at=SINCE)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (USAGE, {}),
        (USAGE, {"starting_at": "soon"}),
        (USAGE, {"starting_at": SINCE, "ending_at": SINCE}),
        (USAGE, {"starting_at": SINCE, "limit": 32}),
        (USAGE, {"starting_at": SINCE, "group_by[]": "description"}),
        (COSTS, {"starting_at": SINCE, "group_by[]": "model"}),
        ("analytics/usage", {"starting_at": SINCE, "ending_at": UNTIL, "time_bucket_width": "1d"}),
    ],
)
def test_what_is_documented_otherwise_is_refused(shared: Sandbox, path: str, params: dict[str, Any]) -> None:
    answer = ask(shared, path, **params)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_usage_is_summed_over_what_is_not_grouped_by(shared: Sandbox) -> None:
    stored = shared.dataset.anthropic_usage
    assert stored
    whole = sum(record["output_tokens"] for record in stored)
    written = sum(record["cache_creation"]["ephemeral_1h_input_tokens"] for record in stored)
    for groups in ([], ["model"], ["workspace_id", "api_key_id", "model", "service_tier", "context_window"]):
        found = list(results(shared, USAGE, limit=1, **{"group_by[]": groups}))
        assert sum(result["output_tokens"] for result in found) == whole
        assert sum(result["cache_creation"]["ephemeral_1h_input_tokens"] for result in found) == written
        assert all("requests" not in result for result in found)
        assert {result["model"] for result in found} == ({r["model"] for r in stored} if groups else {None})


def test_costs_are_cents_as_text(shared: Sandbox) -> None:
    found = list(results(shared, COSTS, **{"group_by[]": ["workspace_id", "description"]}))
    assert sum(Decimal(result["amount"]) for result in found) == sum(
        record["amount"] for record in shared.dataset.anthropic_costs
    )
    assert {type(result["amount"]) for result in found} == {str}
    assert {result["cost_type"] for result in found} >= {"tokens", "code_execution"}
    assert None in {result["workspace_id"] for result in found}


def test_the_official_client_reads_the_newer_reports_to_their_end(shared: Sandbox) -> None:
    client = anthropic.Anthropic(
        api_key=shared.environment()["ANTHROPIC_ADMIN_KEY"], base_url=shared.url, max_retries=0
    )
    analytics = client.beta.organization.analytics
    window: Any = {"starting_at": f"{MONTH}T00:00:00Z", "ending_at": UNTIL, "time_bucket_width": "1d"}
    used = list(analytics.usage.list(**window, group_by=["workspace_id", "model"], limit=3))
    assert len(used) > 3
    data = shared.dataset
    assert sum(row.usage.requests or 0 for row in used) == sum(r["requests"] for r in of_month(data.anthropic_usage))
    spent = list(analytics.cost.list(**window, group_by=["cost_type"]))
    assert sum(Decimal(row.cost.amount) for row in spent) == sum(r["amount"] for r in of_month(data.anthropic_costs))
