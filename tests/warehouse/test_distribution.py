"""What `METERING_DISTRIBUTION=citus` asks of Citus, by functions that stand in its place; and what it says where there is none."""

from __future__ import annotations

import psycopg
import pytest

from builds.gathering import ASKING
from cli.doctor import OK, WRONG, _distribution
from costs.closing.relations import SESSION
from costs.rules.services import METERS
from ingestion.run import PROVIDERS
from tests.obstacles import obstacles
from tests.stand_in import stand_in_for_citus
from warehouse import migrations, objects
from warehouse.distribution import FUNCTIONS, KEYS, ROLES, SETTINGS, is_citus
from warehouse.errors import WarehouseConfigError, WarehouseUnavailable
from warehouse.migrate import migrate

CALLS = "select relation, key from public.distributed order by number"
# The newest revision when tables could first be spread: those before were applied to tables of one server.
FIRST_SPREAD = "0057"
VOLATILE = {"clock_timestamp", "random"}


def test_migrate_spreads_each_table_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(stand_in_for_citus())
        migrate(database)
        triggers = connection.execute(
            "select tgrelid::regclass::text from pg_trigger where not tgisinternal and tgrelid = any(%s::regclass[])",
            (list(KEYS),),
        )
        assert triggers.fetchall() == []

        migrate(database)
        assert connection.execute(CALLS).fetchall() == [*KEYS.items(), ("raw.shards", "key")]
        shards = connection.execute("select count(*) from raw.shards")
        assert shards.fetchone() == (2,)
        keys = connection.execute(
            "select attgenerated, attnotnull from pg_attribute where attrelid = 'raw.usage_events'::regclass and attname = 'record_key'"
        )
        assert keys.fetchall() == [("", True)]
        can_login = connection.execute(
            "select bool_and(rolcanlogin) from pg_roles where rolname = any(%s)", (list(ROLES),)
        )
        assert can_login.fetchone() == (True,)


