"""Lists of records read account by account and day by day: which of the days were answered for, and when to stop asking."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from ingestion.failures import PermanentProviderError, TransientProviderError, UnusableResponse
from ingestion.sources.ahead import ahead
from ingestion.sources.columns import UNREADABLE, Record, Rejected
from ingestion.sources.reading import Reading, Unit

logger = logging.getLogger("metering.ingest")

ROWS_PER_TABLE = 25_000
GIVE_UP_AFTER = 3
"""Requests in a row that are throttled or failing for all our attempts before we stop asking."""

ACCOUNT_REFUSALS = (401, 403, 404)

Answer = tuple[list[pa.Table], list[Rejected]]


def read_account_days(
    provider: str,
    table: str,
    accounts: Collection[str],
    days: Iterable[date],
    read: Callable[[str, date], Answer],
    reading: Reading,
    *,
    owed: Collection[str],
) -> Generator[pa.Table]:
    """Yield what ``read`` returns of each account's days, and mark in ``reading`` the units that it returned for.

    An account that refuses is not asked again, a refused day is that day's; only an account that is ``owed`` an answer makes
    that a failure.
    """
    waiting: list[pa.Table] = []
    refused: set[str] = set()
    failures = 0
    days = list(days)
    for (account, day), answer in ahead(
        ((account, day) for account in accounts for day in days if account not in refused), read
    ):
        if failures >= GIVE_UP_AFTER:
            break
        if account in refused:
            continue
        try:
            tables, rejected = answer()
        except TransientProviderError as error:
            reading.fail(error)
            failures += not isinstance(error, UnusableResponse)
            continue
        except PermanentProviderError as error:
            if refuses_account(error):
                refused.add(account)
            if account in owed:
                reading.fail(error)
            else:
                logger.warning("%s: %s; the directory's account %s is left out", provider, error, account)
            continue
        failures = 0
        reading.answer(Unit(table, account, day), rejected)
        waiting += [piece for piece in tables if piece.num_rows]
        if sum(piece.num_rows for piece in waiting) >= ROWS_PER_TABLE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


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
