"""Durable before it is acknowledged, read in order, gone only when it is done, whoever died in between."""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from usage_metering import spool as spooling
from usage_metering.spool import (
    Line,
    Orphan,
    SetAside,
    Spool,
    SpoolRefused,
    decode,
    encode,
    orphans,
    set_aside,
    survey,
)


def line(number: int, kind: str = "e") -> Line:
    return Line(kind, 1_795_000_000_000 + number, b'{"n":%d}' % number)


def read_all(source: Spool | Orphan, most: int = 100) -> list[Line]:
    lines: list[Line] = []
    while (batch := source.next_batch(most)) is not None:
        lines += batch.lines
        source.done(batch)
    return lines


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_a_line_reads_back() -> None:
    assert decode(encode(line(1))[:-1]) == line(1)
    assert decode(encode(line(1))[:-2]) is None
    assert decode(encode(line(1)).replace(b"1}", b"2}")[:-1]) is None
    assert decode(b"") is None


def test_in_order_then_gone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(25):
        spool.append(line(number))
    assert spool.depth == 25
    assert spool.oldest_at() == line(0).at_ms / 1000
    assert read_all(spool, most=10) == [line(number) for number in range(25)]
    assert spool.depth == 0
    assert spool.oldest_at() is None
    spool.append(line(25))
    assert read_all(spool) == [line(25)]
    spool.close()
    assert files(tmp_path / "spool") == []


def test_acknowledged_only_after_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    real_write, real_sync = os.write, os.fdatasync

    def write(file: int, data: bytes) -> int:
        happened.append("write")
        return real_write(file, data)

    def sync(file: int) -> None:
        real_sync(file)
        happened.append("sync")

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(spooling, "sync", sync)
    spool = Spool(tmp_path)
    spool.append(line(1))
    happened.append("acknowledged")
    assert happened == ["write", "sync", "acknowledged"]


