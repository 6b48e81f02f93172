"""One account's day of many messages: CPU beside the baseline's, dlt's default way and a bare COPY, and the most memory held."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench.baseline import alternate, postgres_cpu, sources, spread
from bench.big_day_server import ACCOUNT, DAY, PAGE
from bench.report import Ratio, at_least, at_most, informative
from bench.stage import Stage, stage
from cli.folders import ROOT
from sandbox import Dataset

SCRIPT = Path(__file__).with_name("big_day_script.py")
ROWS = 100_000
MILLION = 1_000_000
MB = 200
WAIT = 0.2
PAGES_WAITED_FOR = 240


def run(rows: int = ROWS, rounds: int = 2) -> list[Ratio]:
    """A day of 100,000 messages from the provider's pages to raw; ``big_day_million`` is the same of 1,000,000."""
    dataset = Dataset.generate(tenants=6, first=date(2026, 11, 1), last=date(2026, 11, 1), scale=0.1)
    with (
        stage(dataset, start=date(2026, 11, 1), as_of=date(2026, 11, 10)) as system,
        sources() as before,
        _serving(rows) as url,
    ):
        memory: dict[str, list[float]] = {"before": [], "today": []}

        def read(side: str, root: Path, way: str = "ours") -> float:
            if way == "ours":
                _forget(system)
            used, figures = _read(system, root, url, way)
            assert figures["rows"] == rows, figures
            memory.setdefault(side, []).append(figures["above"])
            return used

        sides = alternate(
            {
                "before": lambda: read("before", before),
                "today": lambda: read("today", ROOT),
                "merge": lambda: read("merge", ROOT, "merge"),
                "copy": lambda: _copy(system, rows),
            },
            rounds,
        )
        ahead = _waiting(system)
    today = median(sides["today"])
    ours = f"ours {spread(sides['today'], ' CPU s')} of {rows:,} rows"
    most = max(memory["today"])
    return [
        informative(
            "big day: CPU of the baseline / today",
            median(sides["before"]) / today,
            f"{ours}; baseline {spread(sides['before'], ' CPU s')}",
        ),
        at_least(
            "big day: CPU of dlt's default path, merging by sid / ours",
            median(sides["merge"]) / today,
            8,
            f"{ours}; default {spread(sides['merge'], ' CPU s')}",
        ),
        at_least(
            "big day: CPU of a bare COPY of the rows, the same indexes / ours",
            median(sides["copy"]) / today,
            0.4,
            f"COPY {spread(sides['copy'], ' CPU s')}",
        ),
        at_most(
            f"big day: the most memory held above the base / {MB} MB",
            most / MB,
            1,
            f"{most:,.0f} MB; baseline {max(memory['before']):,.0f} MB; dlt's default {max(memory['merge']):,.0f} MB",
        ),
        ahead,
    ]


def million() -> list[Ratio]:
    """A day of 1,000,000 messages, once; takes some minutes."""
    return run(MILLION, 1)


def _waiting(system: Stage) -> Ratio:
    """Return how much sooner a day's pages are read from a server that lets each wait, three at once."""
    rows = PAGES_WAITED_FOR * PAGE
    with _serving(rows, WAIT) as url:

        def seconds(at_once: int) -> float:
            _, figures = _read(system, ROOT, url, str(at_once))
            assert figures["rows"] == rows, figures
            return float(figures["seconds"])

        one, three = seconds(1), seconds(3)
    return at_least(
        f"big day: reading {rows:,} messages, {WAIT * 1000:.0f} ms a page: one request at once / three",
        one / three,
        2.5,
        f"{one:.1f} s; {three:.1f} s",
    )


@contextmanager
def _serving(rows: int, wait: float = 0) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.big_day_server", str(rows), str(wait)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def _read(system: Stage, root: Path, url: str, way: str) -> tuple[float, dict[str, Any]]:
    """Have the sources of ``root`` read the day; return the CPU seconds of it and of PostgreSQL, and what it says."""
    variables = {
        **os.environ,
        "TWILIO_BASE_URL": url,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": "bench",
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "sdk")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), DAY.isoformat(), way],
        cwd=root,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{SCRIPT.name} failed with the sources of {root}"
        before = postgres_cpu(system.folder / "pg")
        process.stdin.write("go\n")
        process.stdin.flush()
        figures = json.loads(process.stdout.readline())
        return figures["cpu"] + postgres_cpu(system.folder / "pg") - before, figures


def _forget(system: Stage) -> None:
    """Take the day out of raw: one that is answered with what is stored would only be compared."""
    with psycopg.connect(system.url) as connection:
        connection.execute("truncate raw.twilio_messages, ops.source_reads")


def _copy(system: Stage, rows: int) -> float:
    """COPY what is in raw.twilio_messages out, and return the CPU seconds of the way back in."""
    with psycopg.connect(system.url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("drop table if exists copied")
        cursor.execute("create table copied (like raw.twilio_messages including all)")
        with cursor.copy("copy raw.twilio_messages to stdout") as out:
            blocks = [bytes(block) for block in out]
        before, used = postgres_cpu(system.folder / "pg"), _own()
        with cursor.copy("copy copied from stdin") as into:
            for block in blocks:
                into.write(block)
        taken = postgres_cpu(system.folder / "pg") - before + _own() - used
        row = cursor.execute("select count(*) from copied").fetchone()
        assert row == (rows,)
        return taken


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
