"""Anthropic: an organization's usage and costs by day, from either pair of reports. See README.md."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.auth import APIKeyAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import UnusableResponse
from ingestion.sources.account_days import Answer, Patience, Together, read_account_days
from ingestion.sources.anthropic.schemas import costs_table, usage_table
from ingestion.sources.buckets import ACCOUNT, Buckets, ToTable, of_day, read_buckets, summed
from ingestion.sources.columns import Record, convert
from ingestion.sources.held import Held
from ingestion.sources.http import Provider
from ingestion.sources.paging import cursor, next_page
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.windows import Window

USAGE, COSTS = "anthropic_usage", "anthropic_costs"
SPEC = SourceSpec(
    tables=(USAGE, COSTS),
    # The newer reports' own limit depends on the setting: see `kept_days`.
    retention_days=None,
    required_variables=PROVIDER_VARIABLES["anthropic"].required,
)
VERSION = {"anthropic-version": "2023-06-01"}
BETA = {"anthropic-beta": "analytics-usage-cost-2026-08-24"}

USAGE_GROUPS = ["workspace_id", "api_key_id", "model", "service_tier", "context_window"]
REPORT_COST_GROUPS = ["workspace_id", "description"]
ANALYTICS_COST_GROUPS = ["workspace_id", "model", "cost_type", "service_tier", "context_window"]
"""Never changed: another grouping re-keys every row and would count it twice."""

BUCKETS_PER_PAGE = 31
ROWS_PER_PAGE = 1000
ANALYTICS_FROM = date(2026, 1, 1)
ANALYTICS_DAYS = 365


def kept_days(window: Window, today: date) -> list[date]:
    """Return the days of ``window`` that the newer reports have: an older one would be refused."""
    first = max(ANALYTICS_FROM, today - timedelta(days=ANALYTICS_DAYS - 1))
    return [day for day in window.days() if day >= first]


class AnthropicReader:
    """Reads one window and notes in ``reading`` which days were answered for."""

    def __init__(self, settings: IngestSettings, window: Window, reading: Reading, *, today: date) -> None:
        self.window = window
        self.reading = reading
        self.is_analytics = settings.anthropic_reports == "analytics"
        self.days = kept_days(window, today) if self.is_analytics else list(window.days())
        key = settings.anthropic_admin_key.get_secret_value()
        self.api = Provider("anthropic", settings, APIKeyAuth(name="x-api-key", api_key=key, location="header"))
        reading.expected |= {Unit(table, ACCOUNT, day) for table in SPEC.tables for day in self.days}

    def usage(self) -> Iterator[pa.Table]:
        """Read tokens and web searches."""
        if self.is_analytics:
            return self._rows(USAGE, "/v1/organizations/analytics/usage", "usage", USAGE_GROUPS, usage_table)
        return self._buckets(USAGE, "/v1/organizations/usage_report/messages", USAGE_GROUPS, usage_table)

    def costs(self) -> Iterator[pa.Table]:
        """Read what is billed, by workspace and line item."""
        if self.is_analytics:
            return self._rows(COSTS, "/v1/organizations/analytics/cost", "cost", ANALYTICS_COST_GROUPS, costs_table)
        return self._buckets(COSTS, "/v1/organizations/cost_report", REPORT_COST_GROUPS, costs_table)

    def _buckets(self, table: str, path: str, groups: list[str], to_table: ToTable) -> Iterator[pa.Table]:
        params = {**_bounds(self.window), "bucket_width": "1d", "limit": BUCKETS_PER_PAGE, "group_by[]": groups}
        return read_buckets(
            self.api.pages(path, params, cursor("page", next_page), headers=VERSION),
            Buckets(table, path, _start, to_table, said=_said(table)),
            self.window,
            self.reading,
            is_absent=lambda error: False,
        )

    def _rows(self, table: str, path: str, measures: str, groups: list[str], to_table: ToTable) -> Iterator[pa.Table]:
        def read(_account: str, day: date) -> Answer:
            params = {
                **_bounds(Window.of_days(day, day)),
                "time_bucket_width": "1d",
                "limit": ROWS_PER_PAGE,
                "group_by[]": groups,
            }
            records: list[Any] = []
            for body in self.api.pages(path, params, cursor("page", next_page), headers={**VERSION, **BETA}):
                rows = body.get("data") if isinstance(body, dict) else None
                if not isinstance(rows, list):
                    raise UnusableResponse(f"{path} answered without its list `data`")
                records += [_flat(row, measures) for row in rows]
            tables, rejected = convert(records, partial(of_day, to_table, day))
            held = Held()
            if tables:
                held.add(summed(pa.concat_tables(tables), _said(table)))
            return held, rejected

        return _each(
            read_account_days(
                "anthropic", table, [ACCOUNT], self.days, read, self.reading, must_answer=[ACCOUNT], patience=Patience()
            )
        )


def _bounds(window: Window) -> dict[str, str]:
    return {"starting_at": f"{window.start}T00:00:00Z", "ending_at": f"{window.end}T00:00:00Z"}


def _start(bucket: Record) -> datetime:
    return datetime.fromisoformat(bucket["starting_at"]).astimezone(UTC)


def _said(table: str) -> tuple[str, ...]:
    return ("cost_type",) if table == COSTS else ()


def _flat(row: Any, measures: str) -> Any:
    """Return a row of the newer reports as the older ones write it: dimensions and measures side by side."""
    if isinstance(row, dict) and isinstance(row.get("group"), dict) and isinstance(row.get(measures), dict):
        return {**row["group"], **row[measures]}
    return row


def _each(together: Generator[Together]) -> Iterator[pa.Table]:
    for tables in together:
        yield from tables


@dlt.source(name="anthropic")
def build_anthropic_source(reader: AnthropicReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return dlt.resource(reader.usage(), name=USAGE), dlt.resource(reader.costs(), name=COSTS)
