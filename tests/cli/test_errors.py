"""A command that fails says one line and an exit code; only a bug keeps its traceback."""

from __future__ import annotations

import psycopg
import psycopg2
import pytest
import sqlalchemy.exc

from cli import main
from cli.errors import CommandFailed, UsageError
from warehouse.errors import WarehouseUnavailable
from warehouse.migrate import connect

FULL = 'could not extend file "base/1": No space left on device'


def raised_from(cause: Exception) -> Exception:
    error = RuntimeError("a step failed")
    error.__cause__ = cause
    return error


def in_a_circle() -> Exception:
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__cause__, second.__cause__ = second, first
    return first


def after_one_that_was_handled() -> Exception:
    error = KeyError("x")
    error.__context__, error.__suppress_context__ = psycopg.OperationalError("gone"), True  # raise ... from None
    return error


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (UsageError("which days?"), "which days?", 2),
        (CommandFailed("2 problem(s) found"), "2 problem(s) found", 1),
        (psycopg.errors.DiskFull(f"{FULL}\nHINT:  Check free disk space."), FULL, 1),
        (psycopg.errors.AdminShutdown("terminating connection"), "terminating connection", 1),
        (psycopg2.errors.DiskFull(FULL), FULL, 1),
        (sqlalchemy.exc.OperationalError("insert into event_logs", {}, psycopg2.errors.DiskFull(FULL)), FULL, 1),
        (raised_from(psycopg.OperationalError("")), "OperationalError", 1),
    ],
)
def test_one_line_names_the_thing(
    error: Exception, message: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as ended:
        main.run()
    line = capsys.readouterr().err
    assert ended.value.code == code
    assert line.startswith("metering: ")
    assert (message in line, line.count("\n")) == (True, 1)


@pytest.mark.parametrize(
    "bug",
    [psycopg.errors.UndefinedColumn("column x"), KeyError("x"), in_a_circle(), after_one_that_was_handled()],
)
def test_a_bug_keeps_its_traceback(bug: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise bug

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(type(bug)):
        main.run()


def test_a_database_that_is_away_is_named_with_the_reason() -> None:
    with pytest.raises(WarehouseUnavailable, match=r"cannot be reached: .*refused"):
        connect("postgresql://u:p@127.0.0.1:9/x")
