"""One setting for how every process logs: lines or JSON, in UTC, with a level, never wrapped."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from api import logs
from tests.paths import ROOT

TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z"


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    logger, stream = logging.getLogger("metering.tests.logs"), io.StringIO()
    logger.propagate = False
    yield logger, stream
    logger.handlers.clear()


def test_lines_are_whole_with_time_and_level(logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, stream = logger
    log.addHandler(logs.handler(stream))
    log.warning("%s does not answer", "x" * 500)
    assert re.fullmatch(rf"{TIME} warning metering\.tests\.logs: x{{500}} does not answer\n", stream.getvalue())


def test_json_is_one_object_a_line(logger: tuple[logging.Logger, io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    log, stream = logger
    monkeypatch.setenv("METERING_LOG_FORMAT", "json")
    log.addHandler(logs.handler(stream))
    try:
        raise ValueError("no\nsuch day")
    except ValueError:
        log.exception("built %d days\nof %s", 3, "März")
    [line] = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry.pop("error").endswith("ValueError: no\nsuch day")
    assert entry == {"level": "error", "logger": "metering.tests.logs", "message": "built 3 days\nof März"}


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_LOG_FORMAT", "xml")
    with pytest.raises(logs.UnknownFormat, match="METERING_LOG_FORMAT must be json, or unset"):
        logs.handler()


@pytest.mark.parametrize("application", ["api.main:app", "collector.main:app"])
def test_a_server_logs_json_from_its_first_line(application: str) -> None:
    # A port that cannot be had: it starts, says so, and ends.
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "METERING_DATABASE_URL": "postgresql://x@127.0.0.1:1/x",
        "METERING_JWT_SECRET": "a secret of the tests, long enough",
        "METERING_PII_KEY": "a key for tests",
        "METERING_LOG_FORMAT": "json",
    }
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", application, "--port", "1", "--host", "192.0.2.1"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"uvicorn.error"} <= {entry["logger"] for entry in entries}
    assert {"info", "error"} <= {entry["level"] for entry in entries}
    assert done.stdout == ""
