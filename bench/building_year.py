"""A year of messages and two days of them, each in a database of its own: what the year's build takes, and the last day's in turns.

It prints as one JSON object the CPU seconds of this process and of PostgreSQL together: of the build of all days of the year, of its
rows by COPY and three sums by hand, and of each build of the last day, with as much behind it as its name says. Run by `bench.build`.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import date, timedelta

import psycopg

from bench.building import AS_OF, DIRECTORY, LAST, MESSAGES, TENANTS, build
from bench.by_hand import by_hand
from bench.memory import held
from bench.stage import Stage, stage
from sandbox import Dataset
from warehouse.urls import OWNER_VARIABLE

DAYS = {"2 days": 2, "365 days": 365}


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=4_000, help="of each day")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    first = LAST - timedelta(days=max(DAYS.values()) - 1)
    last_day: dict[str, list[float]] = {name: [] for name in DAYS}
    with stage(Dataset(), start=first, as_of=AS_OF) as short, stage(Dataset(), start=first, as_of=AS_OF) as year:
        systems = dict(zip(DAYS, (short, year), strict=True))
        _fill(short, DAYS["2 days"], options.messages)
        _build(short, DAYS["2 days"])
        _fill(year, DAYS["365 days"], options.messages)
        of_year: list[float] = []
        memory = held(lambda: of_year.append(_build(year, DAYS["365 days"])), year.folder / "pg")
        hand = by_hand(year, "true", marts=True)
        for number in range(1 + options.rounds):
            for name, system in systems.items():
                taken = _build(system, 1)
                if number:  # the first is not counted: caches
                    last_day[name].append(taken)
    print(json.dumps({"year": of_year[0], "memory": memory, "by_hand": hand, "last_day": last_day}))


def _fill(system: Stage, days: int, messages: int) -> None:
    with psycopg.connect(system.url, autocommit=True) as connection:
        connection.execute(DIRECTORY.format(tenants=TENANTS).encode())
        connection.execute(MESSAGES.format(first=_first(days), last=LAST, tenants=TENANTS, messages=messages).encode())


def _build(system: Stage, days: int) -> float:
    os.environ[OWNER_VARIABLE] = system.url
    return build(system, _first(days), LAST)[0]


def _first(days: int) -> date:
    return LAST - timedelta(days=days - 1)


if __name__ == "__main__":
    main()
