"""A throw-away system for a benchmark: its own PostgreSQL with the settings of production, a sandbox, an environment."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from rich.console import Console

from cli import environment
from cli.instance import migrate_all
from cli.rebuild import run_rebuild
from ingestion.windows import Window
from sandbox import Dataset, running
from warehouse import embedded

quiet = Console(quiet=True)


@dataclass
class Stage:
    """What a benchmark works on."""

    url: str
    folder: Path
    sandbox: Any

    def rebuild(self, window: Window, only: str | None = None) -> None:
        """Run the job over ``window``."""
        run_rebuild(window, only, console=quiet)


@contextmanager
def stage(dataset: Dataset, *, start: date, as_of: date) -> Iterator[Stage]:
    """Set the environment up for ``dataset`` at noon of ``as_of``; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="metering-bench-"))
    now = datetime.combine(as_of, time(12), tzinfo=UTC)
    saved = dict(os.environ)
    try:
        dataset.write_directory(folder / "directory")
        url = embedded.start(folder / "pg")
        with running(dataset, now=now, process=True) as sandbox:
            os.environ.update(sandbox.environment())
            os.environ.update(
                METERING_DATABASE_URL=url,
                METERING_TENANT_DIRECTORY=str(folder / "directory"),
                METERING_START_DATE=start.isoformat(),
                METERING_AS_OF=now.isoformat(),
                METERING_PII_KEY="bench",
                METERING_JWT_SECRET="a secret of the benchmark, long enough",
                DAGSTER_HOME=str(folder / "dagster"),
            )
            for name in ("METERING_API_DATABASE_URL", "METERING_DAGSTER_STORAGE_URL"):
                os.environ.pop(name, None)
            environment.prepare()
            migrate_all()
            yield Stage(url, folder, sandbox)
    finally:
        os.environ.clear()
        os.environ.update(saved)
        embedded.stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)
