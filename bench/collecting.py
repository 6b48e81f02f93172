"""What the collector takes: events a second beside a bare COPY and the SDK's spool, and how long a batch of 100 waits for its answer."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from datetime import date, timedelta
from statistics import median, quantiles

import psycopg

from api.auth.tokens import mint_tracker
from bench.api import serving
from bench.baseline import spread
from bench.flushing_script import TARGET, copy_rows, values_of
from bench.report import Ratio, informative
from bench.stage import Stage, stage
from sandbox import Dataset
from usage_metering import UsageEvent, UsageTracker
from usage_metering.clock import as_of
from warehouse.urls import as_role

AS_OF = date(2026, 11, 10)
ROUNDS = 5
CLIENTS, BATCHES, IN_A_BATCH = 4, 25, 100
TIME = "2026-11-10T11:00:00Z"


def run() -> list[Ratio]:
    """The same number of events by four clients at once, by the spool and its flusher, and as rows by COPY, by turns."""
    rates: dict[str, list[float]] = {"collector": [], "spool": [], "COPY": []}
    answers: list[float] = []
    copies: list[float] = []
    first = AS_OF - timedelta(days=1)
    with (
        stage(Dataset.generate(tenants=6, first=first, last=first), start=first, as_of=AS_OF) as system,
        serving("collector.main:app") as port,
    ):
        _collect(port, "warm up", [])
        for turn in range(ROUNDS):
            rates["collector"].append(_collect(port, f"turn {turn}", answers))
            rates["spool"].append(_spool(system, f"turn {turn}"))
            rates["COPY"].append(_copy(system, f"turn {turn}", copies))
    detail = ", ".join(f"{name} {spread(figures, ' events/s', 0)}" for name, figures in rates.items())
    of = {name: median(figures) for name, figures in rates.items()}
    p99 = quantiles(answers, n=100)[98]
    return [
        informative(
            "collector, batches of 100: events a second / rows by a bare COPY", of["collector"] / of["COPY"], detail
        ),
        informative("collector, batches of 100: events a second / by the spool", of["collector"] / of["spool"], detail),
        informative(
            "collector: p99 of an answer to 100 events / a COPY of as many rows and its commit",
            p99 / median(copies),
            f"p50 {median(answers) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, COPY {spread([each * 1e3 for each in copies], ' ms', 1)}",
        ),
    ]


def _collect(port: int, turn: str, answers: list[float]) -> float:
    """Return the events a second of all clients together; ``answers`` takes the seconds of each request."""
    headers = {
        "Authorization": f"Bearer {mint_tracker((), (), timedelta(hours=1), 'a secret of the benchmark, long enough')}",
        "Content-Type": "application/cloudevents-batch+json",
    }

    def send(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for batch in range(BATCHES):
            body = json.dumps([_envelope(f"{turn} {client} {batch} {number}") for number in range(IN_A_BATCH)])
            started = time.perf_counter()
            connection.request("POST", "/api/v1/events", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            seconds.append(time.perf_counter() - started)
            if answer.status != 200:
                raise RuntimeError(f"the collector answered {answer.status}: {content[:200]!r}")
        connection.close()

    seconds: list[float] = []
    threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(seconds) < CLIENTS * BATCHES:
        raise RuntimeError("a client of the collector failed")
    answers += seconds
    return CLIENTS * BATCHES * IN_A_BATCH / (time.perf_counter() - started)


def _spool(system: Stage, turn: str) -> float:
    """Return the events a second from `record` until the database has them all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        UsageTracker(as_role(system.url, "metering_tracker"), folder) as tracker,
    ):
        started = time.perf_counter()
        for number in range(CLIENTS * BATCHES * IN_A_BATCH):
            tracker.record("acme", "internal", "export", 3, feature="reports", idempotency_key=f"{turn} {number}")
        if not tracker.flush(120):
            raise RuntimeError("the spool was not flushed within two minutes")
        return CLIENTS * BATCHES * IN_A_BATCH / (time.perf_counter() - started)


def _copy(system: Stage, turn: str, seconds: list[float]) -> float:
    """Return the rows a second of a COPY per 100, each committed, into a table with the indexes of events; ``seconds``: of each."""
    batches = [[_row(f"{turn} {batch} {number}") for number in range(IN_A_BATCH)] for batch in range(CLIENTS * BATCHES)]
    with psycopg.connect(system.url) as connection:
        connection.execute(TARGET)
        connection.commit()
        begun = time.perf_counter()
        for rows in batches:
            started = time.perf_counter()
            copy_rows(connection, rows)
            seconds.append(time.perf_counter() - started)
        return CLIENTS * BATCHES * IN_A_BATCH / (time.perf_counter() - begun)


def _envelope(event_id: str) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/bench",
        "type": "internal.export",
        "subject": "acme",
        "time": TIME,
        "data": {"units": 3, "feature": "reports"},
    }


def _row(key: str) -> list[object]:
    event = UsageEvent.make(
        service="internal", operation="export", tenant_id="acme", units=3, feature="reports", event_key=key, now=as_of()
    )
    return values_of(event.to_row())
