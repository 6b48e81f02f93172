"""Parcelry's labels, day by day: a request per day (`from` and `to`), a hundred a page, `next_cursor` until it is null.

A voided label is not billed. A price is null until the label is billed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import chain
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import UnusableResponse
from ingestion.sources.account_days import Answer, gather, may_be_of, once, read_account_days
from ingestion.sources.columns import MalformedRecord, Record, convert, decimals, text, timestamps
from ingestion.sources.http import Provider
from ingestion.sources.paging import token
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.windows import Window, midnight

TABLE = "parcelry_labels"
SPEC = SourceSpec(tables=(TABLE,), required_variables=PROVIDER_VARIABLES["parcelry"].required)
ACCOUNT = "parcelry"
PATH = "/v1/labels"
PAGE_SIZE = 100


class ParcelryReader:
    """Reads one window and notes in ``reading`` which days were answered for."""

    def __init__(self, settings: IngestSettings, window: Window, reading: Reading) -> None:
        self.window = window
        self.reading = reading
        self.api = Provider("parcelry", settings, BearerTokenAuth(settings.parcelry_api_key.get_secret_value()))
        reading.expected |= {Unit(TABLE, ACCOUNT, day) for day in window.days()}

    def labels(self) -> Iterator[pa.Table]:
        """Read the labels bought in the window."""
        days = self.window.days()
        return chain.from_iterable(
            read_account_days("parcelry", TABLE, (ACCOUNT,), days, self._day, self.reading, must_answer=(ACCOUNT,))
        )

    def _day(self, _account: str, day: date) -> Answer:
        bounds = {"from": midnight(day).isoformat(), "to": midnight(day + timedelta(days=1)).isoformat()}
        return gather(
            self._pages(bounds),
            lambda labels: convert(
                [label for label in once(labels, "id") if may_be_of(day, label, _bought_at)], labels_table
            ),
        )

    def _pages(self, bounds: dict[str, str]) -> Iterator[list[Any]]:
        for body in self.api.pages(PATH, {**bounds, "limit": PAGE_SIZE}, token("next_cursor", "cursor")):
            labels = body.get("labels") if isinstance(body, dict) else None
            if not isinstance(labels, list):
                raise UnusableResponse(f"{PATH} answered without its list `labels`")
            yield labels


def labels_table(records: Sequence[Record]) -> pa.Table:
    """Return labels; a price is exact, and null where there is none yet."""
    bought_at = timestamps(records, "bought_at")
    if bought_at.null_count:
        raise MalformedRecord("bought_at: missing")
    return pa.table(
        {
            "account_id": pa.array([ACCOUNT] * len(records), pa.string()),
            "usage_date": bought_at.cast(pa.date32()),
            "id": text(records, "id", required=True),
            "shop": text(records, "shop"),
            "kind": text(records, "kind", required=True),
            "state": text(records, "state", required=True),
            "price": decimals(records, "price"),
            "currency": pc.utf8_upper(text(records, "currency")),
            "bought_at": bought_at,
        }
    )


def _bought_at(label: Record) -> pa.Array:
    return timestamps([label], "bought_at")


@dlt.source(name="parcelry")
def build_parcelry_source(reader: ParcelryReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return (dlt.resource(reader.labels(), name=TABLE),)
