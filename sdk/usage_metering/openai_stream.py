"""Listens to the bytes of a model vendor's answer while the SDK's own objects read them.

What belongs here: the replacement of an HTTP response's byte stream, sync and async, for server-sent events and for
JSON that the user reads by himself. The user keeps the SDK's `Stream`, `ChatCompletionStream`, `APIResponse`, …; only
the bytes under them pass through here, and the usage is recorded before the bytes that tell of it are passed on.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, Protocol

from usage_metering.openai_usage import EventReader, StreamedResponse
from usage_metering.wrapped_call import off_loop

log = logging.getLogger("metering.tracking")


class Listener(Protocol):
    """Reads along. `read` and `finish` never raise; `settle` may wait for a disk, once."""

    def read(self, data: bytes) -> tuple[list[bytes], bool]:
        """Return what to pass on, and whether to settle before that."""

    def end(self) -> list[bytes]:
        """The stream has come to its end: return what is left to pass on."""

    def settle(self) -> None:
        """Record what is known; nothing happens the second time."""

    @property
    def is_settled(self) -> bool: ...

    @property
    def reads_rest(self) -> bool:
        """Whether the rest is to be read also when the user stops reading."""

    @property
    def reads_clear(self) -> bool:
        """Whether it has to be shown the bytes decoded, to tell their parts."""


class EventListener:
    """Of server-sent events, which ``response`` sees. ``on_end(response)`` records; ``on_id(id)`` gets the answer's id when it is known."""

    reads_clear = True

    def __init__(
        self,
        on_end: Callable[[Any], None],
        response: StreamedResponse,
        *,
        hides_usage: bool,
        on_id: Callable[[str], None] | None = None,
    ) -> None:
        self._on_id = on_id
        self._response = response
        self._reader = EventReader(self._response, hides_usage=hides_usage)
        self._on_end = on_end
        self.is_settled = False
        self.reads_rest = False

    def read(self, data: bytes) -> tuple[list[bytes], bool]:
        try:
            loaded = self._reader.read(data)
            if self._on_id is not None and self._response.id:
                on_id, self._on_id = self._on_id, None
                on_id(self._response.id)
            return loaded
        except Exception:
            log.exception("an event of a stream could not be read")
            return [self._reader.rest()], False

    def end(self) -> list[bytes]:
        rest = self._reader.rest()
        return [rest] if rest else []

    def settle(self) -> None:
        if not self.is_settled:
            self.is_settled = True
            try:
                self._on_end(self._response)
            except Exception:
                log.exception("usage of a stream could not be recorded")


class BodyListener:
    """Of a JSON answer that is read piece by piece. ``on_end(answer or None)`` records."""

    reads_clear = False

    def __init__(self, on_end: Callable[[Any], None], decode: Callable[[bytes], bytes]) -> None:
        self._parts: list[bytes] = []
        self._decode = decode
        self._on_end = on_end
        self.is_settled = False
        self.reads_rest = True  # it has been made and is paid for: the rest of it tells what it cost

    def read(self, data: bytes) -> tuple[list[bytes], bool]:
        self._parts.append(data)
        return [data], False

    def end(self) -> list[bytes]:
        return []

    def settle(self) -> None:
        if self.is_settled:
            return
        self.is_settled = True
        body = None
        try:
            body = json.loads(self._decode(b"".join(self._parts)))
        except Exception as error:
            log.warning("an answer could not be read to its end: %s", type(error).__name__)
        try:
            self._on_end(body)
        except Exception:
            log.exception("usage could not be recorded")