def test_workers_begin_with_the_settings_that_digests_are_made_under(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(stand_in_for_citus())
        migrate(database)
        (kept,) = connection.execute(
            "select setconfig from pg_db_role_setting where setrole = 0"
            " and setdatabase = (select oid from pg_database where datname = current_database())"
        ).fetchone() or ([],)
    assert {f"set {name.lower()} = '{value}'" for name, _, value in (line.partition("=") for line in kept)} == {
        f"set {name} = '{value}'" for name, value in SETTINGS.items()
    }
    assert [line.replace("'", "") for line in SESSION.split("; ")] == [
        f"set {name} = {value}" for name, value in SETTINGS.items()
    ]


def test_without_the_setting_nothing_is_spread(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(stand_in_for_citus())
        migrate(database)
        assert connection.execute(CALLS).fetchall() == []
        assert connection.execute("select to_regproc('raw.add_events')").fetchone() == (None,)
        assert connection.execute("select to_regclass('raw.shards')").fetchone() == (None,)


def test_every_table_of_records_is_spread_by_the_id_that_events_name() -> None:
    keyed = {f"raw.{table}": keys[-1] for spec in PROVIDERS.values() for table, keys in spec.keyed.items()}
    assert keyed | {"raw.usage_events": "record_key"} == KEYS


def test_the_workers_settle_what_asks_no_other_record(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the catalogue of meters: of what a provider keeps records of, or lists, messages; the rest is gathered."""
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(stand_in_for_citus())
        migrate(database)
        asking = {
            service: connection.execute("select raw.asks_others(%s)", (service,)).fetchone() == (True,)
            for service in {row["service"] for row in METERS}
        }
    kept = {row["raw_table"]: row["service"] for row in METERS if row["keeps"] in ("records", "held")}
    assert {service for service, asks in asking.items() if asks} == set(kept.values()) - {kept["twilio_messages"]}
    assert (
        set(ASKING) == {name.removeprefix("raw.") for name in KEYS} - {"twilio_messages", "usage_events"} <= set(kept)
    )


def test_what_cannot_be_is_one_line(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DISTRIBUTION", "Citus")
    with pytest.raises(WarehouseConfigError, match="METERING_DISTRIBUTION must be none or citus, not Citus"):
        is_citus()
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    with pytest.raises(WarehouseUnavailable, match="the database has no Citus: run `create extension citus`"):
        migrate(database)


@pytest.mark.parametrize("name", KEYS)
def test_a_table_that_is_spread_has_nothing_that_citus_refuses(database: str, name: str) -> None:
    """Of what migrations add: no uniqueness, identity, reference or policy that needs rows of several workers."""
    with psycopg.connect(database) as connection:
        unique = connection.execute(
            "select indexrelid::regclass::text from pg_index where indrelid = %(name)s::regclass and indisunique and not exists ("
            " select from pg_attribute where attrelid = indrelid and attnum = any(indkey) and attname = %(key)s)",
            {"name": name, "key": KEYS[name]},
        )
        assert unique.fetchall() == []
        others = connection.execute(
            "select 'identity', attname from pg_attribute where attrelid = %(name)s::regclass and attidentity <> ''"
            " union all select 'reference', conname from pg_constraint where contype in ('f', 'x') and %(name)s::regclass in (conrelid, confrelid)"
            " union all select 'policy', polname from pg_policy where polrelid = %(name)s::regclass"
            " union all select 'trigger', tgname from pg_trigger where tgrelid = %(name)s::regclass and not tgisinternal"
            "   and tgname not in ('input_changed', 'input_emptied')",
            {"name": name},
        )
        assert others.fetchall() == []


@pytest.mark.parametrize(
    ("bad", "why", "good"),
    [
        (
            "create index one on raw.twilio_messages (status);\ncreate index two on ops.built_days (usage_date)",
            "an index of a table that is spread, and other statements in one call",
            "-- Why; and how.\ncreate index one on raw.twilio_messages (status);",
        ),
        (
            "create function ops.f() returns bigint language sql as $$ select set_config('metering.tenant_id', p_tenant, true);"
            " select count(*) from raw.usage_events $$",
            "set_config(…, true) beside a table that is spread",
            "create function ops.f() returns text language sql as $$ select set_config('metering.tenant_id', p_tenant, true) $$;"
            " create function ops.g() returns bigint language sql as $$ select count(*) from raw.usage_events $$",
        ),
        (
            "select exists (select from raw.usage_events) or exists (select from ops.archived_months)",
            "select without columns beside a table that is spread",
            "select exists (select 1 from raw.usage_events) or exists (select 1 from ops.archived_months)",
        ),
        (
            "delete from raw.usage_events as t where t.occurred_at < clock_timestamp()",
            "a volatile function in the where of a table that is spread: clock_timestamp",
            "delete from raw.usage_events as t where t.occurred_at < now()",
        ),
        (
            "create policy own on raw.twilio_calls using (account_id in (select account_id from ops.accounts))",
            "a policy with a subquery on a table that is spread",
            "create policy own on raw.twilio_calls using (account_id = current_setting('metering.account'))",
        ),
        (
            "select d.day from days as d cross join lateral (select sid from raw.twilio_calls as c where c.usage_date = d.day limit 1) as f",
            "a lateral look-up in a table that is spread",
            "select d.day from days as d inner join (select sid, usage_date from raw.twilio_calls) as c on c.usage_date = d.day",
        ),
        (
            'select d.day from days as d where exists (select 1 from "metering"."raw"."twilio_calls" as c where c.usage_date = d.day)',
            "a subquery over a table that is spread asks for d",
            'select d.day from days as d where d.day in (select c.usage_date from "metering"."raw"."twilio_calls" as c)',
        ),
    ],
)
def test_each_obstacle_is_seen_in_the_text(bad: str, why: str, good: str) -> None:
    assert obstacles(bad, VOLATILE, in_one_call=True) == [why]
    assert obstacles(good, VOLATILE, in_one_call=True) == []


def test_no_statement_of_ours_has_what_citus_refuses(database: str) -> None:
    with psycopg.connect(database) as connection:
        volatile = {name for (name,) in connection.execute("select proname from pg_proc where provolatile = 'v'")}
    assert volatile >= VOLATILE
    revisions = migrations.revisions()
    later = revisions[revisions.index(FIRST_SPREAD) + 1 :]
    found = {
        path.name: obstacles(path.read_text(), volatile, in_one_call=path.parent == migrations.SQL)
        for path in (
            *(path for path in migrations.SQL.glob("*.sql") if path.name[:4] in later),
            *objects.FOLDER.glob("*.sql"),
            FUNCTIONS,
        )
    }
    assert {name for name, lines in found.items() if lines} == set()


def test_the_doctor_names_what_is_not_spread(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(_distribution(database)) == []
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(stand_in_for_citus())
        (finding,) = _distribution(database)
        assert (finding.state, "raw.twilio_messages" in finding.detail) == (WRONG, True)
        migrate(database)
        (finding,) = _distribution(database)
        assert (finding.state, finding.detail) == (OK, "5 tables on 2 workers, which let the roles in")
        monkeypatch.setenv("METERING_DISTRIBUTION", "none")
        (finding,) = _distribution(database)
        assert (finding.state, "set it to citus in every process" in finding.detail) == (WRONG, True)
