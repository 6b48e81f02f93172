"""Random histories of trackers: whatever is recorded, killed, damaged and flushed, what was acknowledged arrives once or is named.

Each history is made by its number alone. METERING_FUZZ_HISTORIES says how many (100, in the proof 300); METERING_FUZZ_FIRST the first one's number.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from tests.proof import IS_PROOF
from tests.sdk.conftest import Base
from usage_metering import UsageTracker
from usage_metering import spool as spooling
from usage_metering import tracker as tracking
from usage_metering.clock import as_of
from usage_metering.flush import adopt, drain
from usage_metering.spool import Line, decode, encode, set_aside, survey
from usage_metering.store import EVENT, Loaded, Store, refusal_line

HISTORIES = int(os.environ.get("METERING_FUZZ_HISTORIES", "300" if IS_PROOF else "100"))
FIRST = int(os.environ.get("METERING_FUZZ_FIRST", "0"))
LETTERS = "abcdefgh " * (4 * 1024 * 1024 // 9)


@dataclass
class Database:
    """Takes lines as `Store` does, each key once, all or none; may be away, or break before or behind its commit."""

    chance: random.Random
    is_away: bool = False
    is_shaky: bool = False
    events: list[str] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)

    def load(self, lines: Sequence[Line], *, prefix: str = "flush") -> Loaded:
        if self.is_away or (self.is_shaky and self.chance.random() < 0.2):
            raise psycopg.OperationalError("away")
        known, before = set(self.events), len(self.events)
        for line in lines:
            if line.kind != EVENT:
                self.others.append(line.body)
            elif (key := json.loads(line.body)["event_key"]) not in known:
                known.add(key)
                self.events.append(key)
        if self.is_shaky and self.chance.random() < 0.2:
            raise psycopg.OperationalError("broke behind the commit")
        return Loaded(inserted=len(self.events) - before)


class History:
    """One folder, up to three trackers at once, one database."""

    def __init__(self, number: int, folder: Path, store: Store | Database) -> None:
        self.chance = random.Random(number)
        self.folder = folder
        self.store = store
        self.trackers: list[UsageTracker] = []
        self.acknowledged: list[str] = []
        self.kept: set[str] = set()  # marks of what was refused or decided and is to be there as well
        self.hit: set[str] = set()  # keys and marks in lines that something else has damaged
        self.was_damaged = False
        self.count = 0

    def run(self) -> None:
        steps = [self.record] * 10 + [self.again] * 2 + [self.refused] * 3 + [self.large] + [self.decide]
        steps += [self.full_disk, self.flush, self.flush, self.take_over, self.kill, self.kill, self.close, self.damage]
        if isinstance(self.store, Database):
            steps += [self.leave, self.leave, self.shake]
        for _ in range(self.chance.randint(3, 40)):
            self.chance.choice(steps)()
        while self.trackers:
            self.chance.choice([self.kill, self.close])()
        if isinstance(self.store, Database):
            self.store.is_away = self.store.is_shaky = False
        adopt(self.folder, cast("Store", self.store))

    # What the product does

    def tracker(self) -> UsageTracker:
        if not self.trackers or (len(self.trackers) < 3 and self.chance.random() < 0.2):
            tracker = UsageTracker(spool_dir=self.folder)
            tracker._spool._segment_bytes = self.chance.choice([1, 3_000, 100_000, spooling.SEGMENT_BYTES])
            self.trackers.append(tracker)
        return self.chance.choice(self.trackers)

    def mark(self, kind: str = "used") -> str:
        self.count += 1
        return f"{kind}{self.count:06d}"

    def record(self) -> None:
        size = self.chance.choice([0, 1, 100, 5_000, 30_000])
        mark = self.mark()
        key = self.tracker().record("acme", "internal", idempotency_key=mark, metadata={"blob": LETTERS[:size]})
        assert key is not None
        self.acknowledged.append(key)

    def again(self) -> None:
        mark = f"used{self.chance.randint(1, self.count + 1):06d}"
        if key := self.tracker().record("acme", "internal", idempotency_key=mark, metadata={"blob": ""}):
            self.acknowledged.append(key)

    def refused(self) -> None:
        mark, size = self.mark("kept"), self.chance.randint(33_000, len(LETTERS))
        blob: Any = self.chance.choice([LETTERS[:size], [LETTERS[:100]] * (size // 100), {"deep": [LETTERS[:size]]}])
        assert self.tracker().record("acme", "internal", activity=mark, metadata={"blob": blob}) is None
        self.kept.add(mark)

    def large(self) -> None:
        """As versions did that kept the whole of what they refused."""
        mark, size = self.mark("kept"), self.chance.choice([900_000, spooling.READ_BYTES, 1_500_000, 4 * 1024 * 1024])
        self.tracker()._spool.append(
            refusal_line(
                tenant_id="acme", usage_date=as_of().date(), record_key=mark, reason="", record=LETTERS[:size], at=1.0
            )
        )
        self.kept.add(mark)

    def decide(self) -> None:
        mark = self.mark("kept")
        self.tracker().record_decision(
            {
                "tenant_id": "acme",
                "channel": "sms",
                "units": "1",
                "allowed": True,
                "status": "unknown",
                "reason": mark,
                "feature": None,
                "decided_at": as_of().isoformat(),
            }
        )
        self.kept.add(mark)

    def full_disk(self) -> None:
        """Nothing is acknowledged, and nothing that was is lost."""
        whole = spooling.sync

        def refuse(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        spooling.sync = refuse
        try:
            assert self.tracker().record("acme", "internal", idempotency_key=self.mark()) is None
        finally:
            spooling.sync = whole

    # What happens to it

    def flush(self) -> None:
        if self.trackers:
            with contextlib.suppress(psycopg.OperationalError):
                drain(
                    self.chance.choice(self.trackers)._spool,
                    cast("Store", self.store),
                    batch_lines=self.chance.choice([1, 3, 5_000]),
                )

    def take_over(self) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            adopt(self.folder, cast("Store", self.store))

    def close(self) -> None:
        if self.trackers:
            self.trackers.pop(self.chance.randrange(len(self.trackers))).close(0)

    def kill(self) -> None:
        """As SIGKILL does it: files stay as they are, locks go, the last line may be half there."""
        if not self.trackers:
            return
        tracker = self.trackers.pop(self.chance.randrange(len(self.trackers)))
        tracking._trackers.discard(tracker)
        spool = tracker._spool
        if spool._file is not None:
            if self.chance.random() < 0.3:
                torn = encode(Line(EVENT, 1, b'{"event_key":"never acknowledged"}'))
                os.write(spool._file, torn[: self.chance.randint(1, len(torn) - 2)])
            os.close(spool._file)
        if spool._lock_file is not None:
            spooling._unlock(spool._lock_file)
        spool._file = spool._lock_file = None

    def damage(self) -> None:
        """A bad disk: a byte is another one, or the end of a file is missing. Of what a dead process left only."""
        dead = [found.writer for found in survey(self.folder) if not found.is_alive]
        files = [path for writer in dead for path in self.folder.glob(f"{writer}.*.log") if path.stat().st_size]
        if not files or self.chance.random() < 0.5:
            return
        path = self.chance.choice(files)
        before = path.read_bytes()
        at = self.chance.randrange(len(before))
        after = self.chance.choice([before[:at], before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :]])
        if after[-1:] in (b"\n", b""):
            return  # cut off between two lines: that leaves no trace
        self.was_damaged = True
        self.hit |= marks_of(before) - marks_of(after)
        path.write_bytes(after)

    def leave(self) -> None:
        assert isinstance(self.store, Database)
        self.store.is_away = not self.store.is_away

    def shake(self) -> None:
        assert isinstance(self.store, Database)
        self.store.is_shaky = not self.store.is_shaky

    # What must hold

    def check(self, events: list[str], others: str) -> None:
        assert [key for key, count in Counter(events).items() if count > 1] == []
        missing = {key for key in self.acknowledged if key not in set(events)}
        missing |= {mark for mark in self.kept if mark not in others}
        named = set_aside(self.folder)
        assert missing <= {f"internal:acme:{mark}" for mark in self.hit} | self.hit
        assert not missing or sum(found.damaged for found in named) > 0
        assert not named or self.was_damaged  # what a kill cuts off was never acknowledged: nobody need look at it
        assert sum(found.lines for found in survey(self.folder)) == 0
        assert {path.suffix for path in self.folder.iterdir()} <= {spooling.SET_ASIDE}


def marks_of(content: bytes) -> set[str]:
    found = set()
    for raw in content.split(b"\n"):
        if (line := decode(raw)) is not None:
            fields = json.loads(line.body)
            mark = fields.get("idempotency_key") or fields.get("record_key") or fields["reason"]
            found.add(fields["record"]["activity"] if line.kind == "r" and not fields.get("record_key") else mark)
    return found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kills, not power cuts: what was written need not reach the disk. The log of so many damages is not wanted."""
    monkeypatch.setattr(spooling, "sync", lambda _: None)
    monkeypatch.setattr(spooling, "_sync_folder", lambda _: None)
    logging.getLogger("metering.tracking").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("metering.tracking").setLevel(logging.NOTSET)


@pytest.mark.timeout(300 + HISTORIES)
def test_what_was_acknowledged_arrives_once_or_is_named(tmp_path: Path) -> None:
    for number in range(FIRST, FIRST + HISTORIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        database = Database(random.Random(number))
        history = History(number, folder, database)
        try:
            history.run()
            history.check(database.events, b"\n".join(database.others).decode())
        except Exception as error:
            raise AssertionError(f"history {number}, in {folder}") from error
        shutil.rmtree(folder)


def test_what_was_acknowledged_is_in_postgresql_once_or_is_named(base: Base, tmp_path: Path) -> None:
    with contextlib.closing(Store(base.url)) as store:
        for number in range(1_000_000, 1_000_010):
            folder = tmp_path / str(number)
            folder.mkdir()
            history = History(number, folder, store)
            history.run()
            others = base.rows("select record_key, reason, record from raw.rejected_records")
            others += base.rows("select reason from ops.access_decisions")
            history.check(base.keys(), str(others))
            base.rows("truncate raw.usage_events, raw.usage_event_keys, raw.rejected_records, ops.access_decisions")
