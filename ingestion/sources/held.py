"""The rows of a list that is still being read: few in memory, the others in a file, so that a day of any size takes the same room."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

ROWS_IN_MEMORY = 10_000


class Held:
    """Tables of one schema, kept until it is known whether they are wanted. Its file has no name: whoever is killed leaves none."""

    def __init__(self) -> None:
        self.rows = 0
        self._tables: list[pa.Table] = []
        self._behind: list[Held] = []
        self._rows_in_memory = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, table: pa.Table) -> None:
        """Keep ``table``.

        Raises:
            OSError: the disk is full.
        """
        if not table.num_rows:
            return
        self._tables.append(table)
        self.rows += table.num_rows
        self._rows_in_memory += table.num_rows
        if self._rows_in_memory >= ROWS_IN_MEMORY:
            self._write()

    def take(self, other: Held) -> None:
        """Hold behind one's own rows those of ``other``, which gets no more: of many, only few stay in memory."""
        if other._rows_in_memory > ROWS_IN_MEMORY // 10:
            other._write()
        self._behind.append(other)
        self.rows += other.rows

    def draw(self) -> Iterator[pa.Table]:
        """Yield what is kept, in order, in tables of about `ROWS_IN_MEMORY` rows; it is gone then."""
        if self._file is not None and self._writer is not None:
            with self._file as file:
                self._writer.close()
                file.seek(0)
                for batch in pa.ipc.open_stream(file):
                    yield pa.Table.from_batches([batch])
        tables, self._tables = self._tables, []
        if tables:
            yield pa.concat_tables(tables)
        behind, self._behind = self._behind, []
        for other in behind:
            yield from other.draw()

    def _write(self) -> None:
        table = pa.concat_tables(self._tables).combine_chunks()
        if self._writer is None:
            self._file = tempfile.TemporaryFile(prefix="metering-rows-")  # noqa: SIM115 (closed when drawn)
            self._writer = pa.ipc.new_stream(self._file, table.schema)
        self._writer.write_table(table)
        self._tables, self._rows_in_memory = [], 0
