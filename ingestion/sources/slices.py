"""A long read in parts, so that one part can be made visible while the next is being read."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping

import pyarrow as pa


def slices(tables: Mapping[str, Generator[Iterable[pa.Table]]], rows: int) -> Generator[dict[str, Iterator[pa.Table]]]:
    """Yield parts of ``tables``, each of at least ``rows`` rows but the last: every table's next pieces, under its name.

    A piece is one or more Arrow tables. What it answers must be marked as answered no earlier than when it is drawn: its part makes it visible.
    A part has to be drawn to its end before the next is asked for. What feeds a table is stopped between two pieces, never
    within one, and closed when the last part was drawn or the caller leaves.
    """
    remaining = dict(tables)
    left = 0

    def draw(name: str, pieces: Generator[Iterable[pa.Table]]) -> Iterator[pa.Table]:
        nonlocal left
        while left > 0:
            piece = next(pieces, None)
            if piece is None:
                del remaining[name]
                return
            for table in piece:
                left -= table.num_rows
                yield table

    try:
        while remaining:
            left = rows
            yield {name: draw(name, pieces) for name, pieces in remaining.items()}
    finally:
        for pieces in tables.values():
            pieces.close()
