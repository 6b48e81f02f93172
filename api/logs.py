"""How a process logs: a line for people, or with METERING_LOG_FORMAT=json an object; one line each, never wrapped, in UTC.

Of the standard library alone: the pipeline's commands log like this where the API is not installed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import IO

VARIABLE = "METERING_LOG_FORMAT"
SERVER_LOGGERS = ("uvicorn", "uvicorn.access")


class UnknownFormat(ValueError):
    """METERING_LOG_FORMAT has a value that stands for nothing."""


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(logging.Formatter):
    """`2026-11-20T12:00:00.000Z warning metering.api: …`; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname.lower()} {record.name}: {record.message}"


class JsonLines(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …}`, with `error` where there is a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def handler(stream: IO[str] | None = None) -> logging.Handler:
    """Return what writes as METERING_LOG_FORMAT says, to stderr by default.

    Raises:
        UnknownFormat: it says something else than json.
    """
    wanted = os.environ.get(VARIABLE, "").strip()
    if wanted not in ("", "json"):
        raise UnknownFormat(f"{VARIABLE} must be json, or unset")
    lines = logging.StreamHandler(stream or sys.stderr)
    lines.setFormatter(JsonLines() if wanted else TextLines())
    return lines


def configure() -> None:
    """Let all loggers of a server's process write by one handler, uvicorn's too.

    Raises:
        UnknownFormat: see `handler`.
    """
    logging.root.handlers = [handler()]
    logging.root.setLevel(logging.INFO)
    for name in SERVER_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
