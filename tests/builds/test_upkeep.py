"""What a build does to the tables before it: what is new is sampled, and no long history for one more day; replaced rows make room."""

from __future__ import annotations

import psycopg

from builds.upkeep import GROWN, REPLACED, analyze_grown, free_replaced_rows

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

        analyze_grown(connection)
        assert grown() == []
        connection.execute(MESSAGES.format(1, 10_000).encode())
        assert grown() == ["twilio_messages"]
        analyze_grown(connection)
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
        analyze_grown(connection)
        assert connection.execute(GROWN).fetchall() == []
        connection.execute(EVENTS.format("2026-02-10 12:00+00", 100).encode())
        assert connection.execute(GROWN).fetchall() == [("usage_events_2026_02",)]


def test_a_window_replaced_again_and_again_stays_in_the_room_of_two(database: str) -> None:
    size = "select pg_relation_size('raw.twilio_messages')"
    with psycopg.connect(database, autocommit=True) as connection:
        # Which would hold the table for a moment now and then, and leave it to the next build.
        connection.execute("alter table raw.twilio_messages set (autovacuum_enabled = false)")
        connection.execute(MESSAGES.format(1, 10_000).encode())
        ((once,),) = connection.execute(size).fetchall()
        for _ in range(6):
            with connection.transaction():
                connection.execute("delete from raw.twilio_messages")
                connection.execute(MESSAGES.format(1, 10_000).encode())
            connection.execute("select pg_stat_force_next_flush()")
            assert connection.execute(REPLACED).fetchall() == [("raw", "twilio_messages")]
            free_replaced_rows(connection)
            connection.execute("select pg_stat_force_next_flush()")
            assert connection.execute(REPLACED).fetchall() == []
        ((now,),) = connection.execute(size).fetchall()
        assert now <= 2.1 * once


def test_a_table_that_something_else_holds_is_left_to_the_next_build(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection, psycopg.connect(database) as other:
        connection.execute(MESSAGES.format(1, 10_000).encode())
        connection.execute("delete from raw.twilio_messages")
        connection.execute("select pg_stat_force_next_flush()")
        other.execute("lock table raw.twilio_messages in share row exclusive mode")
        connection.execute("set statement_timeout = '10s'")
        free_replaced_rows(connection)
        assert connection.execute(REPLACED).fetchall() == [("raw", "twilio_messages")]
