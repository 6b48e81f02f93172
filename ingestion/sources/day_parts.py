"""A day of an account: one list where that is short, else lists of parts of the day, several of which are asked for at once.

The pages of a list are asked for one after the other; of a day of a thousand pages that is minutes of waiting. The rows are the same either
way: each list is cut here to its own time, whatever was sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.account_days import Answer, gather
from ingestion.sources.ahead import ahead
from ingestion.sources.columns import UNREADABLE, Record, Rejected, convert, timestamps
from ingestion.sources.held import Held
from ingestion.sources.http import Bounds
from ingestion.windows import midnight

FIRST_PAGES = 4
"""A list that goes on after them is long: it is dropped, and the day is read in parts."""
PARTS = 12
"""More than are asked for at once, for most of a day's records may be of a few hours."""
OVERLAP = timedelta(seconds=1)
"""What a part is asked for beyond its start, for servers whose bounds are exclusive; providers' times are whole seconds."""


@dataclass(frozen=True)
class Span:
    """A UTC day, or a half-open part of one."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, day: date) -> Span:
        """Return the whole day."""
        return cls(midnight(day), midnight(day + timedelta(days=1)))

    def parts(self, count: int) -> list[Span]:
        """Return ``count`` spans of one length that make up this one."""
        length = (self.end - self.start) / count
        return [Span(*bounds) for bounds in pairwise(self.start + number * length for number in range(count + 1))]

    @property
    def is_whole(self) -> bool:
        """Whether it is a day."""
        return self.end - self.start == timedelta(days=1)

    @property
    def asked_from(self) -> datetime:
        """Where the question begins; of a day and of its first part at midnight, lest a server that works by days sends the one before."""
        return self.start if self.start == midnight(self.start.date()) else self.start - OVERLAP


class _TimesIgnoredError(Exception):
    """The server works by whole days, and sent what is of another part."""


class DayReader:
    """Reads days of one table; may be asked by several threads at once."""

    def __init__(
        self,
        pages: Callable[[str, Span, Bounds], Iterator[list[Any]]],
        bounds: Callable[[], Bounds],
        to_table: Callable[[Sequence[Record], str], pa.Table],
        column: str,
    ) -> None:
        """``pages`` reads an account's list of a span within ``bounds``, which a day's lists share; ``to_table`` converts an account's
        records; ``column`` says when each was.
        """
        self._pages = pages
        self._bounds = bounds
        self._to_table = to_table
        self._column = column
        # Of the accounts that have had a long day, whether the server goes by the time of day.
        self._in_parts: dict[str, bool] = {}
        # One long day at a time: of three, nine lists would be in memory.
        self._turn = threading.Lock()

    def read(self, account: str, day: date) -> Answer:
        """Return an account's day, once all of it was read.

        Raises:
            ProviderError: a page was refused or could not be read.
        """
        whole = Span.of(day)
        in_parts = self._in_parts.get(account)
        if in_parts is None:
            bounds = self._bounds()
            pages = self._pages(account, whole, bounds)
            first = list(islice(pages, FIRST_PAGES))
            is_long = next(pages, None) is not None
            beginning = self._answer(first, account, whole)
            if not is_long:
                return beginning
            answer = self._read_parts(account, whole, bounds, fewest=beginning[0].rows)
        else:
            answer = self._read_parts(account, whole, self._bounds()) if in_parts else None
        return answer or self._answer(self._pages(account, whole, self._bounds()), account, whole)

    def _read_parts(self, account: str, whole: Span, bounds: Bounds, fewest: int = 0) -> Answer | None:
        """Return the day from lists of its parts; None where the server does not go by the time of day: it sent what is of another part, or
        less than the ``fewest`` rows that were seen before.
        """
        over = threading.Event()

        def read(part: Span) -> Answer:
            pages = takewhile(lambda _: not over.is_set(), self._pages(account, part, bounds))
            return self._answer(pages, account, part)

        held = Held()
        rejected: dict[str, Rejected] = {}
        try:
            with self._turn, closing(ahead(((part,) for part in whole.parts(PARTS)), read)) as answers:
                for _, answer in answers:
                    rows, malformed = answer()
                    held.take(rows)
                    # What has no readable time may have been sent with several parts.
                    rejected |= {repr(entry.record): entry for entry in malformed}
            in_parts = held.rows >= fewest
        except _TimesIgnoredError:
            in_parts = False
        finally:
            over.set()
        self._in_parts[account] = in_parts
        return (held, list(rejected.values())) if in_parts else None

    def _answer(self, pages: Iterable[list[Any]], account: str, span: Span) -> Answer:
        return gather(pages, lambda records: self._within(records, account, span))

    def _within(self, records: list[Any], account: str, span: Span) -> tuple[list[pa.Table], list[Rejected]]:
        """Return the records of ``span``. Bounds differ in being inclusive, so it is cut here, whatever was sent."""
        tables, rejected = convert(records, lambda good: self._to_table(good, account))
        inside = [self._cut(table, span) for table in tables]
        return inside, [entry for entry in rejected if self._may_be_of(entry.record, span)]

    def _cut(self, table: pa.Table, span: Span) -> pa.Table:
        when = table[self._column]
        first, last = pc.min_max(when).as_py().values()
        if first is None:
            return table.slice(0, 0)
        if not span.is_whole and not span.start - OVERLAP <= first <= last <= span.end + OVERLAP:
            raise _TimesIgnoredError
        if not when.null_count and span.start <= first <= last < span.end:
            return table
        start, end = (pa.scalar(bound, when.type) for bound in (span.start, span.end))
        return table.filter(pc.and_(pc.greater_equal(when, start), pc.less(when, end)))

    def _may_be_of(self, record: Any, span: Span) -> bool:
        """Whether a malformed record belongs to ``span``: it does unless its time says that it is of another, or of none yet."""
        if not isinstance(record, dict):
            return True
        try:
            when = timestamps([record], self._column)[0].as_py()
        except UNREADABLE:
            return True
        return when is not None and bool(span.start <= when < span.end)
