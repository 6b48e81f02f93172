"""OpenAI: usage, endpoint by endpoint, and costs, by daily bucket. See README.md."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import ProviderError, UnusableResponse
from ingestion.sources.columns import UNREADABLE, Record, Rejected, convert
from ingestion.sources.http import Provider
from ingestion.sources.openai.schemas import completions_table, costs_table, counts_table, embeddings_table, summed
from ingestion.sources.paging import cursor, next_page
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.windows import Window

logger = logging.getLogger("metering.ingest")

PROJECT = ["project_id"]
BY_KEY = ["project_id", "api_key_id"]
BY_MODEL = ["project_id", "api_key_id", "model"]
BY_TIER = [*BY_MODEL, "batch", "service_tier"]
"""Never changed: another grouping re-keys every row and would count it twice."""

COUNTED: dict[str, tuple[str, list[str]]] = {
    "images": ("images", BY_MODEL),
    "audio_speeches": ("characters", BY_MODEL),
    "audio_transcriptions": ("seconds", BY_MODEL),
    "moderations": ("input_tokens", BY_MODEL),
    "vector_stores": ("usage_bytes", PROJECT),
    "code_interpreter_sessions": ("num_sessions", PROJECT),
    "file_search_calls": ("num_requests", BY_KEY),
    "web_search_calls": ("num_requests", BY_MODEL),
}
"""Usage endpoint -> what it counts, and the finest grouping that it knows."""

SPEC = SourceSpec(
    tables=(
        "openai_usage_completions",
        "openai_usage_embeddings",
        "openai_costs",
        *(f"openai_usage_{endpoint}" for endpoint in COUNTED),
    ),
    # No limit is published.
    retention_days=None,
    required_variables=PROVIDER_VARIABLES["openai"].required,
)
ACCOUNT = "default"
"""The organization: an admin key reads one, and does not say which."""

COST_GROUPS = ["project_id", "line_item"]

USAGE_BUCKETS_PER_PAGE = 31
COST_BUCKETS_PER_PAGE = 180


class OpenAIReader:
    """Reads one window and notes in ``reading`` which buckets were in the answers."""

    def __init__(self, settings: IngestSettings, window: Window, reading: Reading) -> None:
        self.window = window
        self.reading = reading
        self.api = Provider("openai", settings, BearerTokenAuth(settings.openai_admin_key.get_secret_value()))
        reading.expected |= {Unit(table, ACCOUNT, day) for table in SPEC.tables for day in window.days()}

    def completions(self) -> Iterator[pa.Table]:
        """Read chat completions' and responses' tokens."""
        return self._buckets(
            "openai_usage_completions",
            "/organization/usage/completions",
            BY_TIER,
            USAGE_BUCKETS_PER_PAGE,
            completions_table,
        )

    def embeddings(self) -> Iterator[pa.Table]:
        """Read embeddings' tokens."""
        return self._buckets(
            "openai_usage_embeddings",
            "/organization/usage/embeddings",
            BY_MODEL,
            USAGE_BUCKETS_PER_PAGE,
            embeddings_table,
        )

    def counted(self, endpoint: str) -> Iterator[pa.Table]:
        """Read an endpoint of `COUNTED`. One that this organization does not have (404) owes no answer."""
        measure, groups = COUNTED[endpoint]
        return self._buckets(
            f"openai_usage_{endpoint}",
            f"/organization/usage/{endpoint}",
            groups,
            USAGE_BUCKETS_PER_PAGE,
            partial(counts_table, measure=measure),
        )

    def costs(self) -> Iterator[pa.Table]:
        """Read what is billed, by project and line item."""
        return self._buckets("openai_costs", "/organization/costs", COST_GROUPS, COST_BUCKETS_PER_PAGE, costs_table)

    def _buckets(
        self,
        table: str,
        path: str,
        groups: list[str],
        limit: int,
        to_table: Callable[[Sequence[Record], str, date], pa.Table],
    ) -> Iterator[pa.Table]:
        params = {
            "start_time": int(self.window.start_at.timestamp()),
            "end_time": int(self.window.end_at.timestamp()),
            "bucket_width": "1d",
            "limit": limit,
            "group_by[]": groups,
        }
        days: dict[date, pa.Table | None] = {}
        aside: dict[date, list[Rejected]] = {}
        try:
            for body in self.api.pages(path, params, cursor("page", next_page)):
                buckets = body.get("data") if isinstance(body, dict) else None
                if not isinstance(buckets, list):
                    raise UnusableResponse(f"{path} answered without its list `data`")
                for bucket in buckets:
                    day, results = _of_bucket(bucket)
                    if day is None or day not in self.window:
                        continue
                    tables, rejected = convert(results, partial(_of_day, to_table, day))
                    # The same bucket on two pages (a page boundary moved): the later one is the whole.
                    try:
                        days[day] = summed(pa.concat_tables(tables)) if tables else None
                    except UNREADABLE as error:
                        raise UnusableResponse(f"{path}: {day} cannot be added up ({type(error).__name__})") from None
                    aside[day] = rejected
        except ProviderError as error:
            if error.status == 404 and not days and path.rpartition("/")[2] in COUNTED:
                logger.warning("openai: %s; nothing of %s is read", error, table)
                self.reading.expected -= {Unit(table, ACCOUNT, day) for day in self.window.days()}
                return
            self.reading.fail(error)
            if isinstance(error, UnusableResponse):
                return
            # Buckets of the pages before are whole; the days of the unread ones stay unanswered.
        for day, rejected in aside.items():
            self.reading.answer(Unit(table, ACCOUNT, day), rejected)
        pieces = [part for part in days.values() if part is not None]
        if pieces:
            yield pa.concat_tables(pieces)


def _of_bucket(bucket: Any) -> tuple[date | None, list[Any]]:
    """Return a bucket's UTC day and results. No day: a bucket that cannot be read is not an answer."""
    if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
        return None, []
    try:
        return datetime.fromtimestamp(int(bucket["start_time"]), UTC).date(), bucket["results"]
    except (*UNREADABLE, OSError):
        return None, []


def _of_day(
    to_table: Callable[[Sequence[Record], str, date], pa.Table], day: date, records: Sequence[Record]
) -> pa.Table:
    return to_table(records, ACCOUNT, day)


@dlt.source(name="openai")
def build_openai_source(reader: OpenAIReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return (
        dlt.resource(reader.completions(), name="openai_usage_completions"),
        dlt.resource(reader.embeddings(), name="openai_usage_embeddings"),
        dlt.resource(reader.costs(), name="openai_costs"),
        *(dlt.resource(reader.counted(endpoint), name=f"openai_usage_{endpoint}") for endpoint in COUNTED),
    )
