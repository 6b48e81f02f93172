"""A read that is loaded in parts: each part is visible when the next is being staged, and none is left behind."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import date

import dlt
import psycopg
import pyarrow as pa
import pytest

from ingestion.load.parts import replace_in_parts
from ingestion.load.staging import dataset_name
from ingestion.load.swap import Swapped
from ingestion.sources.reading import Reading, Unit


def part(reading: Reading, number: int) -> object:
    @dlt.source(name="things")
    def records() -> object:
        def rows() -> Iterator[pa.Table]:
            reading.answer(Unit("things", "account", date(2026, 11, number)), [])
            yield pa.table({"number": [number, number]})

        return [dlt.resource(rows(), name="things")]

    return records()


def load(database: str, sources: Generator[object], swaps: list[tuple[int, set[int]]], reading: Reading) -> Swapped:
    def swap(connection: psycopg.Connection, dataset: str, answered: Reading) -> Swapped:
        rows = connection.execute(f'select count(*) from "{dataset}".things'.encode()).fetchone()
        assert rows is not None
        days = {unit.usage_date.day for unit in answered.answered}
        if 13 in days:
            raise RuntimeError("the swap broke")
        swaps.append((rows[0], days))
        connection.execute(f'drop schema "{dataset}" cascade'.encode())
        return Swapped({"things": rows[0]}, {date(2026, 10, min(days))})

    return replace_in_parts(
        sources, swap, reading=reading, dataset=dataset_name("things", "load"), database_url=database
    )


def left_behind(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        return [name for (name,) in connection.execute("select nspname from pg_namespace where nspname like 'load_%'")]


def test_each_part_is_swapped_once_with_what_was_answered_in_it(database: str) -> None:
    reading, swaps = Reading(), list[tuple[int, set[int]]]()
    swapped = load(database, (part(reading, number) for number in (1, 2, 3)), swaps, reading)
    assert swaps == [(2, {1}), (2, {2}), (2, {3})]
    assert swapped.rows == {"things": 6}
    assert swapped.moved_days == {date(2026, 10, day) for day in (1, 2, 3)}
    assert left_behind(database) == []


def test_a_swap_that_fails_is_raised_and_leaves_nothing(database: str) -> None:
    reading, swaps = Reading(), list[tuple[int, set[int]]]()
    with pytest.raises(RuntimeError, match="the swap broke"):
        load(database, (part(reading, number) for number in (1, 13, 3, 4)), swaps, reading)
    assert swaps == [(2, {1})]
    assert left_behind(database) == []


def test_a_source_that_fails_keeps_what_was_swapped_and_leaves_nothing(database: str) -> None:
    reading, swaps = Reading(), list[tuple[int, set[int]]]()

    def sources() -> Generator[object]:
        yield part(reading, 1)
        raise RuntimeError("the provider is gone")

    with pytest.raises(RuntimeError, match="the provider is gone"):
        load(database, sources(), swaps, reading)
    assert swaps == [(2, {1})]
    assert left_behind(database) == []
