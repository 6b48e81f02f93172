"""What an analyst may read (every row of the marts) and may not (everything else), and what the database tells about what is there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.dbt.conftest import MARTS, Project
from warehouse.urls import ROLES, as_role

SERVED = (*MARTS, "usage_line_records", "unattributed_usage", "calendar_days")
NUMBERS = ("+12065550100", "+12065550101")
RELATIONS = """
select nspname || '.' || relname
from pg_class
inner join pg_namespace on pg_namespace.oid = relnamespace
where
    relkind in ('r', 'p', 'v', 'm', 'S')
    and nspname <> all('{marts, pg_catalog, information_schema, pg_toast}')
    and not relispartition
order by 1
"""
FUNCTIONS = """
select count(*), count(*) filter (where has_function_privilege('metering_analyst', oid, 'execute'))
from pg_proc
where pronamespace = any('{raw, ops, staging, intermediate, marts}'::regnamespace[])
"""


@pytest.fixture
def analyst(tracked: Project) -> Iterator[psycopg.Connection]:
    with psycopg.connect(as_role(tracked.url, "metering_analyst"), autocommit=True) as connection:
        yield connection


def rows(connection: psycopg.Connection, relation: str) -> int:
    found = connection.execute(sql.SQL("select count(*) from marts.{}").format(sql.Identifier(relation))).fetchone()
    assert found is not None
    return int(found[0])


def test_all_rows_of_every_mart_are_read_without_naming_a_tenant(tracked: Project, analyst: psycopg.Connection) -> None:
    with psycopg.connect(tracked.url, autocommit=True) as owner:
        owner.execute("set metering.role = 'root_admin'")
        wanted = {name: rows(owner, name) for name in SERVED}
    assert {name: rows(analyst, name) for name in SERVED} == wanted
    assert min(wanted.values()) > 0


def test_a_login_of_ones_own_reads_as_a_member_of_the_role(tracked: Project, analyst: psycopg.Connection) -> None:
    with psycopg.connect(tracked.url, autocommit=True) as owner:
        owner.execute("create role test_member_analyst in role metering_analyst")
        try:
            owner.execute("set role test_member_analyst")
            seen = {name: rows(owner, name) for name in SERVED}
            assert seen == {name: rows(analyst, name) for name in SERVED}
        finally:
            owner.execute("reset role")
            owner.execute("drop role test_member_analyst")


def test_nothing_outside_of_the_marts_is_read(tracked: Project, analyst: psycopg.Connection) -> None:
    relations = [name for (name,) in tracked.execute(RELATIONS)]
    schemas = {name.partition(".")[0] for name in relations}
    assert {"raw", "ops", "staging", "intermediate"} <= schemas
    assert {"raw.twilio_messages", "raw.tenant_resources", "ops.usage_alerts", "ops.alerts"} <= set(relations)
    # Whoever says to be the owner's admin is no more.
    analyst.execute("set metering.role = 'root_admin'")
    for name in relations:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(sql.SQL("select 1 from {}").format(sql.Identifier(*name.split(".", 1))))
    ((functions, allowed),) = tracked.execute(FUNCTIONS)
    assert functions > 0
    assert allowed == 0


@pytest.mark.parametrize(
    "statement",
    [
        "insert into marts.tenants select * from marts.tenants",
        "update marts.tenants set name = ''",
        "delete from marts.usage_daily",
        "truncate marts.usage_daily",
        "alter table marts.tenants disable row level security",
        "drop view marts.usage_line_records",
        "create table marts.mine (i int)",
        "create temporary table mine (i int)",
        "create schema mine",
        "select lo_creat(-1)",
    ],
)
def test_nothing_is_written(analyst: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        analyst.execute(statement.encode())


def test_no_other_role_is_taken_on(tracked: Project) -> None:
    with psycopg.connect(tracked.url, autocommit=True) as connection:
        connection.execute("set session authorization metering_analyst")
        for role in ROLES:
            if role != "metering_analyst":
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))


def test_no_phone_number_is_in_the_marts_in_clear(tracked: Project, analyst: psycopg.Connection) -> None:
    ours, theirs = NUMBERS
    day = "2026-03-18"
    tracked.insert(
        "tenant_resources",
        [
            {
                "tenant_id": "a",
                "provider": "twilio",
                "resource_type": "phone_number",
                "resource_id": ours,
                "resource_hash": "hash of ours",
            }
        ],
    )
    tracked.insert(
        "twilio_phone_numbers",
        [
            {
                "account_id": "ACx",
                "sid": "PN1",
                "phone_number": ours,
                "phone_number_hash": "hash of ours",
                "number_type": "local",
                "held_from": day,
                "last_seen_on": day,
                "load_id": "test",
            }
        ],
    )
    known = {"from_number": ours, "from_number_hash": "hash of ours", "to_number": theirs, "to_number_hash": "theirs"}
    tracked.message("SMnumbers", f"{day} 10:00:00", account_id="ACx", **known)
    tracked.event("event of numbers", f"{day} 10:00:00", external_id="SMnumbers", resource_id="hash of ours")
    tracked.build(day, day)

    assert analyst.execute("select tenant_id from marts.usage_line_records where record_id = 'SMnumbers'").fetchall()
    assert analyst.execute("select 1 from marts.usage_daily where service = 'twilio_phone'").fetchall()
    in_clear = "select count(*) from marts.{} as mart where to_jsonb(mart)::text ~ '[+][0-9]{{7,}}'"
    for name in SERVED:
        found = analyst.execute(sql.SQL(in_clear).format(sql.Identifier(name))).fetchone()
        assert (name, found) == (name, (0,))
    # What is looked for is there, where it is not served.
    assert tracked.execute(
        "select count(*) > 0 from raw.twilio_messages as t where to_jsonb(t)::text ~ '[+][0-9]{7,}'"
    ) == [(True,)]


def test_every_mart_and_each_of_its_columns_is_described_in_the_database(analyst: psycopg.Connection) -> None:
    undescribed = analyst.execute(
        "select relname, attname from pg_class inner join pg_attribute on attrelid = pg_class.oid and attnum >= 0 and not attisdropped"
        " where relnamespace = 'marts'::regnamespace and relkind in ('r', 'v')"
        " and coalesce(col_description(attrelid, attnum), '') = ''"
        " union all select relname, '' from pg_class where relnamespace = 'marts'::regnamespace and relkind in ('r', 'v')"
        " and coalesce(obj_description(oid, 'pg_class'), '') = ''"
    ).fetchall()
    assert undescribed == []
    described = analyst.execute(
        "select relname from pg_class where relnamespace = 'marts'::regnamespace and relkind in ('r', 'v')"
    ).fetchall()
    assert {name for (name,) in described} == set(SERVED)
