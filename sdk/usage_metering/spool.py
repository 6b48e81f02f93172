"""The spool: lines on the local disk that are durable when `append` returns, and stay until the database has them.

A folder is shared by any number of processes. Each writer (one per tracker and process) has files of its own:

    <writer>.lock           held with flock(2) for as long as the process lives; whoever gets it owns what is left. Its text
                            says how much of the last segment is acknowledged
    <writer>.<number>.log   segments of lines, `crc32 milliseconds kind json`; only the last one is written to

A line counts once its batch is fsynced. What a kill cuts off has no newline, lies behind what is acknowledged, and is left
out by readers. A segment is emptied or deleted only by its owner, after the database has committed its lines, and only where
every byte of it was understood: any other is renamed to `<writer>.<number>.log.damaged`, which `metering events status`
shows and nobody deletes but a person.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import sys
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("metering.tracking")

SEGMENT_BYTES = 8 * 1024 * 1024
READ_BYTES = 1024 * 1024  # a batch ends behind the line that passes it
LONGEST_LINE = 64 * 1024 * 1024  # nothing that long was ever written; bounds what a file without newlines costs
SET_ASIDE = ".damaged"
sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
FOLDER_MODE, FILE_MODE = 0o700, 0o600
HEAD_BYTES = 25  # crc32, a space, milliseconds, a space, kind, a space
NOTE_BYTES = 100
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


_INTERRUPTED = RuntimeError("interrupted")


class SpoolRefused(Exception):
    """The disk did not take a line: full, read-only, no permission. What was handed in is not in the spool."""


class Line(NamedTuple):
    """One thing that was recorded: its kind (one letter), when (Unix milliseconds), and its JSON."""

    kind: str
    at_ms: int
    body: bytes


def encode(line: Line) -> bytes:
    """Return the line as it stands in a segment.

    Raises:
        ValueError: the body has a newline, or the kind is not one ASCII letter: it could not be read back.
    """
    if b"\n" in line.body or len(line.kind) != 1 or not line.kind.isascii():
        raise ValueError("a line of the spool has one letter of kind and no newline in it")
    rest = b"%013d %s %s" % (line.at_ms, line.kind.encode(), line.body)
    return b"%08x %s\n" % (zlib.crc32(rest), rest)


def decode(raw: bytes) -> Line | None:
    """Read a line without its newline; None where it is not what was written."""
    try:
        if int(raw[:8], 16) != zlib.crc32(raw[9:]):
            return None
        return Line(raw[23:24].decode(), int(raw[9:22]), raw[HEAD_BYTES:])
    except ValueError:
        return None


@dataclass(slots=True)
class Batch:
    """What was read together; `Segments.done` takes it away."""

    lines: list[Line]
    path: Path
    start: int
    end: int
    damaged: int = 0  # pieces among them that are not what was written; `end` is behind them


@dataclass(slots=True)
class _Ticket:
    raw: bytes
    is_done: bool = False
    error: BaseException | None = None


@dataclass(slots=True)
class _Segment:
    path: Path
    position: int = 0  # everything before it is in the database
    length: int = 0  # everything before it is durable
    lines: int = 0  # durable and not in the database
    damaged: int = 0  # pieces that could not be read: the file is set aside and not deleted


def read_batch(
    path: Path, start: int, end: int | None, most_lines: int, *, acknowledged: float = float("inf")
) -> Batch:
    """Read whole lines of a segment from byte ``start`` to at most ``end`` (None: the file's), about a megabyte.

    A line is read to its newline, however long it is. Nothing is skipped: each piece between ``start`` and the batch's end
    is one of its lines or counted as damaged, but for one without a newline behind byte ``acknowledged``: that was cut off
    while it was written. At the end of the segment the batch is empty and ends where it began.

    Raises:
        OSError: the file cannot be read. One that is gone is empty.
    """
    batch = Batch([], path, start, start)
    try:
        with path.open("rb") as file:
            file.seek(start)
            while len(batch.lines) < most_lines and batch.end - start < READ_BYTES:
                raw = file.readline(LONGEST_LINE if end is None else min(LONGEST_LINE, end - batch.end))
                if not raw:
                    break
                begin, batch.end = batch.end, batch.end + len(raw)
                if (line := decode(raw.removesuffix(b"\n"))) is not None:
                    batch.lines.append(line)
                elif begin < acknowledged or raw.endswith(b"\n"):
                    batch.damaged += 1
    except FileNotFoundError:
        pass
    return batch


def _remove(path: Path, damaged: int) -> None:
    """Delete a segment of which the database has all; set it aside where a piece of it could not be read."""
    with contextlib.suppress(OSError):
        if not damaged:
            path.unlink()
            return
        aside = path.with_name(path.name + SET_ASIDE)
        path.rename(aside)
        log.error(
            "%s holds %d pieces that are not whole lines: kept as %s",
            path,
            damaged,
            aside.name,
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# A forked child must not keep its parent's locks alive: flock belongs to the open file, which both then share.
_held: set[int] = set()
_held_lock = threading.Lock()


def _lock(path: Path) -> int | None:
    """Take the lock file and return its descriptor; None where another has it or has just removed it."""
    with _held_lock:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked, on_disk = os.fstat(descriptor), path.stat()
            if (locked.st_dev, locked.st_ino) == (on_disk.st_dev, on_disk.st_ino):
                _held.add(descriptor)
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None


@functools.cache
def _boot() -> bytes:
    """Return what names the time since the machine was started; nothing where that cannot be known: then no note is read."""
    try:
        return BOOT_ID.read_bytes().strip()
    except OSError:
        return b""


def _note(lock_file: int, number: int, length: int) -> None:
    """Write into the lock file that a segment's first ``length`` bytes are acknowledged, for whoever takes it over.

    Not fsynced: a kill takes nothing that was written, and after a power cut, which may, the note is of another boot.

    Raises:
        OSError: neither could it be written nor the one before, which would now be wrong, be taken away.
    """
    note = b"%s %d %d\n" % (_boot(), number, length)
    try:
        if os.pwrite(lock_file, note.ljust(NOTE_BYTES), 0) == NOTE_BYTES:
            return
    except OSError:
        pass
    os.ftruncate(lock_file, 0)


def _noted(lock_file: int) -> tuple[int, int] | None:
    """Return the number of a writer's last segment and how much of it is acknowledged; None where that is not certain."""
    try:
        boot, number, length = os.pread(lock_file, NOTE_BYTES, 0).split()
        return (int(number), int(length)) if boot == _boot() else None
    except (OSError, ValueError):
        return None


def _acknowledged(path: Path, noted: tuple[int, int] | None) -> float:
    """Return behind which byte of a segment nothing is acknowledged; infinity where that is not certain."""
    if noted is not None and path.name.endswith(f".{noted[0]:08d}.log"):
        return noted[1]
    return float("inf")


def _unlock(descriptor: int) -> None:
    with _held_lock:
        _held.discard(descriptor)
        os.close(descriptor)


def _forget_locks() -> None:
    global _held_lock
    _held_lock = threading.Lock()
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(
    before=lambda: _held_lock.acquire(),
    after_in_parent=lambda: _held_lock.release(),
    after_in_child=_forget_locks,
)


class Spool:
    """The writing end of one process. Thread-safe; threads that append at once share one fsync.

    After a fork the child calls `forget` and is a writer of its own from its first line on.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self.forget()

    def forget(self) -> None:
        """Start over, in a forked child: the parent's files are the parent's."""
        inherited: int | None = getattr(self, "_file", None)
        if inherited is not None:
            with contextlib.suppress(OSError):
                os.close(inherited)
        # Held for each line: by itself it costs a tenth of what the condition around it does.
        self._lock = threading.RLock()
        self._turn = threading.Condition(self._lock)
        self._waiting: list[_Ticket] = []
        self._is_writing = False
        self._sleepers = 0  # threads that wait for the one that is writing
        self._is_closed = False
        self._writer: str | None = None
        self._lock_file: int | None = None
        self._file: int | None = None
        self._number = 0
        self._segments: deque[_Segment] = deque()
        self.appended = 0  # lines ever made durable
        self.settled = 0  # of those, the ones that the database has, and the vanished
        self.vanished = 0  # of those, the ones that somebody else deleted or damaged

    # Writing

    def append(self, line: Line) -> int:
        """Write a line and return its number, counted from 1, once it is durable.

        Raises:
            SpoolRefused: it could not be made durable.
        """
        ticket = _Ticket(encode(line))
        with self._lock:
            if self._is_closed:
                raise SpoolRefused(f"the spool {self.folder} is closed")
            self._waiting.append(ticket)
            while self._is_writing and not ticket.is_done:
                self._sleep()
            if not ticket.is_done:
                # Nobody is writing: this thread does, for all that are waiting.
                self._is_writing = True
                batch, self._waiting = self._waiting, []
        if not ticket.is_done:
            self._write_for(batch)
        if ticket.error is not None:
            raise SpoolRefused(f"the spool {self.folder} cannot be written: {ticket.error}") from ticket.error
        return self.appended

    def _sleep(self) -> None:
        self._sleepers += 1
        try:
            self._turn.wait()
        finally:
            self._sleepers -= 1

    def _write_for(self, batch: list[_Ticket]) -> None:
        error: BaseException | None = _INTERRUPTED
        try:
            self._write(b"".join([ticket.raw for ticket in batch]), len(batch))
            error = None
        except OSError as refused:
            error = refused
        finally:
            with self._lock:
                for ticket in batch:
                    ticket.is_done, ticket.error = True, error
                self._is_writing = False
                if self._sleepers:
                    self._turn.notify_all()

    def _write(self, data: bytes, lines: int) -> None:
        """Make ``data`` durable or raise with the file as it was before."""
        if self._file is None or self._segments[-1].length >= self._segment_bytes:
            self._open_segment()
        segment, file = self._segments[-1], self._file
        assert file is not None
        try:
            written = os.write(file, data)
            while written < len(data):
                written += os.write(file, data[written:])
        except BaseException:
            try:
                os.ftruncate(file, segment.length)
            except OSError:
                self._abandon(segment)
            raise
        try:
            sync(file)
            self._say_acknowledged(segment.length + len(data))
        except BaseException:
            # After a failed fsync the kernel may call the next one a success: nothing more goes into this file.
            with contextlib.suppress(OSError):
                os.ftruncate(file, segment.length)
            self._abandon(segment)
            raise
        with self._lock:
            segment.length += len(data)
            segment.lines += lines
            self.appended += lines

    def _say_acknowledged(self, length: int) -> None:
        assert self._lock_file is not None
        _note(self._lock_file, self._number, length)

    def _abandon(self, segment: _Segment) -> None:
        """Write no more to this segment; what is durable in it stays."""
        assert self._file is not None
        os.close(self._file)
        self._file = None
        if segment.length == 0:
            with self._turn:
                self._segments.remove(segment)
            with contextlib.suppress(OSError):
                segment.path.unlink()

    def _open_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if not self.folder.is_dir():
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            _sync_folder(self.folder.parent)
        while self._lock_file is None:
            self._writer = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
            self._lock_file = _lock(self.folder / f"{self._writer}.lock")
        path = self.folder / f"{self._writer}.{self._number + 1:08d}.log"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        self._number += 1
        try:
            _sync_folder(self.folder)
            self._say_acknowledged(0)
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        with self._turn:
            self._segments.append(_Segment(path))
        self._file = file

    # Reading: one thread at a time

    def next_batch(self, most_lines: int) -> Batch | None:
        """Return the oldest lines that the database does not have; None where there are none."""
        while True:
            with self._turn:
                self._drop_drained()
                if not self._segments:
                    return None
                segment = self._segments[0]
                start, end = segment.position, segment.length
            if start >= end:
                return None
            batch = read_batch(segment.path, start, end, most_lines)
            if batch.lines:
                return batch
            with self._turn:
                # Deleted or damaged by somebody else: go on behind it.
                gone = batch.damaged or segment.lines
                segment.position = batch.end if batch.damaged else segment.length
                segment.damaged += gone
                self._settle(segment, gone)
                self.vanished += gone
                self._empty(segment)
            log.error("%s has lost %d lines that were recorded in it", segment.path, gone)

    def done(self, batch: Batch) -> None:
        """The database has these lines."""
        with self._turn:
            segment = self._segments[0]
            segment.position = batch.end
            segment.damaged += batch.damaged
            self._settle(segment, len(batch.lines) + batch.damaged)
            self.vanished += batch.damaged
            self._drop_drained()
            self._empty(segment)

    def _empty(self, segment: _Segment) -> None:
        """Empty the segment that is being written to once it is read, so that no later reader meets its lines again."""
        if self._file is None or self._is_writing or not self._segments or segment is not self._segments[-1]:
            return
        if segment.position < segment.length:
            return
        if segment.damaged:
            # What was not understood stays; the next line begins another file.
            os.close(self._file)
            self._file = None
            self._drop_drained()
            return
        with contextlib.suppress(OSError):
            self._say_acknowledged(0)
            os.ftruncate(self._file, 0)
            segment.position = segment.length = 0

    def _settle(self, segment: _Segment, lines: int) -> None:
        taken = min(segment.lines, lines)
        segment.lines -= taken
        self.settled += taken

    def _drop_drained(self) -> None:
        while self._segments and self._segments[0].position >= self._segments[0].length:
            segment = self._segments[0]
            if segment is self._segments[-1] and (self._file is not None or self._is_writing):
                return
            _remove(segment.path, segment.damaged)
            self._segments.popleft()

    @property
    def depth(self) -> int:
        """How many durable lines the database does not have."""
        return self.appended - self.settled

    def oldest_at(self) -> float | None:
        """When the oldest of them was recorded, in Unix seconds."""
        with self._turn:
            if self.depth == 0 or not self._segments:
                return None
            segment = next((item for item in self._segments if item.position < item.length), None)
        return None if segment is None else _recorded_at(segment.path, segment.position)

    def close(self) -> None:
        """Take no more lines; leave no files behind if everything is in the database."""
        with self._turn:
            while self._is_writing:
                self._sleep()
            self._is_closed = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
            self._drop_drained()
            if self._lock_file is not None:
                if not self._segments:
                    with contextlib.suppress(OSError):
                        (self.folder / f"{self._writer}.lock").unlink()
                _unlock(self._lock_file)
                self._lock_file = None


def _recorded_at(path: Path, position: int) -> float | None:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return int(file.read(HEAD_BYTES)[9:22]) / 1000
    except (OSError, ValueError):
        return None


@dataclass(slots=True)
class Orphan:
    """What a process left that is gone, while this process holds its lock. Read like a `Spool`, by one thread."""

    folder: Path
    writer: str
    _lock_file: int
    _paths: deque[Path] = field(default_factory=deque)
    _position: int = 0
    _damaged: int = 0
    _unread: int = 0

    def next_batch(self, most_lines: int) -> Batch | None:
        """Return its next lines; None at the end. A file that cannot be read stays, and holds up none behind it."""
        while self._paths:
            try:
                path = self._paths[0]
                acknowledged = _acknowledged(path, _noted(self._lock_file))
                batch = read_batch(path, self._position, None, most_lines, acknowledged=acknowledged)
            except OSError as error:
                log.error("%s cannot be read and stays: %s", self._paths.popleft(), error.strerror)
                self._unread += 1
                self._position = self._damaged = 0
                continue
            if batch.lines:
                return batch
            if batch.end > batch.start:
                self.done(batch)
                continue
            _remove(self._paths.popleft(), self._damaged)
            self._position = self._damaged = 0
        return None

    def done(self, batch: Batch) -> None:
        """The database has these lines."""
        self._position = batch.end
        self._damaged += batch.damaged

    def close(self) -> None:
        """Give it back; gone if nothing is left of it."""
        if not self._paths and not self._unread:
            with contextlib.suppress(OSError):
                (self.folder / f"{self.writer}.lock").unlink()
        _unlock(self._lock_file)


def orphans(folder: Path) -> Generator[Orphan, None, None]:
    """Yield what dead processes left, each locked while it is being looked at."""
    for writer in _writers(folder):
        try:
            descriptor = _lock(folder / f"{writer}.lock")
        except OSError as error:
            log.warning("what %s left in %s cannot be taken over: %s", writer, folder, error)
            continue
        if descriptor is None:
            continue
        orphan = Orphan(folder, writer, descriptor, deque(sorted(folder.glob(f"{writer}.*.log"))))
        try:
            yield orphan
        finally:
            orphan.close()


def _writers(folder: Path) -> list[str]:
    """Return the writers that have files here, the oldest first."""
    times: dict[str, float] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith((".log", ".lock")):
                writer = entry.name.split(".", 1)[0]
                with contextlib.suppress(OSError):
                    times[writer] = min(times.get(writer, time.time()), entry.stat().st_mtime)
    return sorted(times, key=lambda writer: (times[writer], writer))


@dataclass(frozen=True)
class Waiting:
    """What one writer has in the folder."""

    writer: str
    is_alive: bool
    lines: int
    size_bytes: int
    oldest_at: float | None  # Unix seconds
    damaged: int = 0  # pieces and files that cannot be read


def survey(folder: Path) -> list[Waiting]:
    """Return what is in the folder, by writer. Counts lines by reading them all; changes nothing."""
    waiting = []
    for writer in _writers(folder):
        lines = size = damaged = 0
        oldest: float | None = None
        is_alive, noted = _look_at(folder / f"{writer}.lock")
        for path in sorted(folder.glob(f"{writer}.*.log")):
            read = _Read()
            _read_through(path, read, _acknowledged(path, noted))
            lines, size, damaged = lines + read.lines, size + read.size_bytes, damaged + read.damaged
            oldest = min((at for at in (oldest, read.oldest_at) if at is not None), default=None)
        waiting.append(Waiting(writer, is_alive, lines, size, oldest, damaged))
    return waiting


@dataclass(frozen=True)
class SetAside:
    """A file of which a part could not be read; its good lines (``lines``) have been brought to the database."""

    name: str
    lines: int
    damaged: int
    size_bytes: int


def set_aside(folder: Path) -> list[SetAside]:
    """Return the files that were kept because a part of them could not be read; reads them all, changes nothing."""
    files = []
    for path in sorted(folder.glob(f"*{SET_ASIDE}")):
        read = _Read()
        _read_through(path, read)
        files.append(SetAside(path.name, read.lines, read.damaged, read.size_bytes))
    return files


@dataclass(slots=True)
class _Read:
    lines: int = 0
    damaged: int = 0
    size_bytes: int = 0
    oldest_at: float | None = None


def _read_through(path: Path, read: _Read, acknowledged: float = float("inf")) -> None:
    try:
        while True:
            batch = read_batch(path, read.size_bytes, None, sys.maxsize, acknowledged=acknowledged)
            if batch.end == batch.start:
                return
            read.size_bytes = batch.end
            read.damaged += batch.damaged
            read.lines += len(batch.lines)
            for line in batch.lines:
                at = line.at_ms / 1000
                read.oldest_at = at if read.oldest_at is None else min(read.oldest_at, at)
    except OSError:
        read.damaged += 1


def _look_at(path: Path) -> tuple[bool, tuple[int, int] | None]:
    """Return whether the process that holds a lock file is alive, and what it noted there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False, None
    try:
        noted = _noted(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True, noted
    finally:
        os.close(descriptor)
    return False, noted
