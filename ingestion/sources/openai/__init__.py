"""OpenAI: usage, endpoint by endpoint, and costs, by daily bucket. See README.md."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import ProviderError
from ingestion.sources.buckets import ACCOUNT, Buckets, ToTable, read_buckets
from ingestion.sources.columns import Record
from ingestion.sources.http import Provider
from ingestion.sources.openai.schemas import completions_table, costs_table, counts_table, embeddings_table
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
        return self._buckets(
            "openai_costs", "/organization/costs", COST_GROUPS, COST_BUCKETS_PER_PAGE, costs_table, ("quantity_unit",)
        )

    def _buckets(
        self,
        table: str,
        path: str,
        groups: list[str],
        limit: int,
        to_table: ToTable,
        said: Collection[str] = (),
    ) -> Iterator[pa.Table]:
        params = {
            "start_time": int(self.window.start_at.timestamp()),
            "end_time": int(self.window.end_at.timestamp()),
            "bucket_width": "1d",
            "limit": limit,
            "group_by[]": groups,
        }

        def is_absent(error: ProviderError) -> bool:
            absent = error.status == 404 and path.rpartition("/")[2] in COUNTED
            if absent:
                logger.warning("openai: %s; nothing of %s is read", error, table)
            return absent

        return read_buckets(
            self.api.pages(path, params, cursor("page", next_page)),
            Buckets(table, path, _start, to_table, said),
            self.window,
            self.reading,
            is_absent=is_absent,
        )


def _start(bucket: Record) -> datetime:
    return datetime.fromtimestamp(int(bucket["start_time"]), UTC)


@dlt.source(name="openai")
def build_openai_source(reader: OpenAIReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return (
        dlt.resource(reader.completions(), name="openai_usage_completions"),
        dlt.resource(reader.embeddings(), name="openai_usage_embeddings"),
        dlt.resource(reader.costs(), name="openai_costs"),
        *(dlt.resource(reader.counted(endpoint), name=f"openai_usage_{endpoint}") for endpoint in COUNTED),
    )
