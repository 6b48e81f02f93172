"""Run every benchmark, or those named: ``make bench ARGS="ingest history"``."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable

from bench.report import Ratio, console, show


def main(names: list[str]) -> int:
    """Run the benchmarks and print their ratios; 2 for an unknown name."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")  # dlt's default path says much about columns without data
    from bench import (
        alerts,
        api,
        big_day,
        build,
        charts,
        collecting,
        empty_day,
        flushing,
        forecasts,
        growth,
        guard,
        history,
        idle_run,
        ingest,
        kills,
        listing,
        pages,
        ranges,
        recording,
        replacing,
        tracking,
    )

    known: dict[str, Callable[[], list[Ratio]]] = {
        "ingest": ingest.run,
        "big_day": big_day.run,
        "replacing": replacing.run,
        "history": history.run,
        "build": build.run,
        "empty_day": empty_day.run,
        "idle_run": idle_run.run,
        "growth": growth.run,
        "ranges": ranges.run,
        "api": api.run,
        "listing": listing.run,
        "charts": charts.run,
        "pages": pages.run,
        "guard": guard.run,
        "recording": recording.run,
        "tracking": tracking.run,
        "flushing": flushing.run,
        "collecting": collecting.run,
        "kills": kills.run,
        "forecasts": forecasts.run,
        "alerts": alerts.run,
    }
    on_request: dict[str, Callable[[], list[Ratio]]] = {
        "big_day_million": big_day.million,
        "growth_ten_million": growth.ten_million,
        "replacing_year": replacing.year,
    }
    unknown = [name for name in names if name not in {*known, *on_request}]
    if unknown:
        print(f"bench: unknown benchmark {unknown[0]}: there are {', '.join([*known, *on_request])}", file=sys.stderr)
        return 2
    for name in names or known:
        work = known.get(name) or on_request[name]
        console.print(f"[bold]{name}[/]: {(work.__doc__ or '').splitlines()[0]}")
        show(work())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
