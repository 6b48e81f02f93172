"""Migrating: again, twice at once, beside other people's things, and with what goes wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import warehouse.migrate
from warehouse.errors import WarehouseConfigError, WarehouseUnavailable
from warehouse.migrate import current, head, migrate, upgrade
from warehouse.roles import ensure_roles, ensure_schemas
from warehouse.urls import ROLES, as_role, check, with_database


def test_an_empty_database_gets_every_schema_role_and_landing_table(empty_database: str) -> None:
    assert migrate(empty_database) == (None, head())
    with psycopg.connect(empty_database) as connection:
        schemas = {row[0] for row in connection.execute("select nspname from pg_namespace")}
        roles = {row[0] for row in connection.execute("select rolname from pg_roles")}
        tables = {row[0] for row in connection.execute("select tablename from pg_tables where schemaname = 'raw'")}
    assert {"raw", "staging", "intermediate", "marts", "ops", "dagster"} <= schemas
    assert set(ROLES) <= roles
    assert {"twilio_messages", "openai_costs", "sendgrid_stats", "rejected_records", "tenants"} <= tables


def test_repeating_changes_nothing(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("insert into raw.tenant_limits (tenant_id, channel, metric) values ('acme', 'sms', 'units')")
        assert migrate(database) == (head(), head())
        assert connection.execute("select count(*) from raw.tenant_limits").fetchone() == (1,)
        assert current(connection) == head()


def test_a_table_that_stays_locked_is_one_line_that_names_who_holds_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse.migrate, "LOCK_SECONDS", 0.3)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update ops.schema_version set version_num = '0025'")
    with psycopg.connect(database, application_name="a long report") as holder:
        holder.execute("select count(*) from raw.usage_events")
        with pytest.raises(WarehouseUnavailable) as caught:
            migrate(database)
        assert f"process {holder.info.backend_pid} (" in str(caught.value)
    assert "a long report, idle in transaction" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_of_a_newer_version_is_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update ops.schema_version set version_num = '9999'")
    with pytest.raises(WarehouseUnavailable, match="at revision 9999, which this version does not have"):
        migrate(database)


def test_several_at_once_on_one_database_all_succeed(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(migrate, [empty_database] * 4))
    assert [after for _, after in results] == [head()] * 4
    assert sum(before is None for before, _ in results) == 1


def test_several_databases_of_one_server_at_once_all_succeed(server: str) -> None:
    names = [f"test_many_{index}" for index in range(3)]
    with psycopg.connect(server, autocommit=True) as connection:
        for name in names:
            connection.execute(f"create database {name}".encode())
        try:
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(migrate, [with_database(server, name) for name in names]))
        finally:
            for name in names:
                connection.execute(f"drop database {name} with (force)".encode())


def test_what_others_keep_in_the_database_stays(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create table public.orders (id int)")
        connection.execute("create schema raw")
        connection.execute("create table raw.theirs (id int)")
        connection.execute("insert into raw.theirs values (1)")
        migrate(empty_database)
        assert connection.execute("select count(*) from raw.theirs").fetchone() == (1,)
        assert connection.execute("select to_regclass('public.orders') is not null").fetchone() == (True,)


def test_each_role_can_do_its_part_and_no_other(database: str) -> None:
    def attempt(role: str, statement: str) -> str:
        with psycopg.connect(as_role(database, role), autocommit=True) as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                return "denied"
        return "ok"

    assert attempt("metering_loader", "select * from raw.twilio_messages") == "ok"
    assert attempt("metering_loader", "create table marts.x (i int)") == "denied"
    assert attempt("metering_transformer", "create table marts.x (i int)") == "ok"
    assert attempt("metering_transformer", "delete from raw.twilio_messages") == "denied"
    assert attempt("metering_api", "select * from marts.x") == "ok"
    assert attempt("metering_api", "insert into marts.x values (1)") == "denied"
    assert attempt("metering_api", "select * from raw.twilio_messages") == "denied"
    assert attempt("metering_api", "select * from ops.source_days") == "denied"
    assert attempt("metering_api", "select * from ops.current_build") == "ok"
    assert attempt("metering_operator", "select * from marts.x") == "denied"


def test_runs_on_the_oldest_embedded_postgresql(oldest_database: str) -> None:
    assert migrate(oldest_database) == (head(), head())


@pytest.mark.parametrize("url", ["", "mysql://x/y", "postgresql://host", "postgresql://h:notaport/db", "metering"])
def test_a_url_that_is_none_is_refused_by_name_without_its_value(url: str) -> None:
    with pytest.raises(WarehouseConfigError, match="METERING_DATABASE_URL") as caught:
        check(url)
    assert url == "" or url not in str(caught.value)


def test_a_database_that_is_away_is_one_clear_line() -> None:
    with pytest.raises(WarehouseUnavailable, match="METERING_DATABASE_URL cannot be reached") as caught:
        migrate("postgresql://u:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_with_data_is_upgraded_to_numbers_with_a_history(empty_database: str) -> None:
    """As it was before the remaining services: numbers were a listing, kept to know which may stand in clear."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, "0013")
        connection.execute(
            "insert into raw.twilio_phone_numbers"
            " (account_id, sid, phone_number, phone_number_hash, date_created, released_on, load_id, loaded_at) values"
            " ('AC1', 'PN1', '+12065550100', 'h1', '2026-10-31 23:59:59-05', null, 'l', '2026-11-19 08:00:00+00'),"
            " ('AC1', 'PN2', '+12065550101', 'h2', null, '2026-11-10', 'l', '2026-11-09 08:00:00+00')"
        )
        connection.execute(
            "insert into raw.twilio_calls (account_id, usage_date, sid, status, start_time, load_id)"
            " values ('AC1', '2026-11-19', 'CA1', 'completed', '2026-11-19 08:00:00+00', 'l')"
        )
        assert migrate(empty_database)[1] == head()
        held = connection.execute(
            "select sid, number_type, held_from::text, last_seen_on::text, released_on::text from raw.twilio_phone_numbers order by sid"
        ).fetchall()
        assert held == [
            ("PN1", "local", "2026-11-01", "2026-11-19", None),
            ("PN2", "local", "2026-11-09", "2026-11-09", "2026-11-10"),
        ]
        assert connection.execute("select usage_date::text from ops.record_days(array['CA1'])").fetchall() == [
            ("2026-11-19",)
        ]
        # A subaccount may list the same number now.
        connection.execute(
            "insert into raw.twilio_phone_numbers (account_id, sid, phone_number, phone_number_hash, number_type, held_from, last_seen_on, load_id)"
            " values ('AC2', 'PN1', '+12065550100', 'h1', 'local', '2026-11-20', '2026-11-20', 'l')"
        )
        with psycopg.connect(as_role(empty_database, "metering_loader")) as loader:
            loader.execute("delete from raw.stripe_balance_transactions")
            loader.execute("delete from raw.r2_storage")


