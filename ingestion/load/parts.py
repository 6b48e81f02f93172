"""A read that is loaded in parts: each is made visible in the background while the next is being extracted and staged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg

from ingestion.database import connect
from ingestion.load.staging import drop, stage
from ingestion.load.swap import Swapped
from ingestion.sources.reading import Reading


def replace_in_parts(
    sources: Generator[Any],
    swap: Callable[[psycopg.Connection, str, Reading], Swapped],
    *,
    reading: Reading,
    dataset: str,
    database_url: str,
) -> Swapped:
    """Stage each of ``sources``, in datasets named after ``dataset``, and ``swap`` what was answered in it; return the sum.

    A failure of either ends the whole; parts that were swapped before stay, units not reached keep what they had. No
    dataset is left behind.

    Raises:
        Exception: what a source, the staging or a swap raised.
    """
    datasets: list[str] = []
    swaps: list[Future[Swapped]] = []

    def make_visible(name: str, answered: Reading) -> Swapped:
        with connect(database_url) as connection:
            return swap(connection, name, answered)

    try:
        with closing(sources), ThreadPoolExecutor(1, thread_name_prefix="swap") as background:
            for source in sources:
                datasets.append(f"{dataset}_{len(datasets)}")
                stage(source, dataset=datasets[-1], database_url=database_url)
                if swaps:
                    # Never more than one part waits in the database, and none follows one that failed.
                    swaps[-1].result()
                swaps.append(background.submit(make_visible, datasets[-1], reading.take()))
        done = [future.result() for future in swaps]
    except BaseException:
        with connect(database_url) as connection:
            for name in datasets:
                drop(connection, name)
        raise
    rows: Counter[str] = Counter()
    unchanged: Counter[str] = Counter()
    for swapped in done:
        rows.update(swapped.rows)
        unchanged.update(swapped.unchanged)
    return Swapped(dict(rows), set().union(*(swapped.moved_days for swapped in done)), dict(unchanged))
