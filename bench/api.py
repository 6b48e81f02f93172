"""How much of PostgreSQL's own speed the API keeps."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median

from bench.baseline import run_script, sources, spread
from bench.report import Ratio, at_least
from cli.folders import ROOT

SCRIPT = Path(__file__).with_name("summary_script.py")
ROUNDS = 2
AS_OF = date(2026, 11, 10)
DAYS = 60
TENANT = "acme"


def run() -> list[Ratio]:
    """CPU of the summary route, of an answer that was read before and of a new one, beside the same SQL in pgbench."""
    sides: dict[str, list[dict[str, float]]] = {"now": [], "before": []}
    with sources() as before:
        for _ in range(ROUNDS):
            for name, root in {"now": ROOT, "before": before}.items():
                sides[name].append(run_script(root, SCRIPT))

    def of(side: str, what: str) -> list[float]:
        return [turn[what] for turn in sides[side]]

    def detail(**figures: list[float]) -> str:
        return ", ".join(f"{name} {spread(taken, ' CPU ms')}" for name, taken in figures.items())

    hit, earlier, miss, bare = of("now", "hit"), of("before", "hit"), of("now", "miss"), of("now", "pgbench")
    return [
        at_least(
            "summary that was read before: requests per CPU second, now / before",
            median(earlier) / median(hit),
            3,
            detail(now=hit, before=earlier),
        ),
        at_least(
            "summary that is read now / the same SQL in pgbench, per CPU second",
            median(bare) / median(miss),
            0.5,
            detail(API=miss, pgbench=bare),
        ),
    ]


@contextmanager
def serving(app: str = "api.main:app") -> Iterator[int]:
    """Serve ``app`` on a free port of this machine, as a process of its own; yield the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        app,
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    with subprocess.Popen(command, cwd=ROOT) as child:
        try:
            _wait_until_ready(child, app, port)
            yield port
        finally:
            child.terminate()


def _wait_until_ready(child: subprocess.Popen[bytes], app: str, port: int) -> None:
    """Return when the server answers; a server that ended, or that takes more than two minutes, is an error."""
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError as reason:
            if child.poll() is not None:
                raise RuntimeError(f"{app} ended with exit code {child.returncode} before it was ready") from reason
            if time.monotonic() > deadline:
                raise RuntimeError(f"{app} is not ready after two minutes: {reason}") from reason
            time.sleep(0.1)
