"""One side of `bench.empty_day`, run with the sources of either commit: a day without usage, built again and again by one process.

It prints the CPU seconds of each build as one JSON object, of Python and of PostgreSQL, and how many results a build had.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources lack the next one

from bench.baseline import postgres_cpu  # noqa: E402
from bench.stage import stage  # noqa: E402
from ingestion.windows import Window  # noqa: E402

try:  # before rooms had the names of today: asked first, for today's rooms are installed and answer any process
    from ingestion.sandbox import Dataset
    from orchestration.build import run_build
except ImportError:
    from builds.build import run_build
    from sandbox import Dataset

AS_OF = date(2026, 11, 10)
FIRST = AS_OF - timedelta(days=9)
EMPTY = Window(FIRST - timedelta(days=1), FIRST)


def main(builds: int) -> None:
    """Build ten days with usage, then the empty one before them: once to be warm, and ``builds`` times to be measured."""
    noon = datetime.combine(AS_OF, datetime.min.time(), tzinfo=UTC) + timedelta(hours=12)
    samples: dict[str, list[float]] = {"python": [], "postgres": [], "results": []}
    with stage(Dataset.generate(tenants=6, first=FIRST, last=AS_OF), start=EMPTY.start, as_of=AS_OF) as system:
        system.rebuild(Window(EMPTY.start, AS_OF + timedelta(days=1)))
        for _ in range(1 + builds):
            python, postgres = time.process_time(), postgres_cpu(system.folder / "pg")
            results = run_build(system.url, EMPTY, as_of=noon, build_id=uuid.uuid4().hex, tables=["twilio_messages"])
            samples["python"].append(time.process_time() - python)
            samples["postgres"].append(postgres_cpu(system.folder / "pg") - postgres)
            samples["results"].append(len(results))
    print(json.dumps({name: figures[1:] for name, figures in samples.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
