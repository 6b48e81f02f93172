"""Functions, views and triggers: stated once, applied where they or their files have changed, and nowhere else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psycopg
import pytest

import cli.doctor as doctor
import warehouse.migrate
from costs.rules.services import METERS
from warehouse import objects
from warehouse.errors import WarehouseUnavailable
from warehouse.migrate import connect, current, head, migrate, upgrade
from warehouse.roles import ensure_roles, ensure_schemas

FILES = {path.name: path.read_text() for path in objects.files()}
LATEST = "select ops.requests_of('sms', 7), (select count(*) from ops.object_files)"
STATEMENT = r"^(?:create|drop|alter|grant|revoke|comment|insert|update|delete|do|select|with)\b.*"


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, which is what is applied."""
    shutil.copytree(objects.FOLDER, tmp_path / "objects")
    monkeypatch.setattr(objects, "FOLDER", tmp_path / "objects")
    return tmp_path / "objects"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", FILES)
def test_a_file_creates_or_replaces_and_does_nothing_else(name: str) -> None:
    text = re.sub(r"\$(\w*)\$.*?\$\1\$", "", FILES[name], flags=re.DOTALL)
    statements = re.findall(STATEMENT, text, re.MULTILINE)
    # A view's own text begins a line, too.
    made = [line for line in statements if not re.match(r"select$|select distinct on|comment on view", line)]
    assert [line for line in made if not line.startswith("create or replace ")] == []
    assert len(made) == len(objects.made_by(FILES[name]))
    assert [view for view in text.split("create or replace view ")[1:] if re.search(r"\bselect \*|\.\*", view)] == []


@pytest.mark.parametrize("name", FILES)
def test_each_view_of_a_file_and_nothing_else_is_described(name: str) -> None:
    described = re.findall(r"^comment on (?:view )?(.*) is '", FILES[name], re.MULTILINE)
    assert described == re.findall(r"^create or replace view (\S+)", FILES[name], re.MULTILINE)


def test_each_is_stated_once() -> None:
    names = [name for text in FILES.values() for name in objects.made_by(text)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("by_hand", "file"),
    [
        ("comment on view ops.current_build is 'something else'", "builds.sql"),
        (
            "create or replace function ops.requests_of(p_channel text, p_units numeric) returns numeric language sql immutable return 0",
            "meters.sql",
        ),
        ("drop view ops.alerts", "alerts.sql"),
        ("alter view ops.tenant_forecasts reset (security_barrier)", "forecasts.sql"),
        ("alter function ops.guard_check(text, text, numeric, text) security invoker", "access.sql"),
        ("alter table ops.cost_adjustments disable trigger chained", "ledgers.sql"),
        ("drop trigger alert_is_acknowledged on ops.alert_acknowledgements", "alerts.sql"),
        ("drop aggregate ops.sum_units (jsonb)", "units.sql"),
    ],
)
def test_the_doctor_sees_what_was_changed_by_hand_and_migrate_takes_it_back(
    database: str, by_hand: str, file: str
) -> None:
    assert doctor._objects(database).state == doctor.OK
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(by_hand.encode())
        found = doctor._objects(database)
        assert (found.state, found.detail) == (doctor.WRONG, f"not as in {file}: run `metering migrate`")
        repaired: list[str] = []
        assert migrate(database, repaired=repaired.append) == (head(), head())
        assert repaired == [f"functions, views and triggers stand as in {file}"]
        assert objects.find_changed(connection) == []
        disabled = connection.execute("select count(*) from pg_trigger where tgenabled <> 'O'").fetchone()
        assert disabled == (0,)


def test_a_changed_file_is_applied_and_no_other(database: str, edited: Path) -> None:
    times = "select file, applied_at from ops.object_files order by file"
    with psycopg.connect(database, autocommit=True) as connection:
        before = connection.execute(times.encode()).fetchall()
        edit(edited / "meters.sql", "else 1 end;", "else 2 end;")
        (edited / "units.sql").unlink()
        assert migrate(database) == (head(), head())
        assert connection.execute(LATEST.encode()).fetchone() == (2, len(FILES) - 1)
        after = connection.execute(times.encode()).fetchall()
        assert {file for file, _ in set(before) ^ set(after)} == {"meters.sql", "units.sql"}
        # What no file states any more goes by a revision, which says so.
        assert connection.execute("select ops.add_units('{}', '{}')").fetchone() == ({},)


