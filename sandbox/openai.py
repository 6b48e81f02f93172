"""OpenAI's organization endpoints: usage of completions and embeddings, costs, projects.

Only daily buckets are served. Usage is stored at the finest grain and summed over what a request does not
group by; a field that is not grouped by is null. `limit` out of range is refused, not clamped.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import views
from sandbox.dataset import ENCODER
from sandbox.lists import Record
from sandbox.state import OPENAI_ADMIN_KEY, State
from sandbox.times import DAY, day_of

PREFIX = "/v1"
TYPES = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}
MESSAGES = {
    401: "Incorrect API key provided. You can find your API key at https://platform.openai.com.",
    429: "Rate limit reached for organization usage requests. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
}
CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
# Grouping costs by key is refused before this moment (2025-12-06), as probed on the real API.
KEY_COSTS_FROM = 1_764_979_200


@dataclass(frozen=True)
class Endpoint:
    """One bucketed list: what it may be grouped and filtered by, and what is summed."""

    path: str
    records: str
    object: str
    dimensions: tuple[str, ...]
    largest_limit: int
    sums: tuple[str, ...] = ()


COMPLETIONS = Endpoint(
    "/organization/usage/completions",
    "openai_usage_completions",
    "organization.usage.completions.result",
    ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier"),
    31,
    (
        "input_tokens",
        "input_cached_tokens",
        "input_cache_write_tokens",
        "input_uncached_tokens",
        "output_tokens",
        "input_text_tokens",
        "output_text_tokens",
        "input_cached_text_tokens",
        "input_audio_tokens",
        "input_cached_audio_tokens",
        "output_audio_tokens",
        "input_image_tokens",
        "input_cached_image_tokens",
        "output_image_tokens",
        "num_model_requests",
    ),
)
EMBEDDINGS = Endpoint(
    "/organization/usage/embeddings",
    "openai_usage_embeddings",
    "organization.usage.embeddings.result",
    ("project_id", "user_id", "api_key_id", "model"),
    31,
    ("input_tokens", "num_model_requests"),
)


def _counted(
    name: str, measure: str, dimensions: tuple[str, ...], *, model_requests: bool, singular: str = ""
) -> Endpoint:
    sums = (measure, "num_model_requests") if model_requests else (measure,)
    kind = f"organization.usage.{singular or name}.result"
    return Endpoint(f"/organization/usage/{name}", f"openai_usage_{name}", kind, dimensions, 31, sums)


BY_MODEL = ("project_id", "user_id", "api_key_id", "model")
COUNTED = (
    _counted("images", "images", (*BY_MODEL, "size", "source"), model_requests=True),
    _counted("audio_speeches", "characters", BY_MODEL, model_requests=True),
    _counted("audio_transcriptions", "seconds", BY_MODEL, model_requests=True),
    _counted("moderations", "input_tokens", BY_MODEL, model_requests=True),
    _counted("vector_stores", "usage_bytes", ("project_id",), model_requests=False),
    _counted("code_interpreter_sessions", "num_sessions", ("project_id",), model_requests=False),
    _counted(
        "file_search_calls",
        "num_requests",
        (*BY_MODEL[:3], "vector_store_id"),
        model_requests=False,
        singular="file_searches",
    ),
    _counted(
        "web_search_calls", "num_requests", (*BY_MODEL, "context_level"), model_requests=True, singular="web_searches"
    ),
)
COSTS = Endpoint(
    "/organization/costs",
    "openai_costs",
    "organization.costs.result",
    ("project_id", "line_item", "api_key_id"),
    180,
)
DEFAULT_LIMIT = 7
FILTERS = {
    "project_ids": "project_id",
    "user_ids": "user_id",
    "api_key_ids": "api_key_id",
    "models": "model",
}


class Refused(Exception):
    """A request that OpenAI answers with 400."""

    def __init__(self, message: str, param: str | None, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


def error_body(status: int, message: str | None = None, param: str | None = None, code: str | None = None) -> Record:
    return {
        "error": {
            "message": message or MESSAGES.get(status, "The request failed."),
            "type": TYPES.get(status, "invalid_request_error"),
            "param": param,
            "code": code or CODES.get(status),
        }
    }


def answer(value: Any, status: int = 200) -> Response:
    headers = {"x-request-id": "req_sandbox", "openai-version": "2020-10-01"}
    return Response(ENCODER.encode(value), status, headers, media_type="application/json")


def many(request: Request, name: str) -> list[str]:
    """A list parameter in any of the forms clients send: name=a&name=b, name[]=a, name[0]=a, name=a,b."""
    form = re.compile(rf"{re.escape(name)}(\[\d*\])?")
    values = [value for key, value in request.query_params.multi_items() if form.fullmatch(key)]
    return [part for value in values for part in value.split(",") if part]


def whole_number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None:
        if default is None:
            raise Refused(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
        return default
    try:
        return int(text)
    except ValueError:
        raise Refused(f"Invalid type for '{name}': expected an integer.", name, "invalid_type") from None


def limit_of(request: Request, default: int, largest: int) -> int:
    limit = whole_number(request, "limit", default)
    if limit > largest:
        message = f"Invalid 'limit': integer above maximum value. Expected a value <= {largest}, but got {limit}."
        raise Refused(message, "limit", "integer_above_max_value")
    if limit < 1:
        message = f"Invalid 'limit': integer below minimum value. Expected a value >= 1, but got {limit}."
        raise Refused(message, "limit", "integer_below_min_value")
    return limit


def page_token(start: int) -> str:
    return "page_" + base64.urlsafe_b64encode(str(start).encode()).decode()


def page_start(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token.removeprefix("page_")))
    except (ValueError, binascii.Error):
        raise Refused("Invalid value for 'page'.", "page", "invalid_value") from None


def usage_result(endpoint: Endpoint, group: Record, records: list[Record]) -> Record:
    """One result object: the sums over `records`, and the values of the grouped fields."""
    # A single record is passed on as it is given: data given by hand may hold a wrong type on purpose.
    if len(records) == 1:
        sums = {name: records[0][name] for name in endpoint.sums if name in records[0]}
    else:
        present = [name for name in endpoint.sums if any(name in record for record in records)]
        sums = {name: sum(record.get(name) or 0 for record in records) for name in present}
    return {"object": endpoint.object, **sums, **group}


def costs_result(endpoint: Endpoint, group: Record, records: list[Record]) -> Record:
    amounts = [record.get("amount") or {} for record in records]
    # A single record is passed on as it is given: the API has been seen to send the value as text as well.
    value: Any = amounts[0].get("value") if len(amounts) == 1 else sum(_decimal(a.get("value")) for a in amounts)
    by_item = group.get("line_item") is not None
    quantities = [record["quantity"] for record in records if record.get("quantity") is not None]
    return {
        "object": endpoint.object,
        "amount": {"value": value, "currency": amounts[0].get("currency", "usd")},
        **group,
        "quantity": sum(quantities) if by_item and quantities else None,
        "quantity_unit": records[0].get("quantity_unit") if by_item else None,
    }


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value or 0))


class OpenAI:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        listed = [
            Route(PREFIX + endpoint.path, self._guard(self._bucketed(endpoint)))
            for endpoint in (COMPLETIONS, EMBEDDINGS, *COUNTED, COSTS)
        ]
        return [
            *listed,
            Route(PREFIX + "/organization/projects", self._guard(self.list_projects)),
            Route(PREFIX + "/organization/projects/{project_id}", self._guard(self.fetch_project)),
        ]

    def _guard(self, endpoint: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not key.startswith("sk-"):
                return answer(error_body(401), 401)
            if key != OPENAI_ADMIN_KEY:
                if key.startswith("sk-admin-"):
                    return answer(error_body(401), 401)
                scopes = "You have insufficient permissions for this operation. Missing scopes: api.usage.read."
                return answer(error_body(403, scopes), 403)
            with self.state.lock:
                try:
                    return endpoint(request)
                except Refused as problem:
                    return answer(error_body(400, str(problem), problem.param, problem.code), 400)

        return guarded

    def _bucketed(self, endpoint: Endpoint) -> Callable[[Request], Response]:
        return lambda request: self._buckets(request, endpoint)

    def _buckets(self, request: Request, endpoint: Endpoint) -> Response:
        now = self.state.now.timestamp()
        start = whole_number(request, "start_time")
        end = whole_number(request, "end_time", max(int(now), start) + 1)
        if end <= start:
            raise Refused("'end_time' must be after 'start_time'.", "end_time", "invalid_value")
        limit = limit_of(request, DEFAULT_LIMIT, endpoint.largest_limit)
        width = request.query_params.get("bucket_width", "1d")
        if width != "1d":
            allowed = "'1d'" if endpoint is COSTS else "'1d' (the sandbox keeps daily data only)"
            raise Refused(f"Invalid value for 'bucket_width': supported is {allowed}.", "bucket_width")
        group_by = many(request, "group_by")
        for field in group_by:
            if field not in endpoint.dimensions:
                allowed = ", ".join(f"'{name}'" for name in endpoint.dimensions)
                message = f"Invalid value: '{field}'. Supported values are: {allowed}."
                raise Refused(message, "group_by", "invalid_value")
        if endpoint is COSTS and "api_key_id" in group_by and start < KEY_COSTS_FROM:
            raise Refused("Grouping by api_key_id is not available for this time range.", "group_by")
        keep = self._filters(request, endpoint)

        first = start - start % DAY
        token = request.query_params.get("page")
        cursor = first if token is None else page_start(token)
        end = min(end, int(now) + 1)
        starts = list(range(cursor, end, DAY))
        data = []
        for bucket in starts[:limit]:
            day = day_of(bucket)
            if not self.state.is_missing(endpoint.records, day):
                results = self._results(endpoint, day, now, group_by, keep)
                data.append({"object": "bucket", "start_time": bucket, "end_time": bucket + DAY, "results": results})
        more = len(starts) > limit
        next_page = page_token(starts[limit]) if more else None
        return answer({"object": "page", "data": data, "has_more": more, "next_page": next_page})

    def _filters(self, request: Request, endpoint: Endpoint) -> dict[str, list[str]]:
        keep = {
            field: values
            for name, field in FILTERS.items()
            if field in endpoint.dimensions and (values := many(request, name))
        }
        if "batch" in endpoint.dimensions and "batch" in request.query_params:
            keep["batch"] = [request.query_params["batch"].capitalize()]
        return keep

    def _results(
        self, endpoint: Endpoint, day: date, now: float, group_by: list[str], keep: dict[str, list[str]]
    ) -> list[Record]:
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for stored in self.state.on_date(endpoint.records, day):
            record = views.bucket_at(stored, now)
            if record is None or any(str(record.get(field)) not in values for field, values in keep.items()):
                continue
            key: tuple[Any, ...] = tuple(record.get(name) if name in group_by else None for name in endpoint.dimensions)
            if endpoint is COSTS:
                key = (*key, (record.get("amount") or {}).get("currency"))
            groups.setdefault(key, []).append(record)
        result = costs_result if endpoint is COSTS else usage_result
        return [
            result(endpoint, dict(zip(endpoint.dimensions, key, strict=False)), records)
            for key, records in groups.items()
        ]

    def list_projects(self, request: Request) -> Response:
        limit = limit_of(request, 20, 100)
        archived = request.query_params.get("include_archived", "false").lower() == "true"
        projects = [
            views.plain(project)
            for project in self.state.dataset.openai_projects
            if archived or project.get("status") != "archived"
        ]
        after = request.query_params.get("after")
        first = 0
        if after is not None:
            ids = [project["id"] for project in projects]
            if after not in ids:
                raise Refused(f"No project found with id '{after}'.", "after", "invalid_value")
            first = ids.index(after) + 1
        shown = projects[first : first + limit]
        return answer(
            {
                "object": "list",
                "data": shown,
                "first_id": shown[0]["id"] if shown else None,
                "last_id": shown[-1]["id"] if shown else None,
                "has_more": first + limit < len(projects),
            }
        )

    def fetch_project(self, request: Request) -> Response:
        wanted = request.path_params["project_id"]
        for project in self.state.dataset.openai_projects:
            if project["id"] == wanted:
                return answer(views.plain(project))
        return answer(error_body(404, f"Project not found: {wanted}"), 404)
