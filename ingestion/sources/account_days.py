"""Lists of records read account by account and day by day: which of the days were answered for, and when to stop asking."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any

import pyarrow as pa

from ingestion.failures import PermanentProviderError, TransientProviderError, UnusableResponse
from ingestion.sources.ahead import ahead
from ingestion.sources.columns import UNREADABLE, Record, Rejected
from ingestion.sources.held import Held
from ingestion.sources.reading import Reading, Unit

logger = logging.getLogger("metering.ingest")

ROWS_PER_TABLE = 25_000
RECORDS_AT_ONCE = 5_000
"""Enough for a column's fixed costs not to matter, few enough to be held for each request under way."""
GIVE_UP_AFTER = 3
"""Requests in a row that are throttled or failing for all our attempts before we stop asking."""

ACCOUNT_REFUSALS = (401, 403, 404)

Answer = tuple[Held, list[Rejected]]
Together = Iterable[pa.Table]
"""Tables that become visible together: all rows of one account's day, or of several."""


@dataclass
class Patience:
    """How many requests in a row have failed for all our attempts; tables of one provider may share it."""

    failures: int = 0

    @property
    def is_over(self) -> bool:
        """Whether to stop asking."""
        return self.failures >= GIVE_UP_AFTER


def read_account_days(
    provider: str,
    table: str,
    accounts: Collection[str],
    days: Iterable[date],
    read: Callable[[str, date], Answer],
    reading: Reading,
    *,
    must_answer: Collection[str],
    patience: Patience | None = None,
) -> Generator[Together]:
    """Yield what ``read`` returns of each account's days, and mark in ``reading`` the units that it returned for.

    An account that refuses is not asked again, a refused day is that day's; only an account that ``must_answer`` makes
    that a failure.
    """
    waiting: list[pa.Table] = []
    refused: set[str] = set()
    patience = patience or Patience()
    days = list(days)
    for (account, day), answer in ahead(
        ((account, day) for account in accounts for day in days if account not in refused), read
    ):
        if patience.is_over:
            break
        if account in refused:
            continue
        try:
            held, rejected = answer()
        except TransientProviderError as error:
            reading.fail(error)
            patience.failures += not isinstance(error, UnusableResponse)
            continue
        except PermanentProviderError as error:
            if refuses_account(error):
                refused.add(account)
            if account in must_answer:
                reading.fail(error)
            else:
                logger.warning("%s: %s; the directory's account %s is left out", provider, error, account)
            continue
        patience.failures = 0
        reading.answer(Unit(table, account, day), rejected)
        if held.rows >= ROWS_PER_TABLE:
            # With all that is marked as answered and still waits: they become visible together.
            yield chain(_one(waiting), held.draw())
            waiting = []
            continue
        waiting += held.draw()
        if sum(piece.num_rows for piece in waiting) >= ROWS_PER_TABLE:
            yield _one(waiting)
            waiting = []
    if waiting:
        yield _one(waiting)


def _one(tables: list[pa.Table]) -> list[pa.Table]:
    """Return small tables as one: each costs something on its way into the database."""
    return [pa.concat_tables(tables)] if tables else []


def gather(
    pages: Iterable[list[Any]], to_tables: Callable[[list[Any]], tuple[list[pa.Table], list[Rejected]]]
) -> Answer:
    """Return what ``to_tables`` makes of the records of ``pages``, which become columns while the list is still being read."""
    held = Held()
    rejected: list[Rejected] = []
    for records in _batches(pages):
        tables, malformed = to_tables(records)
        for table in tables:
            held.add(table)
        rejected += malformed
    return held, rejected


def _batches(pages: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Yield the records of ``pages`` in lists of at least `RECORDS_AT_ONCE`, but the last."""
    records: list[Any] = []
    for page in pages:
        records += page
        if len(records) >= RECORDS_AT_ONCE:
            yield records
            records = []
    if records:
        yield records


def refuses_account(error: PermanentProviderError) -> bool:
    """Whether a refusal is of the account (its key, its rights, its name) and not of what was asked: a day that is too old, say."""
    return error.status in ACCOUNT_REFUSALS


def once(records: Sequence[Any], key: str) -> list[Any]:
    """Return the records, of those with the same ``key`` the last: a list that grows while it is paged shows some twice."""
    return list({_identity(record, key, number): record for number, record in enumerate(records)}.values())


def _identity(record: Any, key: str, number: int) -> Any:
    identity = record.get(key) if isinstance(record, dict) else None
    return identity if isinstance(identity, str) and identity else number


def may_be_of(day: date, record: Any, instant: Callable[[Record], pa.Array]) -> bool:
    """Whether a record belongs to ``day``: it does unless its ``instant``, a column of one, says that it is of another."""
    try:
        (piece,) = instant(record).to_pylist()
        return piece is None or bool(piece.date() == day)
    except UNREADABLE:
        return True
