"""Anthropic: both pairs of reports fill the same tables; cents become dollars, parts of the input stay apart, each day is answered for by itself."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.sources.anthropic import kept_days
from ingestion.windows import Window
from tests.ingestion.ingesting import DAY, FIRST, LAST, WINDOW, Ingest

ONE_DAY = Window.of_days(DAY, DAY)
USAGE, COSTS = "/usage_report/messages", "/cost_report"
NEW_USAGE, NEW_COSTS = "/analytics/usage", "/analytics/cost"
TOKENS = {
    "uncached_input_tokens": 1500,
    "cache_read_input_tokens": 200,
    "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1000},
    "output_tokens": 700,
    "server_tool_use": {"web_search_requests": 10},
}
NAMES = {
    "workspace_id": "wrkspc_1",
    "api_key_id": "apikey_1",
    "model": "claude-sonnet-4-5",
    "service_tier": "standard",
    "context_window": "0-200k",
}
STORED = ("wrkspc_1", "apikey_1", "claude-sonnet-4-5", "", 1500, 200, 500, 1000, 700, 10)
COLUMNS = (
    "workspace_id, api_key_id, model, tier, uncached_input_tokens, cache_read_input_tokens, ephemeral_5m_input_tokens,"
    " ephemeral_1h_input_tokens, output_tokens, web_search_requests"
)


def usage(**values: object) -> dict[str, Any]:
    return {**TOKENS, **NAMES, **values}


def cost(amount: object = "123.45", **values: object) -> dict[str, Any]:
    return {
        "amount": amount,
        "currency": "USD",
        "workspace_id": "wrkspc_1",
        "description": "Claude Sonnet 4.5 Usage - Input Tokens",
        "cost_type": "tokens",
        "token_type": "uncached_input_tokens",
        "model": "claude-sonnet-4-5",
        "service_tier": "standard",
        "context_window": "0-200k",
        **values,
    }


def bucket(day: date, *results: object) -> dict[str, Any]:
    following = day + timedelta(days=1)
    return {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{following}T00:00:00Z", "results": list(results)}


def page(*data: object, next_page: str | None = None) -> dict[str, Any]:
    return {"data": list(data), "has_more": next_page is not None, "next_page": next_page}


def row(measures: str, values: dict[str, Any], **dimensions: object) -> dict[str, Any]:
    bounds = {"starting_at": f"{DAY}T00:00:00Z", "ending_at": f"{DAY + timedelta(days=1)}T00:00:00Z"}
    return {**bounds, "group": {**NAMES, **dimensions}, measures: values}


@pytest.fixture
def legacy(ingest: Ingest) -> Ingest:
    """Asks for the older reports: what a test does not serve is empty, day by day."""
    ingest.variables |= {"ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-sandbox"}
    return ingest


@pytest.fixture
def analytics(legacy: Ingest) -> Ingest:
    """Asks for the newer reports."""
    legacy.variables |= {"METERING_ANTHROPIC_REPORTS": "analytics"}
    return legacy


def served(ingest: Ingest, answers: dict[str, object], window: Window = ONE_DAY) -> Any:
    empty = page(*(bucket(day) for day in window.days()))
    usual = {USAGE: empty, COSTS: empty, NEW_USAGE: page(), NEW_COSTS: page()}
    # The first that fits answers: a page before the list that it is of.
    for match, body in sorted({**usual, **answers}.items(), reverse=True):
        ingest.sandbox.faults.add(match, status=200, body=body, count=None)
    result = ingest.run("anthropic", window)
    ingest.sandbox.faults.clear()
    return result


def test_without_a_key_it_is_skipped(ingest: Ingest) -> None:
    ingest.variables |= {"ANTHROPIC_ADMIN_KEY": ""}
    assert ingest.run("anthropic").status == "skipped"


@pytest.mark.usefixtures("by_dlt")
def test_usage_and_costs_are_stored_exactly(legacy: Ingest) -> None:
    result = served(legacy, {USAGE: page(bucket(DAY, usage())), COSTS: page(bucket(DAY, cost("0.00375")))})
    assert (result.status, result.error) == ("ok", None)
    assert legacy.query(f"select usage_date, account_id, {COLUMNS}, requests from raw.anthropic_usage") == [
        (DAY, "default", *STORED, None)
    ]
    assert legacy.query(
        "select workspace_id, line_item, model, tier, currency, cost_type, amount from raw.anthropic_costs"
    ) == [
        (
            *("wrkspc_1", "Claude Sonnet 4.5 Usage - Input Tokens", "claude-sonnet-4-5", "", "usd", "tokens"),
            Decimal("0.0000375"),
        )
    ]


def test_the_older_reports_are_asked_as_documented(legacy: Ingest) -> None:
    served(legacy, {}, WINDOW)
    (line,) = (request for request in legacy.sandbox.requests if USAGE in request)
    groups = ("workspace_id", "api_key_id", "model", "service_tier", "context_window")
    for part in (
        *("/v1/organizations/usage_report/messages", "bucket_width=1d", "limit=31"),
        *(f"group_by[]={group}" for group in groups),
        *(f"starting_at={FIRST}T00:00:00Z", f"ending_at={WINDOW.end}T00:00:00Z"),
    ):
        assert part in line.replace("%3A", ":")
    (line,) = (request for request in legacy.sandbox.requests if COSTS in request)
    for part in ("group_by[]=workspace_id", "group_by[]=description", "limit=31"):
        assert part in line


@pytest.mark.parametrize(
    ("tier", "window", "wanted"),
    [
        ("standard", "0-200k", ""),
        (None, None, ""),
        ("batch", "0-200k", "batch"),
        ("standard", "200k-1M", "long_context"),
        ("batch", "200k-1M", "batch_long_context"),
        ("priority", "0-200k", "priority"),
        ("flex_discount", None, "flex_discount"),
    ],
)
def test_service_tier_and_context_window_are_the_tier_that_prices_go_by(
    legacy: Ingest, tier: str | None, window: str | None, wanted: str
) -> None:
    served(legacy, {USAGE: page(bucket(DAY, usage(service_tier=tier, context_window=window)))})
    assert legacy.query("select tier from raw.anthropic_usage") == [(wanted,)]


def test_the_default_workspace_and_what_has_no_key_are_empty_names(legacy: Ingest) -> None:
    bare = {"uncached_input_tokens": 5, "workspace_id": None, "api_key_id": None, "model": None, "cache_creation": None}
    code = cost("4.5", workspace_id=None, description="Code Execution Usage", cost_type="code_execution", model=None)
    served(legacy, {USAGE: page(bucket(DAY, bare)), COSTS: page(bucket(DAY, code))})
    assert legacy.query(f"select {COLUMNS} from raw.anthropic_usage") == [("", "", "", "", 5, 0, 0, 0, 0, 0)]
    assert legacy.query("select workspace_id, line_item, model, cost_type, amount from raw.anthropic_costs") == [
        ("", "Code Execution Usage", "", "code_execution", Decimal("0.045"))
    ]


def test_results_of_one_key_are_summed(legacy: Ingest) -> None:
    # Not grouped by: a region, a speed.
    twice = page(bucket(DAY, usage(inference_geo="us"), usage(inference_geo="global")))
    served(legacy, {USAGE: twice, COSTS: page(bucket(DAY, cost("1"), cost("-0.5")))})
    assert legacy.query("select uncached_input_tokens, web_search_requests, requests from raw.anthropic_usage") == [
        (3000, 20, None)
    ]
    assert legacy.query("select amount from raw.anthropic_costs") == [(Decimal("0.005"),)]


def test_pages_are_followed_to_the_end_and_a_missing_day_keeps_its_rows(legacy: Ingest) -> None:
    served(legacy, {USAGE: page(*(bucket(day, usage()) for day in WINDOW.days()))}, WINDOW)
    first = page(bucket(FIRST, usage(output_tokens=1)), next_page="page_2")
    legacy.sandbox.faults.add("page=page_2", status=200, body=page(bucket(LAST)))
    result = served(legacy, {USAGE: first}, WINDOW)
    assert result.status == "failed"
    assert f"3 day(s) of anthropic_usage not answered for ({FIRST + timedelta(days=1)}" in str(result.error)
    kept = dict(legacy.query("select usage_date, output_tokens from raw.anthropic_usage"))
    assert kept == {FIRST: 1, **dict.fromkeys((FIRST + timedelta(days=n) for n in (1, 2, 3)), 700)}


@pytest.mark.parametrize("path", [USAGE, COSTS])
def test_a_list_that_repeats_a_page_is_an_error_that_names_it(legacy: Ingest, path: str) -> None:
    result = served(legacy, {path: page(bucket(DAY), next_page="page_1")})
    assert result.status == "failed"
    assert f"/v1/organizations{path}: the next page repeats an earlier one" in str(result.error)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"uncached_input_tokens": None}, "uncached_input_tokens: missing"),
        ({"output_tokens": -1}, "output_tokens: negative"),
        ({"cache_creation": 7}, "cache_creation: not an object"),
        ({"model": 5}, "model"),
    ],
)
def test_a_malformed_result_is_set_aside_alone(legacy: Ingest, values: dict[str, object], reason: str) -> None:
    served(legacy, {USAGE: page(bucket(DAY, usage(**values), usage(model="m2")))})
    assert legacy.query("select model from raw.anthropic_usage") == [("m2",)]
    ((said,),) = legacy.query("select reason from raw.rejected_records")
    assert reason in said


@pytest.mark.parametrize("amount", [None, "", "a lot", True, {"value": 1}])
def test_a_cost_without_an_amount_is_set_aside(legacy: Ingest, amount: object) -> None:
    served(legacy, {COSTS: page(bucket(DAY, cost(amount), cost("100", model="m2")))})
    assert legacy.query("select model, amount from raw.anthropic_costs") == [("m2", Decimal(1))]


def test_the_newer_reports_fill_the_same_rows_and_count_requests(analytics: Ingest) -> None:
    spent = {"amount": "123.45", "list_amount": "150", "currency": "USD", "requests": None}
    item = row("cost", spent, cost_type="tokens", context_window="200k-1M", api_key_id=None)
    result = served(
        analytics,
        {
            NEW_USAGE: page(row("usage", {**TOKENS, "requests": 3, "total_tokens": 3900}), next_page="p2"),
            "page=p2": page(row("usage", {**TOKENS, "requests": 1}, context_window="200k-1M")),
            NEW_COSTS: page(item),
        },
    )
    assert (result.status, result.error) == ("ok", None)
    assert analytics.query(f"select {COLUMNS}, requests from raw.anthropic_usage order by tier") == [
        (*STORED, 3),
        (*STORED[:3], "long_context", *STORED[4:], 1),
    ]
    assert analytics.query(
        "select workspace_id, line_item, model, tier, cost_type, amount from raw.anthropic_costs"
    ) == [
        (
            *("wrkspc_1", "claude-sonnet-4-5, tokens, standard", "claude-sonnet-4-5", "long_context", "tokens"),
            Decimal("1.2345"),
        )
    ]
    assert not [line for line in analytics.sandbox.requests if "_report" in line]


def test_a_day_of_the_newer_reports_is_answered_by_its_own_list(analytics: Ingest) -> None:
    served(analytics, {NEW_USAGE: page(row("usage", TOKENS))}, WINDOW)
    analytics.sandbox.faults.add(f"{NEW_USAGE}?starting_at={DAY}", status=400, body={})
    result = served(analytics, {}, WINDOW)
    assert result.status == "failed"
    assert f"1 day(s) of anthropic_usage not answered for ({DAY})" in str(result.error)
    assert analytics.days("anthropic_usage") == {DAY: 1}


def test_the_newer_reports_are_asked_for_no_day_that_they_do_not_have() -> None:
    new_year = Window.of_days(date(2025, 12, 30), date(2026, 1, 2))
    assert kept_days(new_year, date(2026, 6, 1)) == [date(2026, 1, 1), date(2026, 1, 2)]
    later = Window.of_days(date(2027, 3, 1), date(2027, 3, 4))
    assert kept_days(later, date(2028, 3, 1)) == [date(2027, 3, 3), date(2027, 3, 4)]
