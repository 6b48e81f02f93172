"""Anthropic's usage and cost reports: the older pair in daily buckets, the newer in rows.

Only days are served. Usage is stored at the finest grain and summed over what a request does not group by; a field that is not grouped by
is null. What Anthropic documents as a bound is refused beyond it, not clamped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import views
from sandbox.anthropic import Refused, answer, error_body, key_of
from sandbox.lists import Record
from sandbox.openai import many
from sandbox.state import ANTHROPIC_ADMIN_KEY, State

PREFIX = "/v1/organizations/"
BETA = "analytics-usage-cost-2026-08-24"
FIRST_ANALYTICS_DAY = date(2026, 1, 1)
ANALYTICS_DAYS, LONGEST_QUERY, MOST_GROUPS = 365, 31, 5
USAGE_GROUPS = ("api_key_id", "workspace_id", "model", "service_tier", "context_window")
COST_GROUPS = ("workspace_id", "model", "cost_type", "token_type", "service_tier", "context_window")
TOKENS = (
    *("uncached_input_tokens", "cache_read_input_tokens", "cache_creation"),
    *("output_tokens", "server_tool_use", "requests"),
)


@dataclass(frozen=True)
class Report:
    """One of the four: where it is, of which list, by what it may be grouped, and what a group of records comes to."""

    path: str
    records: str
    groups: tuple[str, ...]
    result: Callable[[list[Record]], Record]


def _usage(records: list[Record]) -> Record:
    """The older report does not count requests."""
    return {name: value for name, value in _counts(records).items() if name != "requests"}


def _counts(records: list[Record]) -> Record:
    return {name: _sum([record[name] for record in records if name in record]) for name in TOKENS}


def _all_counts(records: list[Record]) -> Record:
    counts = _counts(records)
    parts = (counts["uncached_input_tokens"], counts["cache_read_input_tokens"], counts["output_tokens"])
    return {**counts, "total_tokens": sum(parts) + sum(counts["cache_creation"].values())}


def _cost(records: list[Record]) -> Record:
    """Cents, as text."""
    total = sum((Decimal(str(record["amount"])) for record in records), Decimal(0))
    return {"amount": str(total), "currency": records[0]["currency"]}


def _list_cost(records: list[Record]) -> Record:
    cost = _cost(records)
    return {**cost, "list_amount": cost["amount"], "requests": None}


def _sum(values: list[Any]) -> Any:
    if values and isinstance(values[0], dict):
        return {name: _sum([value[name] for value in values]) for name in values[0]}
    return sum(values)


BUCKETED = (
    Report("usage_report/messages", "anthropic_usage", USAGE_GROUPS, _usage),
    Report("cost_report", "anthropic_costs", ("workspace_id", "description"), _cost),
)
IN_ROWS = (
    Report("analytics/usage", "anthropic_usage", USAGE_GROUPS, _all_counts),
    Report("analytics/cost", "anthropic_costs", COST_GROUPS, _list_cost),
)
# What a description of a cost tells beside itself.
DESCRIBED = ("cost_type", "token_type", "model", "service_tier", "context_window")


class AnthropicReports:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        return [
            *(Route(PREFIX + report.path, self._guard(report, self._buckets)) for report in BUCKETED),
            *(Route(PREFIX + report.path, self._guard(report, self._rows)) for report in IN_ROWS),
        ]

    def _guard(self, report: Report, serve: Callable[[Request, Report], Record]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            if key_of(request) != ANTHROPIC_ADMIN_KEY:
                return answer(error_body(401), 401)
            try:
                if "anthropic-version" not in request.headers:
                    raise Refused(400, "anthropic-version: header is required")
                if report in IN_ROWS and BETA not in request.headers.get("anthropic-beta", ""):
                    raise Refused(400, f"anthropic-beta: {BETA} is required")
                with self.state.lock:
                    return answer(serve(request, report), 200)
            except Refused as problem:
                return answer(error_body(problem.status, str(problem)), problem.status)

        return guarded

    def _buckets(self, request: Request, report: Report) -> Record:
        first, end = self._range(request)
        end = min(end, self.state.now.date() + timedelta(days=1))
        limit = _limit(request, 7, LONGEST_QUERY)
        groups = _groups(request, report)
        token = request.query_params.get("page")
        start = first if token is None else _day("page", token.removeprefix("page_"))
        days = [start + timedelta(days=number) for number in range((end - start).days)]
        data = [
            {**_bounds(day), "results": [{**of, **measured} for of, measured in self._results(report, day, groups)]}
            for day in days[:limit]
            if not self.state.is_missing(report.records, day)
        ]
        more = len(days) > limit
        return {"data": data, "has_more": more, "next_page": f"page_{days[limit]}" if more else None}

    def _rows(self, request: Request, report: Report) -> Record:
        first, end = self._range(request)
        today = self.state.now.date()
        if first < max(FIRST_ANALYTICS_DAY, today - timedelta(days=ANALYTICS_DAYS)):
            raise Refused(400, "starting_at: must be within the last 365 days and no earlier than 2026-01-01T00:00:00Z")
        if (end - first).days > LONGEST_QUERY:
            raise Refused(400, "ending_at: the range may span at most 31 days")
        if request.query_params.get("time_bucket_width") != "1d":
            raise Refused(400, "time_bucket_width: the sandbox keeps days only")
        groups = _groups(request, report)
        if len(groups) > MOST_GROUPS:
            raise Refused(400, "group_by: at most 5 dimensions")
        limit = _limit(request, 20, 1000)
        measures = report.path.rpartition("/")[2]
        rows = [
            {**_bounds(first + timedelta(days=number)), "group": of, measures: measured}
            for number in range((end - first).days)
            for of, measured in self._results(report, first + timedelta(days=number), groups)
        ]
        start = int(request.query_params.get("page", "row_0").removeprefix("row_"))
        more = len(rows) > start + limit
        return {
            "data": rows[start : start + limit],
            "has_more": more,
            "next_page": f"row_{start + limit}" if more else None,
            "data_refreshed_at": self.state.now.isoformat(),
        }

    def _range(self, request: Request) -> tuple[date, date]:
        first = _day("starting_at", request.query_params.get("starting_at", ""))
        told = request.query_params.get("ending_at")
        end = self.state.now.date() + timedelta(days=1) if told is None else _day("ending_at", told)
        if end <= first:
            raise Refused(400, "ending_at: must be after starting_at")
        return first, end

    def _results(self, report: Report, day: date, groups: list[str]) -> Iterator[tuple[Record, Record]]:
        found: dict[tuple[Any, ...], list[Record]] = {}
        names = (*report.groups, *DESCRIBED) if "description" in groups else report.groups
        shown = {*groups, *(DESCRIBED if "description" in groups else ())}
        for stored in self.state.on_date(report.records, day):
            record = views.bucket_at(stored, self.state.now.timestamp())
            if record is not None:
                key = tuple(record.get(name) if name in shown else None for name in names)
                found.setdefault(key, []).append(record)
        for key, records in found.items():
            yield dict(zip(names, key, strict=True)), report.result(records)


def _groups(request: Request, report: Report) -> list[str]:
    groups = many(request, "group_by")
    for name in groups:
        if name not in report.groups:
            raise Refused(400, f"group_by: Input should be one of {', '.join(report.groups)}")
    return groups


def _limit(request: Request, usual: int, largest: int) -> int:
    text = request.query_params.get("limit", str(usual))
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise Refused(400, f"limit: Input should be from 1 to {largest}")
    return int(text)


def _day(name: str, text: str) -> date:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).date()
    except ValueError:
        raise Refused(400, f"{name}: Input should be a valid datetime") from None


def _bounds(day: date) -> Record:
    return {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{day + timedelta(days=1)}T00:00:00Z"}
