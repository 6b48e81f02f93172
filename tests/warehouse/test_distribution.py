"""What `METERING_DISTRIBUTION=citus` asks of Citus, by functions that stand in its place; and what it says where there is none."""

from __future__ import annotations

import psycopg
import pytest

from cli.doctor import OK, WRONG, _distribution
from ingestion.run import PROVIDERS
from tests.stand_in import stand_in_for_citus
from warehouse.distribution import KEYS, ROLES, is_citus
from warehouse.errors import WarehouseConfigError, WarehouseUnavailable
from warehouse.migrate import migrate

CALLS = "select relation, key from public.distributed order by number"


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
        assert connection.execute(CALLS).fetchall() == list(KEYS.items())
        keys = connection.execute(
            "select attgenerated, attnotnull from pg_attribute where attrelid = 'raw.usage_events'::regclass and attname = 'record_key'"
        )
        assert keys.fetchall() == [("", True)]
        can_login = connection.execute(
            "select bool_and(rolcanlogin) from pg_roles where rolname = any(%s)", (list(ROLES),)
        )
        assert can_login.fetchone() == (True,)


def test_without_the_setting_nothing_is_spread(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(stand_in_for_citus())
        migrate(database)
        assert connection.execute(CALLS).fetchall() == []
        assert connection.execute("select to_regproc('raw.add_events')").fetchone() == (None,)


def test_every_table_of_records_is_spread_by_the_id_that_events_name() -> None:
    keyed = {f"raw.{table}": keys[-1] for spec in PROVIDERS.values() for table, keys in spec.keyed.items()}
    assert keyed | {"raw.usage_events": "record_key"} == KEYS


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
