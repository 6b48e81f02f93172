"""What was answered with a 2xx is there once, whatever is killed: the collector, connections, the database's answers."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.collector.conftest import SECRET, event, token
from tests.paths import python_path
from tests.proof import IS_PROOF
from tests.sdk.conftest import Base

CLIENTS, BATCHES, IN_A_BATCH, KILLS, OUTAGES = (20, 50, 10, 50, 5) if IS_PROOF else (6, 10, 5, 3, 1)


class Collector:
    """The process, on one port, killed and started again."""

    def __init__(self, base: Base) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        self._environment = {
            **os.environ,
            "PYTHONPATH": python_path(),
            "METERING_DATABASE_URL": base.url,
            "METERING_JWT_SECRET": SECRET,
            "METERING_PII_KEY": "a key for tests",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "collector.main:app",
            "--port",
            str(self.port),
            "--log-level",
            "error",
        ]
        self._process = subprocess.Popen(command, env=self._environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        pytest.fail("the collector does not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(base: Base) -> Iterator[Collector]:
    collector = Collector(base)
    collector.start()
    try:
        yield collector
    finally:
        collector.kill()


@pytest.mark.timeout(900)
def test_every_2xx_is_counted_once(base: Base) -> None:
    acknowledged: list[str] = []
    statuses: set[int] = set()
    with running(base) as collector:
        url = f"http://127.0.0.1:{collector.port}/api/v1/events"

        def send(client: int) -> None:
            rng = random.Random(client)
            for batch in range(BATCHES):
                ids = [f"{client}-{batch}-{number}" for number in range(IN_A_BATCH)]
                body = json.dumps([event(id=one) for one in ids]).encode()
                headers = {**token(), "Content-Type": "application/cloudevents-batch+json"}
                while True:
                    try:
                        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
                            statuses.add(answer.status)
                        break
                    except urllib.error.HTTPError as refused:
                        statuses.add(refused.code)
                    except OSError:
                        pass
                    time.sleep(rng.uniform(0, 0.2))
                acknowledged.extend(ids)
                time.sleep(rng.uniform(0, 0.1))

        threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        rng = random.Random(7)
        for kill in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.6))
            collector.kill()
            collector.start()
            if kill % max(1, KILLS // OUTAGES) == 0:
                with base.away():
                    time.sleep(rng.uniform(0.1, 1))
        for thread in threads:
            thread.join()
    assert len(acknowledged) == CLIENTS * BATCHES * IN_A_BATCH
    assert base.keys() == sorted(f"internal:acme:/shop {one}" for one in acknowledged)
    assert statuses <= {200, 503}
