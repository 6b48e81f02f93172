"""`usage-metering`: what it says, and its exit codes. What `metering events` adds to it is tested with the application."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from usage_metering import UsageTracker
from usage_metering.command import run

AWAY = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "spool"
    monkeypatch.setenv("METERING_SPOOL_DIR", str(folder))
    return folder


def left_by_a_dead_process(folder: Path) -> None:
    tracker = UsageTracker(AWAY, folder, flush_interval=1000)
    tracker.record("acme", "internal")
    tracker.close(0)


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    return int(str(ended.value.code))


def test_nothing_waits(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["events", "status"])
    assert capsys.readouterr().out == f"nothing waits in {spool}\n"


def test_what_waits_is_told_by_process(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_by_a_dead_process(spool)
    run(["events", "status"])
    title, columns, row, remedy = capsys.readouterr().out.splitlines()
    assert title == str(spool)
    assert columns.split() == ["process", "state", "events", "oldest", "size"]
    assert row.split()[:3] == [str(os.getpid()), "gone", "1"]
    assert remedy == "1 events belong to ended processes: `usage-metering events flush`, or any tracker, delivers them"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["events", "import", "none.ndjson"], 2, "usage-metering: there is no file none.ndjson"),
        (
            ["events", "flush"],
            2,
            "usage-metering: METERING_DATABASE_URL is not set: set it to the database that stores events",
        ),
        (
            ["sandbox"],
            1,
            'usage-metering: the sandbox comes with the application: pip install "usage-metering[pipeline]",'
            " then metering sandbox",
        ),
    ],
)
def test_an_error_is_one_line(arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*arguments) == code
    assert capsys.readouterr().err == f"{line}\n"


def test_a_database_that_is_away_is_one_line(
    spool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left_by_a_dead_process(spool)
    monkeypatch.setenv("METERING_DATABASE_URL", AWAY)
    assert code_of("events", "flush", "--timeout", "0") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("usage-metering: the database does not accept events: ")
    assert "nobody" not in line


def test_a_url_that_is_none_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", "mysql://user:secret@host/db")
    assert code_of("events", "status") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "METERING_DATABASE_URL is not a PostgreSQL URL" in line
    assert "secret" not in line


@pytest.mark.parametrize("timeout", ["-1", "nan", "soon", "1e9"])
def test_a_timeout_is_seconds(timeout: str) -> None:
    assert code_of("events", "flush", "--timeout", timeout) == 2


def test_a_folder_that_cannot_be_read_is_one_line(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool.write_text("a file")
    assert code_of("events", "status") == 1
    assert capsys.readouterr().err == f"usage-metering: {spool} cannot be read: Not a directory\n"
