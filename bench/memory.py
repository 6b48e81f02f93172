"""The most memory that a step holds: this process and the PostgreSQL that works for it, without the pages that they share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

SECONDS = 0.1


class Peak:
    """Looks ten times a second while it is entered; afterwards ``process`` and ``postgres`` are the most MB that each held.

    Its own work is in this process's CPU seconds: a step is measured by one or the other.
    """

    def __init__(self, data: Path) -> None:
        self.process = self.postgres = 0.0
        self._postmaster = (data / "postmaster.pid").read_text().splitlines()[0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        children = Path("/proc") / self._postmaster / "task" / self._postmaster / "children"
        while not self._ended.wait(SECONDS):
            self.process = max(self.process, _own_mb("self"))
            self.postgres = max(self.postgres, sum(map(_own_mb, children.read_text().split())))


def _own_mb(process: str) -> float:
    """Return the MB that are this process's alone; 0 where it has ended."""
    try:
        lines = (Path("/proc") / process / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0)


def held(work: Callable[[], object], data: Path) -> tuple[float, float]:
    """Return the most MB that this process and the server in ``data`` held during ``work``."""
    with Peak(data) as peak:
        work()
    return peak.process, peak.postgres