def test_a_new_function_is_callable_by_nobody_before_the_grants(
    database: str, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse.migrate, "ensure_grants", lambda _: None)
    (edited / "new.sql").write_text("create or replace function ops.new() returns int language sql return 1;\n")
    migrate(database)
    with psycopg.connect(database) as connection:
        allowed = connection.execute(
            "select has_function_privilege('metering_tracker', 'ops.new()', 'execute')"
        ).fetchone()
    assert allowed == (False,)


def test_where_nothing_has_changed_nothing_is_locked(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse.migrate, "LOCK_SECONDS", 0.3)
    with psycopg.connect(database) as reader, psycopg.connect(database) as writer:
        reader.execute("select count(*) from ops.alerts, ops.day_proofs, ops.current_build")
        writer.execute("lock table ops.cost_adjustments, ops.alert_acknowledgements in row exclusive mode")
        assert migrate(database) == (head(), head())


def test_a_view_that_stays_locked_leaves_everything_as_it_was(
    database: str, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse.migrate, "LOCK_SECONDS", 0.3)
    edit(edited / "meters.sql", "else 1 end;", "else 2 end;")
    edit(edited / "alerts.sql", "as last_sent_at\n    from", "as last_sent_at  -- the newest\n    from")
    with psycopg.connect(database, application_name="a long report") as holder:
        holder.execute("select count(*) from ops.alerts")
        with pytest.raises(WarehouseUnavailable, match=r"stays locked by process .*a long report"):
            migrate(database)
        assert holder.execute(LATEST.encode()).fetchone() == (1, len(FILES))
    assert migrate(database) == (head(), head())


def test_tables_and_objects_change_together_or_not_at_all(empty_database: str, edited: Path) -> None:
    (edited / "units.sql").write_text(
        "create or replace function ops.add_units() returns nothing language sql return 1;\n"
    )
    with connect(empty_database) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, "0031")
        with pytest.raises(psycopg.errors.UndefinedObject):
            migrate(empty_database)
        assert current(connection) == "0031"
        assert connection.execute("select to_regclass('ops.object_files')").fetchone() == (None,)
        assert connection.execute("select to_regproc('ops.requests_of')").fetchone() == (None,)


def test_the_database_says_of_each_meter_what_the_catalogue_says(database: str) -> None:
    requests = {"one": 1, "units": 7, "none": 0}
    with psycopg.connect(database) as connection:
        for row in METERS:
            stored = connection.execute(
                "select ops.is_channel_unit(%(channel)s, %(unit)s), ops.requests_of(%(channel)s, 7)", row
            ).fetchone()
            assert stored is not None
            assert stored[0] is (row["is_channel_unit"] == "true"), row
            if row["is_channel_unit"] == "true":
                assert stored[1] == requests[row["requests"]], row


def test_the_days_of_records_are_looked_up_by_key_however_few_records_there_are(database: str) -> None:
    """Each row of a small table would be held against each of the keys, which at the end of a build are all that are pending."""
    scans = "select seq_scan from pg_stat_user_tables where schemaname = 'raw' and relname = 'twilio_messages'"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into raw.twilio_messages (account_id, usage_date, sid, direction, status, num_segments, num_media, date_sent, load_id)"
            " select 'AC', '2026-11-01', 'SM' || n, 'inbound', 'received', 1, 0, '2026-11-01 10:00Z', 'test' from generate_series(1, 100) as n"
        )
        connection.execute("analyze raw.twilio_messages")
        connection.execute("select pg_stat_force_next_flush()")
        before = connection.execute(scans).fetchone()
        found = connection.execute(
            "select * from ops.record_days((select array_agg('SM' || n) from generate_series(90, 5000) as n))"
        ).fetchall()
        assert len(found) == 11
        connection.execute("select pg_stat_force_next_flush()")
        assert connection.execute(scans).fetchone() == before