def test_threads_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []

    def slow_sync(file: int) -> None:
        syncs.append(file)
        time.sleep(0.01)

    monkeypatch.setattr(spooling, "sync", slow_sync)
    spool = Spool(tmp_path)
    threads = [
        threading.Thread(target=lambda first=first: [spool.append(line(first + n)) for n in range(10)])  # type: ignore[misc]
        for first in range(0, 160, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({found.body for found in read_all(spool)}) == 160
    assert len(syncs) < 60


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=200)
    for number in range(20):
        spool.append(line(number))
    assert files(tmp_path).count(".log") > 2
    assert read_all(spool, most=7) == [line(number) for number in range(20)]
    assert files(tmp_path).count(".log") == 1


@pytest.mark.parametrize("call", ["write", "sync", "half"])
def test_a_refusing_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    spool = Spool(tmp_path)
    spool.append(line(1))
    real_write = os.write

    def refuse(file: int, data: bytes = b"") -> int:
        if call == "half" and len(data) > 20:
            return real_write(file, bytes(data)[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if call == "sync":
            patch.setattr(spooling, "sync", refuse)
        else:
            patch.setattr(os, "write", refuse)
        for number in (2, 3):
            with pytest.raises(SpoolRefused, match="No space left"):
                spool.append(line(number))
    spool.append(line(4))
    assert read_all(spool) == [line(1), line(4)]
    assert spool.depth == 0


def test_a_refusing_disk_does_not_pile_up_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)

    def refuse(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(spooling, "sync", refuse)
    for number in range(10):
        with pytest.raises(SpoolRefused):
            spool.append(line(number))
    assert files(tmp_path) == [".lock"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolRefused):
        Spool(tmp_path / "file" / "spool").append(line(1))


def leave(folder: Path, count: int) -> str:
    """Write as a process that then dies: its lock is gone, its files are there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        spool = Spool(folder)
        for number in range(count):
            spool.append(line(number))
        os.write(writing, (spool._writer or "").encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_the_dead_left_is_taken_over_and_a_torn_line_is_not(tmp_path: Path) -> None:
    writer = leave(tmp_path, 3)
    (segment,) = tmp_path.glob("*.log")
    with segment.open("ab") as file:
        file.write(encode(line(3))[:-5])
    assert [(found.writer, found.is_alive, found.lines, found.damaged) for found in survey(tmp_path)] == [
        (writer, False, 3, 0)
    ]
    with closing(orphans(tmp_path)) as found:
        (lines,) = [read_all(orphan) for orphan in found]
    assert lines == [line(0), line(1), line(2)]
    assert files(tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("what", ["acknowledged", "another boot", "no note", "a newline"])
def test_a_torn_line_that_may_have_been_acknowledged_is_kept_aside(tmp_path: Path, what: str) -> None:
    writer = leave(tmp_path, 3)
    (segment,) = tmp_path.glob("*.log")
    lock = tmp_path / f"{writer}.lock"
    torn = encode(line(3))[:-5]
    if what == "acknowledged":
        segment.write_bytes(segment.read_bytes()[:-5])
    else:
        segment.write_bytes(segment.read_bytes() + torn + (b"\n" if what == "a newline" else b""))
    if what == "another boot":
        lock.write_bytes(b"0" + lock.read_bytes())
    elif what == "no note":
        lock.write_bytes(b"")
    good = 2 if what == "acknowledged" else 3
    assert [(found.lines, found.damaged) for found in survey(tmp_path)] == [(good, 1)]
    with closing(orphans(tmp_path)) as found:
        assert [read_all(orphan) for orphan in found] == [[line(number) for number in range(good)]]
    assert [(kept.lines, kept.damaged) for kept in set_aside(tmp_path)] == [(good, 1)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_line_that_was_torn_in_any_segment_leaves_nothing(tmp_path: Path) -> None:
    """Also in one that was emptied, or begun by a write that came no further."""
    for before, sent in ((0, 0), (1, 1), (3, 3), (3, 2)):
        child = os.fork()
        if child == 0:
            spool = Spool(tmp_path, segment_bytes=1 if before == 3 else 10_000)
            for number in range(before):
                spool.append(line(number))
            for _ in range(sent):
                batch = spool.next_batch(1)
                assert batch is not None
                spool.done(batch)
            if spool._file is None or before == 3:
                spool._open_segment()
            assert spool._file is not None
            os.write(spool._file, encode(line(9))[:-5])
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with closing(orphans(tmp_path)) as found:
            assert [read_all(orphan) for orphan in found] == [[line(number) for number in range(sent, before)]]
        assert files(tmp_path) == []


def test_a_note_that_cannot_be_written_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.append(line(1))
    (lock,) = tmp_path.glob("*.lock")
    assert lock.stat().st_size > 0
    monkeypatch.setattr(os, "pwrite", lambda *_: 3)
    spool.append(line(2))
    assert lock.stat().st_size == 0
    assert read_all(spool) == [line(1), line(2)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_damaged_line_is_kept_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    leave(tmp_path, 3)
    (segment,) = tmp_path.glob("*.log")
    segment.write_bytes(segment.read_bytes().replace(b'{"n":1}', b'{"n":7}'))
    with closing(orphans(tmp_path)) as found:
        (lines,) = [read_all(orphan, most=1) for orphan in found]
    assert lines == [line(0), line(2)]
    assert files(tmp_path) == [".damaged"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_could_not_be_brought_stays_for_the_next(tmp_path: Path) -> None:
    leave(tmp_path, 3)
    with closing(orphans(tmp_path)) as found:
        for orphan in found:
            batch = orphan.next_batch(2)
            assert batch is not None
            orphan.done(batch)
            break
    with closing(orphans(tmp_path)) as found:
        assert [read_all(orphan) for orphan in found] == [[line(0), line(1), line(2)]]


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(line(1))
    assert list(orphans(tmp_path)) == []
    assert [found.is_alive for found in survey(tmp_path)] == [True]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_who_take_over_at_once_do_not_meet(tmp_path: Path) -> None:
    leave(tmp_path, 3)
    with closing(orphans(tmp_path)) as first:
        next(first)
        assert list(orphans(tmp_path)) == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_holds_nothing_of_its_parent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(line(1))
    reading, writing = os.pipe()
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.write(tell, b".")
        os.read(reading, 1)  # live on until the parent has looked
        os._exit(0)
    try:
        os.read(ready, 1)
        assert spool._file is not None
        assert spool._lock_file is not None
        os.close(spool._file)
        spooling._unlock(spool._lock_file)  # as when the parent dies
        with closing(orphans(tmp_path)) as found:
            assert [read_all(orphan) for orphan in found] == [[line(1)]]
    finally:
        spool._file = spool._lock_file = None
        os.close(writing)
        os.waitpid(child, 0)
        for descriptor in (reading, ready, tell):
            os.close(descriptor)


def long(number: int, size: int) -> Line:
    return Line("r", line(number).at_ms, b"x" * size)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("size", [spooling.READ_BYTES - 30, spooling.READ_BYTES, spooling.READ_BYTES + 1, 5_000_000])
def test_a_line_of_any_length_is_read_and_those_behind_it_are(tmp_path: Path, size: int) -> None:
    expected = [line(1), long(2, size), line(3), long(4, size), line(5)]
    segment = tmp_path / "1-dead.00000001.log"
    segment.write_bytes(b"".join(encode(one) for one in expected))
    (tmp_path / "1-dead.lock").touch()
    with closing(orphans(tmp_path)) as found:
        assert [read_all(orphan, most=5_000) for orphan in found] == [expected]
    assert files(tmp_path) == []
    spool = Spool(tmp_path)
    for one in expected:
        spool.append(one)
    assert read_all(spool, most=5_000) == expected
    assert (spool.depth, spool.vanished) == (0, 0)


WHOLE = b"".join(encode(line(number)) for number in range(3))


@pytest.mark.parametrize(
    ("content", "lines", "damaged"),
    [
        (WHOLE, [0, 1, 2], 0),
        (WHOLE[:-1], [0, 1, 2], 0),  # whole, but for its newline
        (WHOLE + b"\n", [0, 1, 2], 1),
        (WHOLE + b"\x00" * 4096, [0, 1, 2], 1),  # what a power cut leaves in a file
        (b"\x00" * 3_000_000 + b"\n" + WHOLE, [0, 1, 2], 1),
        (b"no line\n" * 3 + WHOLE, [0, 1, 2], 3),
        (WHOLE[1:], [1, 2], 1),
        (WHOLE[:-20], [0, 1], 1),
        (b"\xff" * 2_500_000, [], 1),
        (b"", [], 0),
    ],
)
def test_what_is_not_understood_is_never_deleted(
    tmp_path: Path, content: bytes, lines: list[int], damaged: int
) -> None:
    segment = tmp_path / "1-dead.00000001.log"
    segment.write_bytes(content)
    with closing(orphans(tmp_path)) as found:
        assert [read_all(orphan) for orphan in found] == [[line(number) for number in lines]]
    if damaged:
        (kept,) = set_aside(tmp_path)
        assert kept == SetAside(f"{segment.name}.damaged", len(lines), damaged, len(content))
        assert (tmp_path / kept.name).read_bytes() == content
    else:
        assert files(tmp_path) == []


def test_what_is_not_understood_is_not_written_again_at_each_attempt(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(3):
        spool.append(line(number))
    (segment,) = tmp_path.glob("*.log")
    segment.write_bytes(segment.read_bytes().replace(b'{"n":1}', b'{"n":7}'))
    for _ in range(5):
        spool.next_batch(100)
    assert files(tmp_path) == [".lock", ".log"]
    assert read_all(spool) == [line(0), line(2)]
    assert (spool.depth, spool.vanished) == (0, 1)
    assert files(tmp_path) == [".damaged", ".lock"]
    spool.append(line(4))
    assert read_all(spool) == [line(4)]


@pytest.mark.parametrize("body", [b"a\nb", b"\n"])
def test_a_line_that_could_not_be_read_back_is_not_written(body: bytes) -> None:
    with pytest.raises(ValueError, match="newline"):
        encode(Line("e", 1, body))
