"""Starts and stops a sandbox: in a thread (tests), in a process of its own (benchmarks), or in the
foreground.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import uvicorn

from sandbox.dataset import ENCODER, Dataset
from sandbox.faults import Fault, Faults
from sandbox.lists import Record
from sandbox.server import create_app
from sandbox.state import State
from sandbox.times import as_utc

START_SECONDS = 60.0


class FaultControl(Protocol):
    def add(self, match: str = "", **options: Any) -> Fault: ...

    def clear(self) -> None: ...

    def listed(self) -> list[Fault]: ...


class Sandbox:
    """A running sandbox in this process."""

    def __init__(self, url: str, state: State) -> None:
        self.url = url
        self._state = state

    @property
    def dataset(self) -> Dataset:
        return self._state.dataset

    @property
    def faults(self) -> FaultControl:
        return self._state.faults

    @property
    def now(self) -> datetime:
        """The sandbox's time; assign an aware datetime to stop it there, None to let it run with the
        machine's.
        """
        return self._state.now

    @now.setter
    def now(self, now: datetime | None) -> None:
        self._state.set_now(now)

    @property
    def requests(self) -> list[str]:
        """The providers' requests so far, as "GET /path?query" (decoded), oldest first."""
        return list(self._state.requests)

    def put(self, name: str, *records: Record) -> None:
        """Adds records to a list (`twilio_messages`, ...), replacing those of the same identity."""
        self._state.put(name, *records)

    def delete(self, name: str, **where: str) -> int:
        """Removes the records whose fields equal all of `where`; returns how many."""
        return self._state.delete(name, **where)

    def set_missing(self, buckets: dict[str, list[str]]) -> None:
        """Days that answers leave out, by list: {"openai_costs": ["2026-10-03"]}."""
        self._state.set_missing(buckets)

    def environment(self) -> dict[str, str]:
        """The providers' variables (TWILIO_*, STRIPE_*, …), credentials included."""
        return self._state.environment(self.url)


class RemoteFaults(Faults):
    """The faults of a sandbox in another process, through its control endpoints."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = f"{url}/_sandbox/faults"

    def add(self, match: str = "", **options: Any) -> Fault:
        return Fault(**_call("POST", self._url, {"match": match, **options}))

    def clear(self) -> None:
        _call("DELETE", self._url)

    def listed(self) -> list[Fault]:
        return [Fault(**values) for values in _call("GET", self._url)]


class RemoteSandbox(Sandbox):
    """A running sandbox in another process. `dataset` is the caller's copy: change records by `put` and
    `delete`.
    """

    def __init__(self, url: str, dataset: Dataset) -> None:
        super().__init__(url, State(dataset))
        self._faults = RemoteFaults(url)

    @property
    def faults(self) -> FaultControl:
        return self._faults

    @property
    def now(self) -> datetime:
        return datetime.fromisoformat(_call("GET", f"{self.url}/_sandbox")["now"])

    @now.setter
    def now(self, now: datetime | None) -> None:
        _call("POST", f"{self.url}/_sandbox/clock", {"now": None if now is None else as_utc(now).isoformat()})

    @property
    def requests(self) -> list[str]:
        requests: list[str] = _call("GET", f"{self.url}/_sandbox/requests")
        return requests

    def put(self, name: str, *records: Record) -> None:
        super().put(name, *records)
        _call("PUT", f"{self.url}/_sandbox/records/{name}", list(records))

    def delete(self, name: str, **where: str) -> int:
        super().delete(name, **where)
        query = urllib.parse.urlencode(where)
        deleted: int = _call("DELETE", f"{self.url}/_sandbox/records/{name}?{query}")["deleted"]
        return deleted

    def set_missing(self, buckets: dict[str, list[str]]) -> None:
        super().set_missing(buckets)
        _call("PUT", f"{self.url}/_sandbox/records/missing_buckets", buckets)


def _call(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else ENCODER.encode(body)
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as problem:
        with problem:
            raise ValueError(json.loads(problem.read())["error"]) from None


def _server(state: State, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(state),
        host=host,
        port=port,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="warning",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections answer at once.

    asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it each answer waits 40 ms for the
    client's delayed acknowledgement of its head.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(128)
    return listener


@contextmanager
def running(dataset: Dataset, now: datetime | None = None, *, process: bool = False) -> Iterator[Sandbox]:
    """A sandbox on a free local port for the length of the block.

    `now` stops its clock there (None: the machine's clock, running). With `process=True` it runs in a process
    of its own, so that it does not share the interpreter lock with the code that a benchmark measures.
    """
    manager = _in_process(dataset, now) if process else _in_thread(dataset, now)
    with manager as sandbox:
        yield sandbox


@contextmanager
def _in_thread(dataset: Dataset, now: datetime | None) -> Iterator[Sandbox]:
    state = State(dataset, now)
    with listen("127.0.0.1", 0) as listener:
        server = _server(state, "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
        thread.start()
        try:
            _wait_until(lambda: server.started, thread.is_alive)
            yield Sandbox(f"http://127.0.0.1:{listener.getsockname()[1]}", state)
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@contextmanager
def _in_process(dataset: Dataset, now: datetime | None) -> Iterator[Sandbox]:
    with tempfile.TemporaryDirectory(prefix="metering-sandbox-") as folder:
        dataset.dump(folder)
        command = [sys.executable, "-m", "sandbox", "--data", folder, "--port", "0", "--until-eof"]
        if now is not None:
            command += ["--now", as_utc(now).isoformat()]
        root = Path(__file__).resolve().parents[1]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                url = child.stdout.readline().strip()
                if not url:
                    raise RuntimeError("the sandbox process did not start; its error output says why")
                yield RemoteSandbox(url, dataset)
            finally:
                child.stdin.close()  # the child leaves when its input ends, also when this process is killed
                try:
                    child.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    child.kill()


def _wait_until(done: Any, alive: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not done():
        if not alive() or time.monotonic() > deadline:
            raise RuntimeError("the sandbox did not start; the log says why")
        time.sleep(0.005)


def serve(dataset: Dataset, host: str, port: int, now: datetime | None = None) -> None:
    """Serves until interrupted. `now` as in `running`. Raises SystemExit where the address is taken
    (uvicorn's).
    """
    state = State(dataset, now)
    state.warm()
    _server(state, host, port).run()
