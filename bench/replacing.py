"""A day of 100,000 messages that is answered again: 1, 10 and 100 % of its records changed, and a new day, by the path before and today's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import psycopg

from bench.baseline import ROOT, alternate, run_script, sources, spread
from bench.report import Ratio, at_least, at_most, informative
from bench.stage import Stage, stage
from ingestion.windows import Window
from sandbox import Dataset

SCRIPT = Path(__file__).with_name("replacing_script.py")
BEFORE = "10aeed7ed0ac4a88dd628baffdebef24d5418626"
"""The last commit that deleted and inserted a changed day whole."""
AS_OF = date(2026, 11, 10)
DAYS = 30
PER_DAY = 100_000
AGAIN = 50
SIZE = "select pg_total_relation_size('raw.twilio_messages')"
# The messages of a day, and how many loads they are of (all were changed by each); the marts' messages of it, and whether there are any.
READS = (
    "select count(*), count(distinct load_id) from raw.twilio_messages where usage_date = %s",
    "select sum(unit_count)::bigint, least(count(*), 1) from marts.usage_daily where date = %s and channel = 'sms'",
)
# Filled without its indexes, which are made afterwards: in a minute rather than ten.
FILL = """
alter table raw.twilio_messages drop constraint twilio_messages_pkey;
drop index raw.twilio_messages_usage_date;
insert into raw.twilio_messages (
    account_id, usage_date, sid, messaging_service_sid, from_number_hash, to_number_hash, direction, status, num_segments, num_media,
    price, price_unit, date_created, date_sent, date_updated, load_id
)
select
    'AC' || md5('account'), day, 'SM' || md5(day || ' ' || n), 'MG' || md5('service'), repeat(md5('from' || n % 50), 2),
    repeat(md5('to' || n), 2), 'outbound-api', 'delivered', 1, 0,
    -0.0079, 'USD', day + n * interval '0.8 s', day + n * interval '0.8 s', day + n * interval '0.8 s', 'bench'
from generate_series(date '{first}', date '{last}', interval '1 day') as days (day), generate_series(1, {messages}) as n;
alter table raw.twilio_messages add primary key (sid);
create index twilio_messages_usage_date on raw.twilio_messages (usage_date, account_id);
vacuum analyze raw.twilio_messages
"""


def run(days: int = DAYS, rounds: int = 3) -> list[Ratio]:
    """Seconds of the swap before / today, in 30 days of 100,000 messages; ``replacing_year`` has 10,000,000. And the room of 50 swaps, and
    what readers see meanwhile.
    """
    first = AS_OF - timedelta(days=days)
    day = AS_OF - timedelta(days=days // 2)
    ratios = []
    with stage(Dataset(), start=first, as_of=AS_OF) as system, sources(BEFORE) as before:
        fill(system, first, AS_OF - timedelta(days=1))
        for change, bound in (("1", 4.0), ("10", 4.0), ("100", None), ("new", None)):
            sides = alternate(
                {
                    "before": lambda change=change: swap(system, before, day, change),  # type: ignore[misc]
                    "today": lambda change=change: swap(system, ROOT, day, change),  # type: ignore[misc]
                },
                rounds,
            )
            name = f"swap of {PER_DAY:,} messages among {days * PER_DAY:,}, "
            name += "a new day" if change == "new" else f"{change} % of them changed"
            value = median(sides["before"]) / median(sides["today"])
            detail = ", ".join(f"{side} {spread(figures, ' s')}" for side, figures in sides.items())
            ratios.append(
                at_least(f"{name}: before / today", value, bound, detail)
                if bound
                else informative(f"{name}: before / today", value, detail)
            )
        ratios.append(_room(system, day))
        ratios.append(_readers(system, day))
    return ratios


def year() -> list[Ratio]:
    """The same among 10,000,000 messages, once more each; takes ten minutes."""
    return run(100, 2)


def fill(system: Stage, first: date, last: date) -> None:
    """Have ``raw`` hold the messages of the days ``first`` to ``last``, as one account's."""
    with psycopg.connect(system.url, autocommit=True) as connection:
        for statement in FILL.format(first=first, last=last, messages=PER_DAY).split(";\n"):
            connection.execute(statement.encode())


def swap(system: Stage, root: Path, day: date, change: str, times: int = 1) -> float:
    """Return the seconds of a swap by the sources of ``root``."""
    return float(run_script(root, SCRIPT, system.url, day.isoformat(), change, str(times)))


def _room(system: Stage, day: date) -> Ratio:
    """Return what the table takes after a day has been answered 50 times, each time with a tenth of it changed."""
    with psycopg.connect(system.url, autocommit=True) as connection:

        def size() -> int:
            ((found,),) = connection.execute(SIZE).fetchall()
            return int(found)

        swap(system, ROOT, day, "10")
        once = size()
        swap(system, ROOT, day, "10", AGAIN)
        now = size()
    detail = f"{once / 2**20:,.0f} MB, {now / 2**20:,.0f} MB"
    return at_most(f"raw.twilio_messages after {AGAIN} more swaps of one day / after one", now / once, 1.3, detail)


def _readers(system: Stage, day: date) -> Ratio:
    """Return how many reads in a loop, of a day in raw and in the marts, met an error, a wait or half a day while it was swapped and built."""
    swap(system, ROOT, day, "100")
    system.rebuild(Window.of_days(day, day), "build")
    over = threading.Event()

    def read(query: str) -> list[object]:
        seen: list[object] = []
        with psycopg.connect(system.url, autocommit=True, options="-c lock_timeout=1") as connection:
            while not over.is_set():
                try:
                    seen.append(connection.execute(query.encode(), (day,)).fetchone())
                except psycopg.Error as error:
                    seen.append(str(error))
        return seen

    with ThreadPoolExecutor(len(READS)) as readers:
        reading = [readers.submit(read, query) for query in READS]
        try:
            for _ in range(3):
                swap(system, ROOT, day, "100")
                system.rebuild(Window.of_days(day, day), "build")
        finally:
            over.set()
        seen = [reader.result() for reader in reading]
    wrong = [row for rows in seen for row in rows if row != (PER_DAY, 1)]
    detail = f"{len(seen[0]):,} reads of raw, {len(seen[1]):,} of the marts; {wrong[:3]}"
    return at_most(
        "reads that met an error, a wait or half a day during 3 swaps and builds of it", len(wrong), 0, detail
    )
