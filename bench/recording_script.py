"""One side of `bench.recording`, run with the sources of either commit: what `record` costs beside the disk.

It prints, as one JSON object, microseconds of CPU of one call where nothing is synced, and seconds of a call and of a bare
write and fsync of as many bytes, by turns.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from usage_metering import UsageTracker, spool

LINE = b"x" * 470 + b"\n"
ROUNDS = 5


def _record(tracker: UsageTracker, number: int) -> None:
    tracker.record("acme", "twilio_sms", external_id=f"L{number}", feature="broadcast", metadata={"step": 1})


def main(calls: int) -> None:
    """Record ``calls`` events without an fsync, five times over, then as many with one."""
    fsync = spool.sync
    with tempfile.TemporaryDirectory() as name:
        with UsageTracker(None, Path(name) / "unsynced") as tracker:
            spool.sync = lambda file: None
            _record(tracker, -1)
            cpu = []
            for _ in range(ROUNDS):
                started = time.thread_time()
                for number in range(calls):
                    _record(tracker, number)
                cpu.append((time.thread_time() - started) / calls * 1e6)
            spool.sync = fsync
        file = os.open(Path(name) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        recorded, synced = [], []
        with UsageTracker(None, Path(name) / "synced") as tracker:
            for number in range(calls):
                started = time.perf_counter()
                os.write(file, LINE)
                fsync(file)
                middle = time.perf_counter()
                _record(tracker, number)
                recorded.append(time.perf_counter() - middle)
                synced.append(middle - started)
        os.close(file)
    print(json.dumps({"cpu": min(cpu), "recorded": median(recorded), "synced": median(synced)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
