"""The `usage_context` of who sends a Celery task, where the task runs.

By Celery's signals, which are handed over or imported when they are connected: celery is the product's own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

from usage_metering.context import Context, current, entered

log = logging.getLogger("metering.tracking")

HEADER = "usage_metering_context"


def connect_celery(signals: Any = None) -> None:
    """Send the context along with each task, and run the task in it. Once per process: in the module that makes the app.

    A task that is sent outside any context (by celery beat, say) names its own.

    Args:
        signals: default ``celery.signals``.
    """
    signals = signals or import_module("celery.signals")
    tasks = _Tasks()
    options = {"weak": False, "dispatch_uid": "usage-metering"}
    signals.before_task_publish.connect(_send, **options)
    signals.task_prerun.connect(tasks.begin, **options)
    signals.task_postrun.connect(tasks.end, **options)


def _send(headers: MutableMapping[str, Any] | None = None, **_: Any) -> None:
    context = current()
    if headers is None or context == Context():
        return
    try:
        headers[HEADER] = json.dumps({name: value for name, value in asdict(context).items() if value}, default=str)
    except Exception:
        log.exception("the usage context could not be sent along with a task")


class _Tasks:
    """The tasks that run in this process, by their id."""

    def __init__(self) -> None:
        self._running: dict[str, AbstractContextManager[Context]] = {}

    def begin(self, task_id: str = "", task: Any = None, **_: Any) -> None:
        request = getattr(task, "request", None)
        sent = getattr(request, HEADER, None) or (getattr(request, "headers", None) or {}).get(HEADER)
        if not sent:
            return  # sent outside any context, or run at once, in that of its caller
        context = entered(_read(sent))
        context.__enter__()
        self._running[task_id] = context

    def end(self, task_id: str = "", **_: Any) -> None:
        context = self._running.pop(task_id, None)
        if context is not None:
            context.__exit__(None, None, None)


def _read(sent: object) -> Context:
    try:
        context = json.loads(str(sent))
        known = {item.name for item in fields(Context)}
        names = {name: value for name, value in context.items() if name in known}
        if not isinstance(names.get("metadata", {}), Mapping):
            raise TypeError("metadata is not an object")
        return Context(**names)
    except Exception as error:
        log.error("the usage context that came with a task cannot be read: %s", type(error).__name__)
        return Context()
