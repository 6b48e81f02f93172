"""Run every benchmark, or those named: ``make bench ARGS="ingest history"``."""

from __future__ import annotations

import os
import sys
import warnings

from bench.report import console, show


def main(names: list[str]) -> int:
    """Run the benchmarks and print their ratios; 2 for an unknown name."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")  # dlt's default path says much about columns without data
    from bench import alerts, api, forecasts, guard, history, ingest, kills, pages, ranges, tracking

    known = {
        "ingest": ingest.run,
        "history": history.run,
        "ranges": ranges.run,
        "api": api.run,
        "pages": pages.run,
        "guard": guard.run,
        "tracking": tracking.run,
        "kills": kills.run,
        "forecasts": forecasts.run,
        "alerts": alerts.run,
    }
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"bench: unknown benchmark {unknown[0]}: there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        console.print(f"[bold]{name}[/]: {(known[name].__doc__ or '').splitlines()[0]}")
        show(known[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
