"""A day in parts has the rows that it has as one list, whatever the server makes of the bounds, and several parts are asked for at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.failures import TransientProviderError
from ingestion.sources.ahead import REQUESTS_AT_ONCE
from ingestion.sources.columns import Record, text, timestamps
from ingestion.sources.day_parts import FIRST_PAGES, PARTS, DayReader, Span
from ingestion.sources.http import Bounds
from ingestion.windows import midnight
from tests.ingestion.ingesting import DAY

ACCOUNT = "AC1"
PAGE = 3
LONG = FIRST_PAGES * PAGE + 1
SECONDS = 86_400
WHOLE = Span.of(DAY)


def by_second(span: Span, at: datetime) -> bool:
    return span.asked_from <= at < span.end


def both_included(span: Span, at: datetime) -> bool:
    return span.asked_from <= at <= span.end


def both_excluded(span: Span, at: datetime) -> bool:
    # But for midnight: that a day is asked for by it is as it was, and tested with the provider.
    return (span.asked_from < at or at == WHOLE.start) and at < span.end


def by_touched_days(span: Span, at: datetime) -> bool:
    return span.asked_from.date() <= at.date() <= span.end.date()


def by_dates_of_the_bounds(span: Span, at: datetime) -> bool:
    return span.asked_from.date() <= at.date() < span.end.date()


def by_dates_rounded_up(span: Span, at: datetime) -> bool:
    """Nothing at all is of a part of a day."""
    return span.is_whole and by_second(span, at)


SERVERS = [by_second, both_included, both_excluded, by_touched_days, by_dates_of_the_bounds, by_dates_rounded_up]


def record(number: int, second: float) -> Record:
    return {"sid": f"SM{number}", "at": (midnight(DAY) + timedelta(seconds=second)).isoformat()}


def to_table(records: Sequence[Record], _account: str) -> pa.Table:
    return pa.table({"sid": text(records, "sid", required=True), "at": timestamps(records, "at")})


def day_reader(pages: Callable[[str, Span, Bounds], Iterator[list[Any]]]) -> DayReader:
    return DayReader(pages, lambda: Bounds(0, 0, 0), to_table, "at")


class Server:
    """Lists ``records`` newest first; `asked` are the spans in which it was asked."""

    def __init__(self, records: Sequence[Record], is_within: Callable[[Span, datetime], bool] = by_second) -> None:
        self.records = sorted(records, key=lambda each: str(each["at"]), reverse=True)
        self.is_within = is_within
        self.asked: list[Span] = []

    def pages(self, _account: str, span: Span, _bounds: Bounds) -> Iterator[list[Any]]:
        self.asked.append(span)
        found = [each for each in self.records if self._matches(span, each["at"])]
        for first in range(0, len(found) or 1, PAGE):
            yield found[first : first + PAGE]

    def _matches(self, span: Span, at: str) -> bool:
        try:
            return self.is_within(span, datetime.fromisoformat(at))
        except ValueError:
            return True

    def reader(self) -> DayReader:
        return day_reader(self.pages)


def sids(reader: DayReader) -> list[str]:
    """Return the sids of the rows of `DAY`."""
    held, _ = reader.read(ACCOUNT, DAY)
    return sorted(sid for table in held.draw() for sid in table["sid"].to_pylist())


# Of neighbouring days, of the day, and at the parts' borders, of which each is some part's first second.
SECONDS_OF_RECORDS = st.lists(
    st.one_of(
        st.integers(-SECONDS, 2 * SECONDS),
        st.integers(0, SECONDS - 1),
        st.sampled_from([number * SECONDS // PARTS for number in range(PARTS + 1)]),
        st.integers(0, PARTS).map(lambda number: number * SECONDS // PARTS - 1),
    ),
    max_size=40,
)


@pytest.mark.parametrize("is_within", SERVERS)
@given(seconds=SECONDS_OF_RECORDS)
def test_every_record_of_the_day_comes_once(is_within: Callable[[Span, datetime], bool], seconds: list[int]) -> None:
    server = Server([record(*each) for each in enumerate(seconds)], is_within)
    reader = server.reader()
    wanted = sorted(f"SM{number}" for number, second in enumerate(seconds) if 0 <= second < SECONDS)
    assert sids(reader) == wanted
    assert sids(reader) == wanted  # as it is read once it is known how


def test_a_short_list_is_asked_for_once() -> None:
    server = Server([record(number, number) for number in range(LONG - 1)])
    assert len(sids(server.reader())) == LONG - 1
    assert server.asked == [WHOLE]


def test_once_an_account_has_had_a_long_day_its_days_are_asked_for_in_parts() -> None:
    server = Server([record(number, number) for number in range(LONG)])
    reader = server.reader()
    sids(reader)
    assert server.asked[0] == WHOLE
    assert Counter(server.asked[1:]) == Counter(WHOLE.parts(PARTS))
    server.asked.clear()
    sids(reader)
    assert Counter(server.asked) == Counter(WHOLE.parts(PARTS))


def test_of_a_server_that_works_by_days_days_are_asked_for() -> None:
    server = Server([record(number, number) for number in range(LONG)], by_touched_days)
    reader = server.reader()
    sids(reader)
    server.asked.clear()
    assert len(sids(reader)) == LONG
    assert server.asked == [WHOLE]


def test_what_cannot_be_read_is_set_aside_once() -> None:
    odd = [
        {"sid": None, "at": record(0, SECONDS // 2)["at"]},  # of one part, as the others are
        {"sid": "SM-never", "at": "never"},  # of each part, as far as anybody can tell
        {"sid": None, "at": record(0, SECONDS + 5)["at"]},  # of another day
    ]
    server = Server([*(record(number, number * 60) for number in range(LONG)), *odd])
    held, rejected = server.reader().read(ACCOUNT, DAY)
    assert held.rows == LONG
    assert [entry.record for entry in rejected] == odd[:2][::-1] or [entry.record for entry in rejected] == odd[:2]


def test_a_part_that_fails_is_the_day_s_failure_and_ends_the_asking() -> None:
    server = Server([record(number, number * 600) for number in range(10 * LONG)])
    pages = server.pages

    def failing(account: str, span: Span, bounds: Bounds) -> Iterator[list[Any]]:
        yield from pages(account, span, bounds)
        if not span.is_whole:
            raise TransientProviderError("away")

    with pytest.raises(TransientProviderError, match="away"):
        day_reader(failing).read(ACCOUNT, DAY)
    assert len(server.asked) <= 1 + REQUESTS_AT_ONCE


def test_several_parts_are_asked_for_at_once() -> None:
    server = Server([record(number, number * 600) for number in range(10 * LONG)])
    pages, together = server.pages, threading.Barrier(REQUESTS_AT_ONCE)

    def waiting(account: str, span: Span, bounds: Bounds) -> Iterator[list[Any]]:
        if not span.is_whole:
            together.wait(10)  # broken where fewer come: an error
        yield from pages(account, span, bounds)

    assert PARTS % REQUESTS_AT_ONCE == 0
    held, _ = day_reader(waiting).read(ACCOUNT, DAY)
    assert held.rows == sum(number * 600 < SECONDS for number in range(10 * LONG))
