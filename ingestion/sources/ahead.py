"""Asking for the next while the last is being worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar, TypeVarTuple

Task = TypeVarTuple("Task")
Answer = TypeVar("Answer")

REQUESTS_AT_ONCE = 3
"""Few: providers limit concurrency, and each request's records wait in memory for their turn."""


def ahead(
    tasks: Iterable[tuple[*Task]], call: Callable[[*Task], Answer], at_once: int = REQUESTS_AT_ONCE
) -> Generator[tuple[tuple[*Task], Callable[[], Answer]]]:
    """Yield each task, in order, with a function that returns what ``call(*task)`` returned, or raises what it raised.

    At most ``at_once`` calls run or wait at a time, in threads; ``tasks`` is not read further ahead than that. A caller
    who stops early has the calls that did not begin cancelled.
    """
    remaining = iter(tasks)
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="ahead")
    try:
        begun: deque[tuple[tuple[*Task], Future[Answer]]] = deque()
        while True:
            begun.extend((task, pool.submit(call, *task)) for task in islice(remaining, at_once - len(begun)))
            if not begun:
                return
            task, future = begun.popleft()
            # Wait first, then begin the next: an answer that ends the reading should not be overtaken by a request.
            future.exception()
            yield task, future.result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
