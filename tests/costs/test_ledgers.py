"""The ledgers' chains: extended by whoever writes, begun with what was written before there were any."""

from __future__ import annotations

import psycopg
import pytest

from costs.closing.ledgers import check_ledgers
from warehouse.migrate import connect, migrate, upgrade
from warehouse.roles import ensure_roles, ensure_schemas

RESTATED = (
    "insert into ops.cost_restatements (tenant_id, date, channel, old_cost_usd, new_cost_usd, reason, new_price_version, new_code_version, build_id)"
    " select 'a', '2026-02-01'::date + number, 'sms', number, null, 'usage', 'p', 'c', 'b' from generate_series(1, {}) as number"
)


def findings(url: str) -> list[str]:
    found: list[str] = []
    with psycopg.connect(url) as connection:
        connection.execute("set timezone = 'UTC'; set bytea_output = 'hex'")
        check_ledgers(connection, found)
    return found


def test_what_was_written_before_there_were_chains_is_chained(empty_database: str) -> None:
    with connect(empty_database) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, "0010")
        connection.execute(RESTATED.format(3).encode())
        connection.execute("insert into ops.built_days values ('2026-02-02', 'p', 'c', 'b', now())")
    migrate(empty_database)
    assert findings(empty_database) == []
    with psycopg.connect(empty_database) as connection:
        connection.execute(RESTATED.format(2).encode())
    assert findings(empty_database) == []
    with psycopg.connect(empty_database) as connection:
        connection.execute("update ops.cost_restatements set reason = 'code' where id = 2")
        connection.execute("delete from ops.cost_restatements where id = 5")
    assert [(line.split(" ")[2], line.split(": ")[-1]) for line in findings(empty_database)] == [
        ("2,", "changed since it was written"),
        ("5,", "gone since it was written"),
    ]


def test_whoever_writes_at_once_waits_for_the_link_before(database: str) -> None:
    """Two transactions, the later one first to commit in the order of its ids."""
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        one.execute(RESTATED.format(2).encode())
        other.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(RESTATED.format(1).encode())
        other.rollback()
        one.commit()
        other.execute(RESTATED.format(1).encode())
        other.commit()
    assert findings(database) == []


def test_the_last_rows_cannot_be_taken_away_with_their_links(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(RESTATED.format(3).encode())
        connection.execute("delete from ops.cost_restatements where id = 3")
        connection.execute("delete from ops.ledger_links where position = 3")
    assert findings(database) == [
        "ops.cost_restatements: its chain in ops.ledger_links (2 entries) does not end as ops.ledger_ends has it (3 entries)"
    ]


def test_a_row_that_went_around_the_trigger_is_in_no_chain(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(RESTATED.format(1).encode())
    assert findings(database) == [
        'ops.cost_restatements {"id": 1}: has no entry in ops.ledger_links: it was inserted by other means'
    ]
