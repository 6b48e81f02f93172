"""Of a day that is answered again only the records that differ are written, in one step for whoever reads; each record stands once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import psycopg
import pytest

from ingestion.database import connect, loader_url
from ingestion.load.swap import Swapped, swap
from ingestion.run import PROVIDERS
from ingestion.sources.reading import Reading, Unit
from tests.ingestion.ingesting import AS_OF, DAY
from usage_metering.pii import Hasher

NEXT, LATER = DAY + timedelta(days=1), DAY + timedelta(days=2)
TABLE = "twilio_messages"
# On what is not the load's own.
LOCKS = """
select array_agg(distinct mode order by mode)
from pg_locks
inner join pg_class on relation = pg_class.oid
where pid = %s and granted and relnamespace::regnamespace::text not like any ('{load_%%, pg_temp%%, pg_toast%%}')
"""
Message = tuple[str, date, str]
"""A message's sid, day and status."""


def replace(url: str, load_id: str, messages: Iterable[Message], days: Iterable[date] = (DAY,)) -> Swapped:
    """Stage the messages as a load of their own, and swap them in as the answer for ``days``."""
    dataset = f"load_20261120120000_{load_id}"
    with psycopg.connect(loader_url(url)) as connection:
        connection.execute(f"create schema {dataset}".encode())
        connection.execute(
            f"create unlogged table {dataset}.{TABLE}"
            " (account_id text, usage_date date, sid text, status text, date_sent timestamptz, date_updated timestamptz)".encode()
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                f"insert into {dataset}.{TABLE} values ('AC', %s, %s, %s, %s, %s)".encode(),
                [(day, sid, status, f"{day} 12:00+00", f"{day} 13:00+00") for sid, day, status in messages],
            )
    reading = Reading()
    for day in days:
        reading.answer(Unit(TABLE, "AC", day), [])
    with connect(url) as connection:
        return swap(
            connection,
            provider="twilio",
            spec=PROVIDERS["twilio"],
            reading=reading,
            dataset=dataset,
            load_id=load_id,
            as_of_day=AS_OF.date(),
            hasher=Hasher("key"),
        )


def stored(url: str) -> set[tuple[str, date, str, str]]:
    """Return the stored messages' sid, day, status and load."""
    with psycopg.connect(url) as connection:
        return set(connection.execute(f"select sid, usage_date, status, load_id from raw.{TABLE}".encode()))


def day_of(status: str, count: int = 300) -> list[Message]:
    return [(f"SM{n:04}", DAY, status) for n in range(count)]


def test_only_the_records_that_differ_are_written(database: str) -> None:
    replace(
        database,
        "first",
        [("a", DAY, "sent"), ("b", DAY, "sent"), ("c", DAY, "sent"), ("d", NEXT, "sent")],
        (DAY, NEXT),
    )
    swapped = replace(
        database,
        "second",
        [("a", DAY, "sent"), ("b", DAY, "delivered"), ("e", DAY, "sent"), ("d", NEXT, "sent")],
        (DAY, NEXT),
    )
    assert stored(database) == {
        ("a", DAY, "sent", "first"),
        ("b", DAY, "delivered", "second"),
        ("e", DAY, "sent", "second"),
        ("d", NEXT, "sent", "first"),
    }
    assert swapped == Swapped({**swapped.rows, TABLE: 4}, set(), {**swapped.unchanged, TABLE: 1})


def test_what_is_no_longer_said_of_a_record_is_forgotten(database: str) -> None:
    replace(database, "first", [("a", DAY, "sent")])
    with psycopg.connect(database) as connection:
        connection.execute("update raw.twilio_messages set price = -1, price_unit = 'USD'")
    replace(database, "second", [("a", DAY, "sent")])
    with psycopg.connect(database) as connection:
        assert connection.execute("select price, price_unit from raw.twilio_messages").fetchall() == [(None, None)]


@pytest.mark.parametrize(("answered", "moved"), [((NEXT,), {DAY}), ((DAY, NEXT), set())])
def test_a_record_that_moves_between_days_stands_once(
    database: str, answered: tuple[date, ...], moved: set[date]
) -> None:
    replace(database, "first", [("a", DAY, "sent"), ("b", NEXT, "sent")], (DAY, NEXT))
    swapped = replace(database, "second", [("a", NEXT, "sent"), ("b", NEXT, "sent")], answered)
    assert {(sid, day) for sid, day, _, _ in stored(database)} == {("a", NEXT), ("b", NEXT)}
    assert swapped.moved_days == moved
    back = replace(database, "third", [("a", DAY, "sent")], (DAY,))
    assert {(sid, day) for sid, day, _, _ in stored(database)} == {("a", DAY), ("b", NEXT)}
    assert back.moved_days == {NEXT}


def test_two_records_may_exchange_their_days(database: str) -> None:
    replace(database, "first", [("a", DAY, "sent"), ("b", NEXT, "sent")], (DAY, NEXT))
    replace(database, "second", [("a", NEXT, "sent"), ("b", DAY, "sent")], (DAY, NEXT))
    assert {(sid, day) for sid, day, _, _ in stored(database)} == {("a", NEXT), ("b", DAY)}


def test_a_record_on_two_pages_is_one_in_its_later_state(database: str) -> None:
    for load_id in ("first", "second"):
        swapped = replace(database, load_id, [("a", DAY, "queued"), ("a", DAY, "sent"), ("b", DAY, "sent")])
        assert stored(database) == {("a", DAY, "sent", "first"), ("b", DAY, "sent", "first")}
        assert swapped.rows[TABLE] == 2
    assert swapped.unchanged[TABLE] == 1


