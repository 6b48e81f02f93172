"""Cloudflare R2: requests by action and what buckets held, day by day, by GraphQL. See README.md."""

from __future__ import annotations

from collections.abc import Generator
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import PermanentProviderError, ProviderError, TransientProviderError, UnusableResponse
from ingestion.sources.account_days import refuses_account
from ingestion.sources.ahead import ahead
from ingestion.sources.cloudflare.schemas import (
    OPERATIONS_KEY,
    STORAGE_KEY,
    combined,
    operations_table,
    storage_table,
    within,
)
from ingestion.sources.columns import UNREADABLE, Rejected, convert
from ingestion.sources.http import Provider
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.windows import Window, midnight

OPERATIONS, STORAGE = "r2_operations", "r2_storage"
SPEC = SourceSpec(
    tables=(OPERATIONS, STORAGE),
    # R2 keeps 31 times 24 hours: of the 31st day back, a part is gone.
    retention_days=30,
    required_variables=PROVIDER_VARIABLES["cloudflare"].required,
)
LIMIT = 10_000
GIVE_UP_AFTER = 3
SHORTEST = timedelta(seconds=2)
REFUSALS = ("authn", "authz", "unauthorized", "forbidden", "not authorized", "permission", "does not have access")

QUERY = """
query R2Usage($account: string!, $since: Time!, $until: Time!, $limit: uint64!) {
  viewer {
    accounts(filter: {accountTag: $account}) {
      r2OperationsAdaptiveGroups(limit: $limit, filter: {datetime_geq: $since, datetime_leq: $until}) {
        sum { requests }
        dimensions { bucketName actionType actionStatus responseStatusCode }
      }
      r2StorageAdaptiveGroups(limit: $limit, filter: {datetime_geq: $since, datetime_leq: $until}) {
        max { payloadSize metadataSize objectCount uploadCount }
        dimensions { bucketName datetime }
      }
    }
  }
}
"""
GROUPS = {OPERATIONS: "r2OperationsAdaptiveGroups", STORAGE: "r2StorageAdaptiveGroups"}

TablesOfDay = dict[str, tuple[list[pa.Table], list[Rejected]]]


class CloudflareReader:
    """Reads one window and notes in ``reading`` which days were answered for."""

    def __init__(self, settings: IngestSettings, window: Window, reading: Reading) -> None:
        self.window = window
        self.reading = reading
        self.account = settings.cloudflare_account_id
        self.api = Provider("cloudflare", settings, BearerTokenAuth(settings.cloudflare_api_token.get_secret_value()))
        reading.expected |= {Unit(table, self.account, day) for table in SPEC.tables for day in window.days()}
        self._by_table: dict[str, list[pa.Table]] | None = None

    def table(self, name: str) -> Generator[pa.Table]:
        """Read the window, the first time that it is asked for, and yield what of it is one table's."""
        if self._by_table is None:
            self._by_table = self._read()
        if tables := self._by_table[name]:
            yield pa.concat_tables(tables)

    def _read(self) -> dict[str, list[pa.Table]]:
        by_table: dict[str, list[pa.Table]] = {OPERATIONS: [], STORAGE: []}
        failures = 0
        for (day,), answer in ahead(((day,) for day in self.window.days()), self._day):
            if failures >= GIVE_UP_AFTER:
                break
            try:
                parts = answer()
            except PermanentProviderError as error:
                self.reading.fail(error)
                if refuses_account(error):
                    break
                continue
            except TransientProviderError as error:
                self.reading.fail(error)
                failures += not isinstance(error, UnusableResponse)
                continue
            failures = 0
            for name, (tables, rejected) in parts.items():
                self.reading.answer(Unit(name, self.account, day), rejected)
                by_table[name] += [table for table in tables if table.num_rows]
        return by_table

    def _day(self, day: date) -> TablesOfDay:
        parts: list[dict[str, list[Any]]] = []
        self._query(midnight(day), midnight(day + timedelta(days=1)), parts)
        operations, refused = convert(
            [record for part in parts for record in part[OPERATIONS]],
            partial(operations_table, account=self.account, day=day),
        )
        storage, malformed = convert(
            [record for part in parts for record in part[STORAGE]],
            partial(storage_table, account=self.account, day=day),
        )
        try:
            return {
                OPERATIONS: ([combined(operations, OPERATIONS_KEY, "sum")] if operations else [], refused),
                STORAGE: ([within(combined(storage, STORAGE_KEY, "max"), day)] if storage else [], malformed),
            }
        except UNREADABLE as error:
            raise UnusableResponse(f"/graphql: {day} cannot be added up ({type(error).__name__})") from None

    def _query(self, since: datetime, until: datetime, parts: list[dict[str, list[Any]]]) -> None:
        """Add the groups of [since, until) to ``parts``; of an answer that was cut, those of its halves instead."""
        variables = {
            "account": self.account,
            "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
            # Both bounds are included.
            "until": f"{until - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}",
            "limit": LIMIT,
        }
        body = next(self.api.pages("/graphql", {}, json={"query": QUERY, "variables": variables}))
        groups = _groups(body)
        if all(len(group) < LIMIT for group in groups.values()):
            parts.append(groups)
            return
        if until - since <= SHORTEST:
            raise TransientProviderError(f"R2 had more than {LIMIT} groups in one second of {since:%Y-%m-%d}")
        middle = since + timedelta(seconds=int((until - since).total_seconds()) // 2)
        self._query(since, middle, parts)
        self._query(middle, until, parts)


def _groups(body: Any) -> dict[str, list[Any]]:
    """Return an answer's groups by table.

    Raises:
        ProviderError: it is an error, or not about exactly one account.
    """
    if isinstance(body, dict) and body.get("errors"):
        raise _failure(body["errors"])
    try:
        (account,) = body["data"]["viewer"]["accounts"]
        groups = {table: account[name] for table, name in GROUPS.items()}
    except (LookupError, TypeError, ValueError):
        raise PermanentProviderError(
            "/graphql answered without the account: check CLOUDFLARE_ACCOUNT_ID, and what CLOUDFLARE_API_TOKEN may read"
        ) from None
    if not all(isinstance(group, list) for group in groups.values()):
        raise UnusableResponse("/graphql answered without its lists of groups")
    return groups


def _failure(errors: Any) -> ProviderError:
    """Return the error that GraphQL's errors are. Only their codes are named: a message may quote the request."""
    text = str(errors).lower()
    if any(word in text for word in REFUSALS):
        return PermanentProviderError(
            "/graphql refused: check CLOUDFLARE_API_TOKEN (Account Analytics: Read) and CLOUDFLARE_ACCOUNT_ID",
            status=403,
        )
    return TransientProviderError("/graphql answered with errors instead of the day's groups")


@dlt.source(name="cloudflare")
def build_cloudflare_source(reader: CloudflareReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return tuple(dlt.resource(reader.table(name), name=name) for name in SPEC.tables)
