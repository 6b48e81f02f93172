"""SendGrid: daily statistics of the account, of each subuser, and of the categories that are tenants'. See README.md."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import PermanentProviderError, ProviderError, TransientProviderError, UnusableResponse
from ingestion.sources.columns import MalformedRecord, Record, convert, integers, is_id
from ingestion.sources.http import Provider
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.windows import Window

logger = logging.getLogger("metering.ingest")

SPEC = SourceSpec(
    tables=("sendgrid_stats", "sendgrid_subuser_stats", "sendgrid_category_stats"),
    # Of the account's and its subusers' days no limit is published; of categories' see CATEGORIES_KEPT_DAYS.
    retention_days=None,
    required_variables=PROVIDER_VARIABLES["sendgrid"].required,
)
PARENT = "parent"
NAMES_PER_REQUEST = 10
CATEGORIES_KEPT_DAYS = 390
"""SendGrid keeps categories' statistics for thirteen months; an answer about more would say nothing."""
SUBUSERS_PER_PAGE = 500
DAYS_PER_REQUEST = 60
METRICS = ("requests", "processed", "delivered", "deferred", "bounces", "blocks")


class SendGridReader:
    """Reads one window and notes in ``reading`` which days, and which subusers in them, were in the answers."""

    def __init__(
        self,
        settings: IngestSettings,
        window: Window,
        reading: Reading,
        *,
        known_subusers: set[str],
        categories: set[str],
        today: date,
    ) -> None:
        self.window = window
        self.categories = sorted(categories)
        self.today = today
        self.reading = reading
        self.api = Provider("sendgrid", settings, BearerTokenAuth(settings.sendgrid_api_key.get_secret_value()))
        self.listed = self._listed()
        # A name that only the directory (or an earlier read) knows is asked for, but SendGrid owes no answer about it.
        self.subusers = sorted(self.listed | known_subusers)
        reading.expected |= {Unit("sendgrid_stats", PARENT, day) for day in window.days()}
        reading.expected |= {Unit("sendgrid_subuser_stats", name, day) for name in self.listed for day in window.days()}

    def _listed(self) -> set[str]:
        path = "/v3/subusers"
        names: set[str] = set()
        seen = 0

        def rule(page: Any) -> dict[str, Any] | None:
            # There is no total: a short page is the last one.
            return {"offset": seen} if len(page) >= SUBUSERS_PER_PAGE else None

        try:
            for page in self.api.pages(path, {"limit": SUBUSERS_PER_PAGE, "offset": 0}, rule):
                if not isinstance(page, list):
                    raise UnusableResponse(f"{path} answered without a list of subusers")
                by_unit = [record.get("username") if isinstance(record, dict) else None for record in page]
                if not all(map(is_id, by_unit)):
                    logger.warning("sendgrid: %s names a subuser with an invalid name: ignored", path)
                new = {name for name in by_unit if is_id(name)} - names
                if by_unit and not new:
                    raise UnusableResponse(f"{path}: a page repeats earlier ones, so the list never ends")
                names |= new
                seen += len(page)
        except PermanentProviderError as error:
            if error.status == 401:
                self.reading.fail(error)
            else:
                logger.warning("sendgrid: %s; reading the directory's and the stored subusers only", error)
        except TransientProviderError as error:
            self.reading.fail(error)
        return names

    def _days(
        self, path: str, chunk: Window, parameter: str = "", names: Sequence[str] = ()
    ) -> list[tuple[date, list[Any]]]:
        params: dict[str, Any] = {
            "start_date": chunk.start.isoformat(),
            "end_date": (chunk.end - timedelta(days=1)).isoformat(),
            "aggregated_by": "day",
        }
        if names:
            params[parameter] = list(names)
        by_unit: list[tuple[date, list[Any]]] = []
        for body in self.api.pages(path, params):
            if not isinstance(body, list):
                raise UnusableResponse(f"{path} answered without a list of days")
            for entry in body:
                try:
                    day, stats = date.fromisoformat(entry["date"]), entry["stats"]
                except (KeyError, TypeError, ValueError):
                    continue  # a day that cannot be read is not an answer about any
                if day in chunk and isinstance(stats, list):
                    by_unit.append((day, stats))
        return by_unit

    def stats(self) -> Iterator[pa.Table]:
        """Read the account's own days."""
        by_unit: dict[tuple[str, date], list[pa.Table]] = {}
        for chunk in self.window.chunks(DAYS_PER_REQUEST):
            try:
                days = self._days("/v3/stats", chunk)
            except ProviderError as error:
                self.reading.fail(error)
                continue
            for day, stats in days:
                if stats:
                    self._add(by_unit, "sendgrid_stats", PARENT, day, stats[0])
        yield from _together(by_unit)

    def subuser_stats(self) -> Iterator[pa.Table]:
        """Read each subuser's days, ten names a request."""
        by_unit: dict[tuple[str, date], list[pa.Table]] = {}
        for chunk in self.window.chunks(DAYS_PER_REQUEST):
            for position in range(0, len(self.subusers), NAMES_PER_REQUEST):
                self._subusers(by_unit, chunk, self.subusers[position : position + NAMES_PER_REQUEST])
        answered = {unit.account_id for unit in self.reading.answered}
        if unknown := [name for name in self.subusers if name not in self.listed and name not in answered]:
            logger.warning("sendgrid: no answer for subusers that are not in its list: %s", ", ".join(unknown))
        yield from _together(by_unit)

    def _subusers(self, by_unit: dict[tuple[str, date], list[pa.Table]], chunk: Window, names: list[str]) -> None:
        try:
            days = self._days("/v3/subusers/stats", chunk, "subusers", names)
        except PermanentProviderError as error:
            if error.status in (400, 404) and len(names) > 1:
                # One name it does not know spoils the request: ask name by name.
                for name in names:
                    self._subusers(by_unit, chunk, [name])
            elif error.status not in (400, 404):
                self.reading.fail(error)
            return
        except TransientProviderError as error:
            self.reading.fail(error)
            return
        for day, stats in days:
            for entry in stats:
                if isinstance(entry, dict) and entry.get("name") in names:
                    self._add(by_unit, "sendgrid_subuser_stats", str(entry["name"]), day, entry)

    def category_stats(self) -> Iterator[pa.Table]:
        """Read the days of the directory's categories, ten names a request. SendGrid owes no answer about them."""
        by_unit: dict[tuple[str, date], list[pa.Table]] = {}
        start = max(self.window.start, self.today - timedelta(days=CATEGORIES_KEPT_DAYS))
        kept = Window(start, self.window.end) if start < self.window.end else None
        for chunk in kept.chunks(DAYS_PER_REQUEST) if kept else ():
            for position in range(0, len(self.categories), NAMES_PER_REQUEST):
                names = self.categories[position : position + NAMES_PER_REQUEST]
                try:
                    days = self._days("/v3/categories/stats", chunk, "categories", names)
                except PermanentProviderError as error:
                    logger.warning("sendgrid: %s; email by category stays unattributed", error)
                    continue
                except TransientProviderError as error:
                    self.reading.fail(error)
                    continue
                for day, stats in days:
                    for entry in stats:
                        if isinstance(entry, dict) and entry.get("name") in names:
                            self._add(by_unit, "sendgrid_category_stats", str(entry["name"]), day, entry)
        yield from _together(by_unit)

    def _add(
        self, by_unit: dict[tuple[str, date], list[pa.Table]], table: str, account: str, day: date, entry: Any
    ) -> None:
        """Note one unit's answer; if it is in there twice, the later one stands."""
        by_unit[account, day], rejected = convert([entry], lambda records: stats_table(records, account, day))
        self.reading.answer(Unit(table, account, day), rejected)


def _together(by_unit: dict[tuple[str, date], list[pa.Table]]) -> Iterator[pa.Table]:
    tables = [table for parts in by_unit.values() for table in parts]
    if tables:
        yield pa.concat_tables(tables)


def stats_table(records: Sequence[Record], account: str, day: date) -> pa.Table:
    """Return one row of metrics; `requests`, the emails that were to be delivered, is what is metered."""
    metrics = [record.get("metrics") for record in records]
    if not all(isinstance(values, dict) for values in metrics):
        raise MalformedRecord("metrics: not an object")
    values: list[Record] = [entry for entry in metrics if isinstance(entry, dict)]
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": pa.array([day] * len(records), pa.date32()),
            **{name: integers(values, name, required=name == "requests") for name in METRICS},
        }
    )


@dlt.source(name="sendgrid")
def build_sendgrid_source(reader: SendGridReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return (
        dlt.resource(reader.stats(), name="sendgrid_stats"),
        dlt.resource(reader.subuser_stats(), name="sendgrid_subuser_stats"),
        dlt.resource(reader.category_stats(), name="sendgrid_category_stats"),
    )
