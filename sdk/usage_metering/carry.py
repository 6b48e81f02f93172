"""Carry the `usage_context` to where Python does not: into threads, pools, and streams that are read later."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import Any, TypeVar, cast, overload

from usage_metering.context import Context, current, entered

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class _Function:
    """Calls a function in a context. It can be pickled where the function and the metadata can: for pools of processes."""

    def __init__(self, function: Callable[..., Any], context: Context) -> None:
        self._function = function
        self._context = context
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with entered(self._context):
            result = self._function(*args, **kwargs)
            # Nothing of a generator has run yet.
            return carry_context(result) if inspect.isgenerator(result) or inspect.isasyncgen(result) else result


class _Coroutine(_Function):
    """The same for an ``async def``, as frameworks recognise one."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with entered(self._context):
            return await self._function(*args, **kwargs)


class _Executor(Executor):
    """Gives each task the context that it was submitted in."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return self._executor.submit(_Function(fn, current()), *args, **kwargs)

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        return self._executor.map(_Function(fn, current()), *iterables, timeout=timeout, chunksize=chunksize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

    def __getattr__(self, name: str) -> Any:
        if name == "_executor":
            raise AttributeError(name)  # not made yet (copy, pickle)
        return getattr(self._executor, name)


class _Stream(Iterator[T]):
    """Makes each item in the context, whoever asks for it; what the iterator itself enters goes on with it."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._context = copy_context()

    def __next__(self) -> T:
        return self._context.run(next, self._items)

    def close(self) -> None:
        """Close what is iterated over, if it can be closed."""
        close = getattr(self._items, "close", None)
        if close is not None:
            self._context.run(close)


class _AsyncStream(AsyncIterator[T]):
    """The same, of an asynchronous iterator."""

    def __init__(self, items: AsyncIterator[T], context: Context) -> None:
        self._items = items
        self._context = context

    async def __anext__(self) -> T:
        with entered(self._context):
            item = await anext(self._items)
            self._context = current()
            return item

    async def aclose(self) -> None:
        """Close what is iterated over, if it can be closed."""
        aclose = getattr(self._items, "aclose", None)
        if aclose is not None:
            with entered(self._context):
                await aclose()


@overload
def carry_context(target: Executor) -> Executor: ...
@overload
def carry_context(target: Iterator[T]) -> Iterator[T]: ...
@overload
def carry_context(target: AsyncIterator[T]) -> AsyncIterator[T]: ...
@overload
def carry_context(target: F) -> F: ...


def carry_context(target: Any) -> Any:
    """Return ``target`` so that it runs for the tenant, feature, ... of `usage_context`.

    - An executor: each task runs in the context that it is submitted in. The executor itself stays as it is.
    - A function (for `threading.Thread`, ``run_in_executor``, background tasks, callbacks) and a generator or other
      iterator, synchronous or not (a streamed answer): runs in the context that ``carry_context`` is called in.

    Raises:
        TypeError: it is not one of these.
    """
    if isinstance(target, Executor):
        return _Executor(target)
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None)):  # noqa: B004
        return _Coroutine(target, current())
    if hasattr(target, "__anext__"):
        return _AsyncStream(cast("AsyncIterator[Any]", target), current())
    if hasattr(target, "__next__"):
        return _Stream(cast("Iterator[Any]", target))
    if callable(target):
        return _Function(target, current())
    raise TypeError(f"carry_context takes an executor, a function or an iterator, not {type(target).__name__}")