def test_events_of_before_and_of_older_trackers_have_the_key_of_their_record(empty_database: str) -> None:
    insert = (
        "insert into raw.usage_events (event_key, external_id, service, channel, occurred_at) values"
        " (%(at)s || ':completed', %(at)s || 'CA1', 'twilio_voice', 'voice', %(at)s::date),"
        " (%(at)s || 'own', null, 'openai', 'ai', %(at)s::date), (%(at)s || 'blank', '', 'openai', 'ai', %(at)s::date)"
    )
    with psycopg.connect(empty_database, autocommit=True) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, "0047")
        connection.execute("create table raw.usage_events_2026_10 (like raw.usage_events including all)")
        connection.execute(
            "alter table raw.usage_events attach partition raw.usage_events_2026_10 for values from ('2026-10-01Z') to ('2026-11-01Z')"
        )
        before, after = ["2026-10-31", "2026-12-01"], ["2026-10-30", "2026-11-02"]
        for day in before:
            connection.execute(insert, {"at": day})
        migrate(empty_database)
        with psycopg.connect(as_role(empty_database, "metering_tracker"), autocommit=True) as tracker:
            tracker.execute("select raw.ensure_usage_event_months(array['2026-11-01'::date])")
            for day in after:
                tracker.execute(insert, {"at": day})
        keys = connection.execute("select record_key from raw.usage_events").fetchall()
        assert sorted(keys) == sorted((day + key,) for day in before + after for key in ("CA1", "own", "blank"))


@pytest.mark.parametrize("was_table", [False, True], ids=["view", "table"])
def test_months_closed_before_names_were_kept_have_those_that_their_charges_have(
    empty_database: str, was_table: bool
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, "0057")
        connection.execute(
            "insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root)"
            " values ('2026-02', '2026-02-01', '2026-02-28', now(), '', '', '', 0, '')"
        )
        connection.execute(
            "insert into raw.tenants (tenant_id, name, status, usage_hard_stop_enabled, valid_from, valid_to) values"
            " ('a', 'Renamed', 'active', false, null, null), ('b', 'New', 'active', false, '2026-02-10', null),"
            " ('c', 'Quiet', 'active', false, null, null)"
        )
        charges = (
            "(values ('2026-02-01'::date, 'a', 'First', '2026-02-01Z'::timestamptz), ('2026-02-02', 'a', 'First', '2026-02-02Z'),"
            " ('2026-02-02', 'a', 'First', '2026-02-02Z'), ('2026-02-09', 'a', 'Second', '2026-02-09Z'), ('2026-02-20', 'a', 'First', '2026-02-20Z'),"
            " ('2026-02-20', 'b', 'B', '2026-01-30Z'), ('2026-03-01', 'a', 'Third', '2026-03-01Z'),"
            # Corrections of one day of January, booked while b was renamed.
            " ('2026-02-21', 'b', 'B', '2026-01-31Z'), ('2026-02-23', 'b', 'Third', '2026-01-31Z'), ('2026-02-22', 'b', 'Second', '2026-01-31Z'))"
            ' as charges (date, tenant_id, "SubAccountName", "ChargePeriodStart")'
        )
        kind = "table" if was_table else "view"
        connection.execute(f"create {kind} marts.focus_cost_and_usage as select * from {charges}".encode())
        migrate(empty_database)
        names = connection.execute(
            "select month, tenant_id, valid_from::text, valid_to::text, name from ops.closed_names order by 1, 2, valid_from"
        ).fetchall()
    without_charges = ("c", "-infinity", "infinity", "Quiet")
    of_directory = [("a", "-infinity", "infinity", "Renamed"), ("b", "2026-02-10", "infinity", "New"), without_charges]
    of_charges = [
        ("a", "-infinity", "2026-02-09", "First"),
        ("a", "2026-02-09", "2026-02-20", "Second"),
        ("a", "2026-02-20", "infinity", "First"),
        ("b", "-infinity", "2026-01-31", "B"),
        ("b", "2026-01-31", "infinity", "Third"),
        without_charges,
    ]
    assert names == [("2026-02", *name) for name in (of_charges if was_table else of_directory)]
