"""Long reads come in parts that lose, repeat and reorder nothing."""

from __future__ import annotations

from collections.abc import Generator

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources.slices import slices


def pieces(sizes: list[int], closed: list[str], name: str) -> Generator[list[pa.Table]]:
    try:
        for number, size in enumerate(sizes):
            yield [pa.table({"piece": [number]})] * size
    finally:
        closed.append(name)


@given(
    sizes=st.dictionaries(st.sampled_from(["messages", "calls", "numbers"]), st.lists(st.integers(1, 9), max_size=9)),
    rows=st.integers(1, 30),
)
def test_every_piece_comes_once_in_order_and_every_part_but_the_last_is_long_enough(
    sizes: dict[str, list[int]], rows: int
) -> None:
    closed: list[str] = []
    drawn: dict[str, list[int]] = {name: [] for name in sizes}
    lengths: list[int] = []
    for part in slices({name: pieces(found, closed, name) for name, found in sizes.items()}, rows):
        length = 0
        for name, found in part.items():
            numbers = [number for table in found for number in table["piece"].to_pylist()]
            length += len(numbers)
            # A piece is several tables here: no part ends within one.
            drawn[name] += [numbers.count(number) for number in sorted(set(numbers))]
        lengths.append(length)
    assert drawn == sizes
    assert all(length >= rows for length in lengths[:-1])


def test_a_caller_who_leaves_closes_what_feeds_the_tables() -> None:
    closed: list[str] = []
    parts = slices({"messages": pieces([5, 5, 5], closed, "messages")}, 5)
    list(next(parts)["messages"])
    assert closed == []
    parts.close()
    assert closed == ["messages"]
