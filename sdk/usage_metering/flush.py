"""The flusher: a daemon thread that carries the spool to the database, and takes over what dead processes left."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psycopg

from usage_metering.metrics import Counters
from usage_metering.spool import Batch, Spool, orphans
from usage_metering.store import Loaded, Store, first_line

log = logging.getLogger("metering.tracking")

INTERVAL = 0.5
BATCH_LINES = 5_000
ADOPT_EVERY = 10.0
FIRST_BACKOFF, LONGEST_BACKOFF = 0.25, 30.0
WARN_EVERY = 60.0


class Readable(Protocol):
    """A spool, or what is left of one."""

    def next_batch(self, most_lines: int) -> Batch | None:
        """Return the oldest lines."""

    def done(self, batch: Batch) -> None:
        """Take them away."""


def drain(
    source: Readable,
    store: Store,
    *,
    batch_lines: int = BATCH_LINES,
    report: Callable[[Loaded], None] = lambda loaded: None,
    go_on: Callable[[], bool] = lambda: True,
) -> Loaded:
    """Carry all lines of ``source`` to the database, batch by batch; memory holds one batch.

    Raises:
        psycopg.Error: see `Store`; what had been carried before is done.
    """
    total = Loaded()
    while go_on() and (batch := source.next_batch(batch_lines)) is not None:
        loaded = store.load(batch.lines)
        source.done(batch)
        report(loaded)
        total += loaded
    return total


def adopt(folder: Path, store: Store, *, go_on: Callable[[], bool] = lambda: True) -> tuple[Loaded, int]:
    """Carry what dead processes left in the folder; return what became of it and how many processes it was.

    A file that cannot be read stays, and does not keep the others from being carried.

    Raises:
        psycopg.Error: see `Store`; the rest stays where it is.
    """
    total, writers = Loaded(), 0

    def report(loaded: Loaded) -> None:
        nonlocal total
        total += loaded

    with closing(orphans(folder)) as left_behind:
        for orphan in left_behind:
            drain(orphan, store, report=report, go_on=go_on)
            writers += 1
    return total, writers


class Flusher:
    """Runs in the background for one spool. ``error`` says why the database does not take anything (None: it does)."""

    def __init__(
        self,
        spool: Spool,
        url: str,
        counters: Counters,
        *,
        interval: float = INTERVAL,
        batch_lines: int = BATCH_LINES,
        adopt_every: float = ADOPT_EVERY,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._before = before
        self._spool = spool
        self._counters = counters
        self._interval = interval
        self._batch_lines = batch_lines
        self._adopt_every = adopt_every
        self._store = Store(url)
        self.forget()

    def forget(self) -> None:
        """Start over, in a forked child: threads and connections are the parent's."""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._progress = threading.Condition()
        self._wake = threading.Event()
        self._stopping = False
        self._adopted_at = float("-inf")
        self._failures = 0
        self._waiters = 0
        self._warned_at = float("-inf")
        self.error: str | None = None
        self._store.forget()

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="usage-metering flusher", daemon=True)
                self._thread.start()

    def wait(self, number: int, deadline: float) -> bool:
        """Flush now; return whether the spool's first ``number`` lines are settled by ``deadline`` (monotonic)."""
        self.start()
        with self._progress:
            self._waiters += 1
            self._wake.set()
            try:
                while self._spool.settled < number:
                    left = deadline - time.monotonic()
                    if left <= 0 or self._stopping:
                        return False
                    self._progress.wait(left)
            finally:
                self._waiters -= 1
        return True

    def stop(self, timeout: float) -> None:
        """End the thread after its current batch and disconnect."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            if self._thread.is_alive():
                return  # it holds the connection; the daemon thread ends with the process
        self._store.close()

    def _run(self) -> None:
        while not self._stopping:
            pause = self._interval
            self._wake.clear()
            try:
                self._before()
                self._cycle()
                self._recovered()
            except psycopg.Error as error:
                pause = self._failed(error)
            except Exception:
                log.exception("the flusher failed; what it carries is still on disk")
                pause = LONGEST_BACKOFF
            with self._progress:
                self._progress.notify_all()
            self._wake.wait(pause)

    def _cycle(self) -> None:
        def running() -> bool:
            return not self._stopping

        drain(self._spool, self._store, batch_lines=self._batch_lines, report=self._report, go_on=running)
        if time.monotonic() - self._adopted_at >= self._adopt_every:
            loaded, writers = adopt(self._spool.folder, self._store, go_on=running)
            self._adopted_at = time.monotonic()
            if writers:
                count = loaded.inserted + loaded.duplicates + loaded.rejected
                self._counters.add(
                    adopted=count,
                    flushed=loaded.inserted,
                    duplicates=loaded.duplicates,
                    rejected=loaded.rejected,
                )
                log.info("recovered %d lines of %d ended processes", count, writers)

    def _report(self, loaded: Loaded) -> None:
        self._counters.add(flushed=loaded.inserted, duplicates=loaded.duplicates, rejected=loaded.rejected)
        if loaded.rejected:
            log.error("%d lines were rejected: see raw.rejected_records", loaded.rejected)
        self._recovered()  # before a waiter sees its events arrive: the database has just taken a batch
        with self._progress:
            self._progress.notify_all()

    def _recovered(self) -> None:
        if self._failures:
            log.warning("the database accepts events again after %d failed attempts", self._failures)
        self._failures, self.error = 0, None

    def _failed(self, error: psycopg.Error) -> float:
        """Note the failure and return how many seconds to wait."""
        self._failures += 1
        self.error = first_line(error)
        self._counters.add(flush_failures=1)
        if time.monotonic() - self._warned_at >= WARN_EVERY:
            self._warned_at = time.monotonic()
            log.warning("the database does not accept events, %d wait on disk: %s", self._spool.depth, self.error)
        longest = min(FIRST_BACKOFF if self._waiters else LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures, 10))
        return random.uniform(longest / 2, longest)
