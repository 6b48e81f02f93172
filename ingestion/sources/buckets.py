"""Usage and costs that a provider keeps by the day, in buckets of a paged list.

A bucket in the answer answers for its UTC day, also an empty one. One that is missing is no answer: its rows stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from ingestion.failures import ProviderError, UnusableResponse
from ingestion.sources.columns import UNREADABLE, Record, Rejected, convert, text
from ingestion.sources.reading import Reading, Unit
from ingestion.windows import Window

ACCOUNT = "default"
"""The organization: an admin key reads one, and does not say which."""

ToTable = Callable[[Sequence[Record], date], pa.Table]


@dataclass(frozen=True)
class Buckets:
    """What of a bucketed list is to be kept.

    Attributes:
        table: the raw table whose days it answers for.
        path: what errors name.
        start: a bucket's first instant; what it raises for an odd one is among `UNREADABLE` or an OSError.
        to_table: columns of a day's results.
        said: columns of ``to_table`` that are neither a key nor an amount.
    """

    table: str
    path: str
    start: Callable[[Record], datetime]
    to_table: ToTable
    said: Collection[str] = ()


def read_buckets(
    pages: Iterator[Any],
    buckets: Buckets,
    window: Window,
    reading: Reading,
    *,
    is_absent: Callable[[ProviderError], bool],
) -> Iterator[pa.Table]:
    """Yield the rows of the window's days in ``pages``, and mark in ``reading`` the days that were in the answer.

    ``is_absent`` says of the first page's failure whether it means that the organization does not have this list: then no
    answer is owed.
    """
    days: dict[date, pa.Table | None] = {}
    aside: dict[date, list[Rejected]] = {}
    try:
        for body in pages:
            listed = body.get("data") if isinstance(body, dict) else None
            if not isinstance(listed, list):
                raise UnusableResponse(f"{buckets.path} answered without its list `data`")
            for bucket in listed:
                day, results = _of_bucket(bucket, buckets.start)
                if day is None or day not in window:
                    continue
                tables, rejected = convert(results, partial(of_day, buckets.to_table, day))
                # The same bucket on two pages (a page boundary moved): the later one is the whole.
                days[day] = _together(tables, buckets, day)
                aside[day] = rejected
    except ProviderError as error:
        if not days and is_absent(error):
            reading.expected -= {Unit(buckets.table, ACCOUNT, day) for day in window.days()}
            return
        reading.fail(error)
        if isinstance(error, UnusableResponse):
            return
        # Buckets of the pages before are whole; the days of the unread ones stay unanswered.
    for day, rejected in aside.items():
        reading.answer(Unit(buckets.table, ACCOUNT, day), rejected)
    pieces = [part for part in days.values() if part is not None]
    if pieces:
        yield pa.concat_tables(pieces)


def _of_bucket(bucket: Any, start: Callable[[Record], datetime]) -> tuple[date | None, list[Any]]:
    """Return a bucket's UTC day and results. No day: a bucket that cannot be read is not an answer."""
    if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
        return None, []
    try:
        return start(bucket).date(), bucket["results"]
    except (*UNREADABLE, OSError):
        return None, []


def of_day(to_table: ToTable, day: date, records: Sequence[Record]) -> pa.Table:
    """Return what ``to_table`` makes of one day's records: with the day given, what `convert` wants."""
    return to_table(records, day)


def _together(tables: list[pa.Table], buckets: Buckets, day: date) -> pa.Table | None:
    try:
        return summed(pa.concat_tables(tables), buckets.said) if tables else None
    except UNREADABLE as error:
        raise UnusableResponse(f"{buckets.path}: {day} cannot be added up ({type(error).__name__})") from None


def keys(records: Sequence[Record], day: date, fields: Sequence[str]) -> dict[str, pa.Array]:
    """Return the columns by which a day's rows are told apart; what is not grouped by is null there and '' here."""
    return {
        "account_id": pa.array([ACCOUNT] * len(records), pa.string()),
        "usage_date": pa.array([day] * len(records), pa.date32()),
        **{field: text(records, field, default="") for field in fields},
    }


def summed(table: pa.Table, said: Collection[str] = ()) -> pa.Table:
    """Return one row per key: results of one bucket that differ in nothing we group by are one.

    Numbers are added up; of the columns ``said``, which are no key, the greatest text is kept.
    """
    amounts = [
        field.name for field in table.schema if pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
    ]
    names = [name for name in table.column_names if name not in amounts and name not in said]
    if table.group_by(names).aggregate([]).num_rows == table.num_rows:
        return table
    rules = {**dict.fromkeys(amounts, "sum"), **dict.fromkeys(said, "max")}
    merged = table.group_by(names).aggregate(list(rules.items()))
    return pa.table(
        {
            field.name: merged[f"{field.name}_{rules[field.name]}" if field.name in rules else field.name].cast(
                field.type
            )
            for field in table.schema
        }
    )
