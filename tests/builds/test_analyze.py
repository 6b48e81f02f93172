"""What a build tells the planner of before it reads: what is new, and no long history for the sake of one more day."""

from __future__ import annotations

import psycopg

from builds.build import GROWN, _analyze_raw

MESSAGES = """
insert into raw.twilio_messages (account_id, usage_date, sid, status, date_sent, load_id)
select 'AC1', '2026-03-01', 'SM' || n, 'sent', '2026-03-01 12:00+00', 'test' from generate_series({}, {}) as n
"""
EVENTS = """
insert into raw.usage_events (event_key, service, channel, units, occurred_at)
select 'event ' || n, 'internal', 'internal', 1, '{}' from generate_series(1, {}) as n
"""


def test_only_what_has_grown_by_a_twentieth_is_sampled_again(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:

        def grown() -> list[str]:
            return [name for (name,) in connection.execute(GROWN).fetchall()]

        _analyze_raw(connection)
        assert grown() == []
        connection.execute(MESSAGES.format(1, 10_000).encode())
        assert grown() == ["twilio_messages"]
        _analyze_raw(connection)
        ((rows,),) = connection.execute("select reltuples from pg_class where relname = 'twilio_messages'").fetchall()
        assert rows == 10_000
        connection.execute(MESSAGES.format(10_001, 10_100).encode())
        assert grown() == []
        connection.execute(MESSAGES.format(10_101, 12_000).encode())
        assert grown() == ["twilio_messages"]


def test_a_new_month_of_events_is_sampled_alone_where_it_is_a_small_part(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for month in ("2026-01-01", "2026-02-01"):
            connection.execute(
                f"create table raw.usage_events_{month[:4]}_{month[5:7]} partition of raw.usage_events"
                f" for values from ('{month}') to ('{month[:5]}0{int(month[5:7]) + 1}-01')".encode()
            )
        connection.execute(EVENTS.format("2026-01-10 12:00+00", 20_000).encode())
        found = {name for (name,) in connection.execute(GROWN).fetchall()}
        assert "usage_events" in found  # and its partitions with it
        assert not any(name.startswith("usage_events_") for name in found)
        _analyze_raw(connection)
        assert connection.execute(GROWN).fetchall() == []
        connection.execute(EVENTS.format("2026-02-10 12:00+00", 100).encode())
        assert connection.execute(GROWN).fetchall() == [("usage_events_2026_02",)]