def test_a_record_of_a_day_of_which_nothing_was_stored_leaves_the_day_it_stood_on(database: str) -> None:
    replace(database, "first", [("a", DAY, "sent"), ("b", DAY, "sent")])
    swapped = replace(
        database, "second", [("a", NEXT, "delivered"), ("a", NEXT, "read"), ("c", NEXT, "sent")], (NEXT, LATER)
    )
    assert stored(database) == {
        ("a", NEXT, "read", "second"),
        ("b", DAY, "sent", "first"),
        ("c", NEXT, "sent", "second"),
    }
    assert (swapped.moved_days, swapped.unchanged[TABLE], swapped.rows[TABLE]) == ({DAY}, 1, 2)


def test_a_table_of_somebody_elses_with_the_name_of_the_temporary_one_stays(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create table public.changes as select 1 as number")
    replace(database, "first", [("a", DAY, "sent")])
    assert stored(database) == {("a", DAY, "sent", "first")}
    with psycopg.connect(database) as connection:
        assert connection.execute("select number from public.changes").fetchall() == [(1,)]


def test_a_record_that_two_days_of_an_answer_have_stands_on_the_day_of_its_later_state(database: str) -> None:
    replace(database, "first", [("a", DAY, "sent"), ("b", DAY, "sent")], (DAY, NEXT))
    for load_id in ("second", "third"):
        # As it is stored, and read once more after it has moved.
        replace(database, load_id, [("a", DAY, "sent"), ("a", NEXT, "sent"), ("b", DAY, "sent")], (DAY, NEXT))
        assert stored(database) == {("a", NEXT, "sent", "second"), ("b", DAY, "sent", "first")}


def test_readers_see_whole_days_and_wait_for_nobody(database: str) -> None:
    replace(database, "first", day_of("sent"))
    done = threading.Event()
    seen: set[tuple[int, str, str]] = set()

    def read() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("set lock_timeout = 1")
            while not done.is_set():
                row = connection.execute(
                    "select count(*), min(status), max(status) from raw.twilio_messages"
                ).fetchone()
                assert row is not None
                seen.add(row)

    with ThreadPoolExecutor(2) as readers:
        reading = [readers.submit(read) for _ in range(2)]
        try:
            for number in range(12):
                replace(database, f"n{number}", day_of("delivered" if number % 2 else "failed", 300 - number % 3))
        finally:
            done.set()
        for reader in reading:
            reader.result()
    assert len(seen) > 1
    assert all(first == last for _, first, last in seen)
    # 300 of the first load, 298 to 300 of the others: each state as a whole.
    allowed = {(300, "sent")} | {(300 - n % 3, "delivered" if n % 2 else "failed") for n in range(12)}
    assert {(count, status) for count, status, _ in seen} <= allowed


def test_a_swap_that_is_ended_in_the_middle_leaves_the_day_as_it_was(database: str) -> None:
    replace(database, "first", day_of("sent"))
    before = stored(database)
    with psycopg.connect(database) as blocker, ThreadPoolExecutor(1) as background:
        blocker.execute("lock table ops.source_reads in share mode")  # the last that a swap writes
        swapping = background.submit(replace, database, "second", day_of("delivered", 200))
        waiting = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        with psycopg.connect(database, autocommit=True) as other:
            while not (found := other.execute(waiting).fetchall()):
                assert not swapping.done(), swapping.result()
            assert stored(database) == before
            # All that it has read and written by then is open to whoever reads, of raw and of the marts.
            ((held,),) = other.execute(LOCKS, (found[0][0],)).fetchall()
            assert held == ["AccessShareLock", "RowExclusiveLock"]
            other.execute("select pg_terminate_backend(%s)", found[0])
        with pytest.raises(psycopg.OperationalError):
            swapping.result()
    assert stored(database) == before
    replace(database, "third", day_of("delivered", 200))
    assert {row[2:] for row in stored(database)} == {("delivered", "third")}


def test_of_two_swaps_at_once_the_day_is_as_the_later_one_says(database: str) -> None:
    replace(database, "first", day_of("sent"))
    for round_ in range(5):
        with ThreadPoolExecutor(2) as both:
            loads = [
                both.submit(replace, database, f"{status}{round_}", day_of(status, count))
                for status, count in (("delivered", 300), ("failed", 290))
            ]
            for load in loads:
                load.result()
        rows = stored(database)
        assert (len(rows), {status for _, _, status, _ in rows}) in [(300, {"delivered"}), (290, {"failed"})]


def test_a_few_changes_find_room_beside_the_rows_that_they_replace(database: str) -> None:
    replace(database, "first", day_of("sent"))
    changed = [
        (sid, day, "failed" if number % 20 == 0 else status) for number, (sid, day, status) in enumerate(day_of("sent"))
    ]
    replace(database, "second", changed)
    counts = f"select pg_stat_get_tuples_updated(oid), pg_stat_get_tuples_hot_updated(oid) from pg_class where oid = 'raw.{TABLE}'::regclass"
    deadline = time.monotonic() + 10
    with psycopg.connect(database, autocommit=True) as connection:
        # Counted when the swap's session has ended.
        while (found := connection.execute(counts.encode()).fetchone()) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert found == (15, 15)