class LineListener:
    """Of an answer of JSON lines. ``on_line(line)`` records what each of them says, before it is passed on."""

    reads_clear = True

    def __init__(self, on_line: Callable[[Any], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self._lines: list[bytes] = []
        self.reads_rest = True  # it has been made and is paid for: the rest of it tells what it cost

    def read(self, data: bytes) -> tuple[list[bytes], bool]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._lines += [line for line in whole if line.strip()]
        return [data], bool(self._lines)

    def end(self) -> list[bytes]:
        self._lines += [self._rest] if self._rest.strip() else []
        self._rest = b""
        return []

    @property
    def is_settled(self) -> bool:
        return not self._lines

    def settle(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            try:
                self._on_line(json.loads(line))
            except Exception:
                log.exception("a line of an answer could not be recorded")


class _Forgotten:
    """Settles streams that were neither read to their end nor closed, when the garbage collector finds them.

    It may find them in the middle of anything, also while the tracker holds its lock: the finalizer only puts them
    into a queue (which is safe there), and a thread settles them. Those that are left at exit are settled then.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Listener] = SimpleQueue()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, tap: object, listener: Listener) -> None:
        self._open.add(listener)
        weakref.finalize(tap, self._queue.put, listener).atexit = False  # type: ignore[misc]  # it is a property
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._settle, name="metering streams", daemon=True)
                self._thread.start()

    def _settle(self) -> None:
        while True:
            self._queue.get().settle()

    def at_exit(self) -> None:
        for listener in list(self._open):
            listener.settle()


_forgotten = _Forgotten()


def _after_fork_in_child() -> None:
    """The parent's streams are the parent's to settle."""
    global _forgotten
    _forgotten = _Forgotten()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(lambda: _forgotten.at_exit())


class _SyncTap:
    def __init__(self, inner: Any, source: Any, listener: Listener) -> None:
        self._inner, self._source, self._listener = inner, iter(source), listener
        self._has_ended = False
        _forgotten.watch(self, listener)

    def __iter__(self) -> Iterator[bytes]:
        listener = self._listener
        try:
            for data in self._source:
                passed, settles = listener.read(data)
                if settles:
                    listener.settle()
                yield from passed
            self._has_ended = True
            passed = listener.end()
            listener.settle()
            yield from passed
        finally:
            if self._has_ended or not listener.reads_rest:
                listener.settle()

    def close(self) -> None:
        listener = self._listener
        try:
            if listener.reads_rest and not self._has_ended and not listener.is_settled:
                try:
                    for data in self._source:
                        listener.read(data)
                except Exception as error:
                    log.warning("the rest of an answer could not be read: %s", type(error).__name__)
        finally:
            try:
                self._inner.close()
            finally:
                listener.settle()


class _AsyncTap:
    def __init__(self, inner: Any, source: Any, listener: Listener) -> None:
        self._inner, self._source, self._listener = inner, aiter(source), listener
        self._has_ended = False
        _forgotten.watch(self, listener)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        listener = self._listener
        try:
            async for data in self._source:
                passed, settles = listener.read(data)
                if settles:
                    await _settled(listener)
                for part in passed:
                    yield part
            self._has_ended = True
            passed = listener.end()
            await _settled(listener)
            for part in passed:
                yield part
        finally:
            if self._has_ended or not listener.reads_rest:
                await _settled(listener)

    async def aclose(self) -> None:
        listener = self._listener
        try:
            if listener.reads_rest and not self._has_ended and not listener.is_settled:
                try:
                    async for data in self._source:
                        listener.read(data)
                except Exception as error:
                    log.warning("the rest of an answer could not be read: %s", type(error).__name__)
        finally:
            try:
                await self._inner.aclose()
            finally:
                await _settled(listener)


async def _settled(listener: Listener) -> None:
    if not listener.is_settled:
        try:
            await off_loop(listener.settle)
        except RuntimeError:  # the loop's threads are gone: it is shutting down
            listener.settle()


@lru_cache(maxsize=8)
def _tap_class(mixin: type, base: type) -> type:
    return type("MeteredByteStream", (mixin, base), {})


def _base(response: Any, name: str) -> type:
    """The byte stream class of the HTTP library that the response is of (httpx2, or a user's own httpx)."""
    for kind in type(response).__mro__:
        loaded = getattr(sys.modules.get(kind.__module__.partition(".")[0]), name, None)
        if isinstance(loaded, type):
            return loaded
    raise TypeError(f"{type(response).__name__} is not a response of httpx2 or httpx")


def listen(response: Any, listener: Listener, *, is_async: bool) -> bool:
    """Put ``listener`` between the response's bytes and whoever reads them.

    Returns whether it has heard all of them here: a transport may hand over a body that is whole already (mocks,
    caches, recorders), and then nobody reads the bytes under it any more. The caller settles then.
    """
    if response.is_stream_consumed:
        passed, _ = listener.read(response.content)
        response._content = b"".join([*passed, *listener.end()])  # there is no public way to change it
        return True
    inner = response.stream
    source = inner
    if listener.reads_clear and response.headers.get("content-encoding", "identity") != "identity":
        # Events can only be told apart in clear: a response of our own decodes, the user's then must not.
        decoding = type(response)(200, headers=response.headers, stream=inner, request=response.request)
        source = decoding.aiter_bytes() if is_async else decoding.iter_bytes()
        del response.headers["content-encoding"]
    mixin, name = (_AsyncTap, "AsyncByteStream") if is_async else (_SyncTap, "SyncByteStream")
    response.stream = _tap_class(mixin, _base(response, name))(inner, source, listener)
    return False


def body_decoder(response: Any) -> Callable[[bytes], bytes]:
    """Return what undoes the response's content encoding, if that is still to be done."""
    encoding = None if response.is_stream_consumed else response.headers.get("content-encoding")
    kind = type(response)

    def decode(raw: bytes) -> bytes:
        headers = {} if encoding is None else {"content-encoding": encoding}
        content: bytes = kind(200, headers=headers, content=raw).content
        return content

    return decode
