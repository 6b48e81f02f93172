"""What `metering archive` and `metering restore` do to a database's rows, whoever is at them meanwhile and wherever they are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archive import ArchiveError, archive_month, archive_store, lost_manifests, restore_month, waiting_months
from archive.files import schema_of
from archive.locks import alone, staging
from archive.store import Manifest, Store
from archive.tables import Kept, archived_tables, columns_of
from builds.build_lock import build_lock
from cli.doctor import OK, WARNING, WRONG, _archive
from costs.closing.relations import SESSION
from tests.archive.conftest import MONTH
from tests.archive.object_store import object_store
from tests.paths import python_path
from tests.proof import IS_PROOF

KILLS = 40 if IS_PROOF else 1
# Dies at the n-th statement of the run, whichever that is.
KILLED_AT = """
import os, signal, sys
import psycopg
from archive import archive_month, archive_store, restore_month

url, month, what, at = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
count, execute = 0, psycopg.Connection.execute

def counted(self, *arguments, **options):
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, *arguments, **options)

psycopg.Connection.execute = counted
(archive_month if what == "archive" else restore_month)(url, archive_store(), month)
print(count)
"""


def rows(
    url: str, tables: tuple[str, ...] = (*(table.name for table in archived_tables()), "usage_event_keys")
) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        connection.execute(SESSION.encode())
        return {
            table: [row for (row,) in connection.execute(f"select t::text from raw.{table} as t order by 1".encode())]
            for table in tables
        }


def is_archived(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("select 1 from ops.archived_months").fetchone() is not None


def leftovers(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [
            name for (name,) in connection.execute("select nspname from pg_namespace where nspname like 'load\\_%'")
        ]


def run(url: str, what: str, at: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED_AT, url, MONTH, what, str(at)],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_value_comes_back_and_rows_of_other_months_never_went(closed: str, store: Store) -> None:
    before = rows(closed)
    done = archive_month(closed, store, MONTH)
    left = rows(closed)
    assert done.rows - (done.kept or 0) == sum(map(len, before.values())) - sum(map(len, left.values()))
    assert left["usage_event_keys"] == before["usage_event_keys"]
    for table in ("twilio_messages", "usage_events", "sendgrid_stats"):
        gone = set(before[table]) - set(left[table])
        assert gone
        assert all("2026-10-" in row for row in gone)
    # A charge may be refunded in any later month.
    assert len(left["stripe_balance_transactions"]) == 10
    assert leftovers(closed) == []
    again = archive_month(closed, store, MONTH)
    assert (again.kept, rows(closed)) == (None, left)
    restored = restore_month(closed, store, MONTH)
    assert (restored.rows, restored.differing) == (done.rows - (done.kept or 0), {})
    assert rows(closed) == before
    assert restore_month(closed, store, MONTH).rows is None


def test_an_event_and_its_record_of_another_month_stay_together(closed: str, store: Store) -> None:
    archive_month(closed, store, MONTH)
    with psycopg.connect(closed) as connection:
        # Of events and records that are there in other months, each has the other side that it had.
        query = "select count(*) from raw.usage_events as e inner join raw.twilio_messages as m on m.sid = e.record_key where {}"
        other_event, other_record = (
            "e.usage_date not between '2026-10-01' and '2026-10-31'",
            "m.usage_date not between '2026-10-01' and '2026-10-31'",
        )
        found = [
            connection.execute(query.format(condition).encode()).fetchone() for condition in (other_event, other_record)
        ]
    restore_month(closed, store, MONTH)
    with psycopg.connect(closed) as connection:
        wanted = [
            connection.execute(query.format(condition).encode()).fetchone() for condition in (other_event, other_record)
        ]
    assert found == wanted
    assert all(row and row[0] for row in found)


@pytest.mark.timeout(600)
def test_killed_anywhere_it_goes_on(closed: str, store: Store) -> None:
    before = rows(closed)
    chance = random.Random(20261130)
    left: dict[str, list[str]] = {}
    for what in ("archive", "restore"):
        whole = run(closed, what)
        assert whole.returncode == 0, whole.stderr
        statements = int(whole.stdout)
        left = left or rows(closed)
        states = {False: before, True: left}
        for at in sorted(chance.sample(range(2, statements + 1), KILLS)):
            # Back to where it began.
            (restore_month if what == "archive" else archive_month)(closed, store, MONTH)
            killed = run(closed, what, at)
            assert killed.returncode == -signal.SIGKILL
            assert rows(closed) == states[is_archived(closed)], at
            assert run(closed, what).returncode == 0, at
            assert (is_archived(closed), rows(closed)) == (what == "archive", states[what == "archive"]), at


def test_an_event_that_comes_while_rows_are_deleted_stays(
    closed: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Kept.find

    def late(self: Kept) -> None:
        with psycopg.connect(closed) as connection:
            connection.execute(
                "insert into raw.usage_events (event_key, service, channel, units, occurred_at) values ('late', 'internal', 'internal', 1, '2026-10-09Z')"
            )
            connection.execute("insert into ops.touched_days (usage_date, load_id) values ('2026-10-09', 'late')")
        find(self)

    monkeypatch.setattr(Kept, "find", late)
    before = rows(closed)
    archive_month(closed, store, MONTH)
    assert any(row.startswith("(late,") for row in rows(closed)["usage_events"])
    with psycopg.connect(closed) as connection:
        assert waiting_months(connection) == [MONTH]
    finding, waiting = _archive(closed)
    assert (finding.state, waiting.state) == (OK, WARNING)
    assert f"metering restore {MONTH}" in waiting.detail
    restore_month(closed, store, MONTH)
    assert [row for row in rows(closed)["usage_events"] if not row.startswith("(late,")] == before["usage_events"]
    # It waits for a build, which the closed month books as an adjustment: until then the month is not archived again.
    with pytest.raises(ArchiveError, match="metering rebuild --from 2026-10-09 --to 2026-10-09 --only build"):
        archive_month(closed, store, MONTH)


def test_a_record_that_leaves_an_archived_month_is_waited_for(closed: str, store: Store) -> None:
    archive_month(closed, store, MONTH)
    with psycopg.connect(closed) as connection:
        assert waiting_months(connection) == []
        # As a swap marks the day that a record has left.
        connection.execute(
            "insert into ops.source_days (provider, usage_date, ingested_at) values ('twilio', '2026-10-31', now())"
        )
        assert waiting_months(connection) == [MONTH]


def test_rows_that_change_while_they_are_written_are_not_deleted(
    closed: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write_manifest

    def changing(self: Store, manifest: Manifest) -> str:
        with psycopg.connect(closed) as connection:
            connection.execute("update raw.twilio_messages set price = -1 where usage_date = '2026-10-03'")
        return write(self, manifest)

    monkeypatch.setattr(Store, "write_manifest", changing)
    with pytest.raises(ArchiveError, match=r"raw\.twilio_messages has changed while"):
        archive_month(closed, store, MONTH)
    assert (is_archived(closed), leftovers(closed)) == (False, [])
    monkeypatch.undo()
    archive_month(closed, store, MONTH)
    assert is_archived(closed)


def test_what_raw_says_since_is_left(closed: str, store: Store) -> None:
    archive_month(closed, store, MONTH)
    with psycopg.connect(closed) as connection:
        connection.execute("update raw.stripe_balance_transactions set metadata_tenant_id = 'acme' where id = 'txn_3'")
    assert restore_month(closed, store, MONTH).differing == {"stripe_balance_transactions": 1}
    with psycopg.connect(closed) as connection:
        query = "select metadata_tenant_id from raw.stripe_balance_transactions where id = 'txn_3'"
        assert connection.execute(query).fetchone() == ("acme",)


def test_a_store_that_cannot_be_used_is_named_and_nothing_changes(
    closed: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(closed)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("METERING_ARCHIVE_URL", str(tmp_path / "file" / "archive"))
    with pytest.raises(ArchiveError, match=f"{tmp_path}/file/archive/{MONTH}/.* cannot be (read|written)"):
        archive_month(closed, archive_store(), MONTH)
    # A folder that nobody can make: nothing of it is "missing".
    monkeypatch.setenv("METERING_ARCHIVE_URL", "/proc/nowhere")
    with pytest.raises(ArchiveError, match=rf"/proc/nowhere/{MONTH}/.* cannot be written: .*METERING_ARCHIVE_URL"):
        archive_month(closed, archive_store(), MONTH)
    assert rows(closed) == before
    # Another database's month of that name is not written over.
    archive_month(closed, store, MONTH)
    restore_month(closed, store, MONTH)
    manifest = Manifest.read(store.manifest_text(MONTH) or b"")
    store.write_manifest(replace(manifest, root="02"))
    with pytest.raises(ArchiveError, match="is the archive of another database"):
        archive_month(closed, store, MONTH)
    assert (rows(closed), is_archived(closed), leftovers(closed)) == (before, False, [])
    with alone(closed), pytest.raises(ArchiveError, match="another `metering archive`"):
        restore_month(closed, store, MONTH)


def test_who_comes_next_is_not_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As a server does that is slow to end a session.
    monkeypatch.setattr(psycopg.Connection, "close", lambda self: None)
    for lock in (alone, build_lock):
        with lock(database) as ended:
            pass
        with psycopg.connect(database, autocommit=True) as connection:
            query = "select count(*) from pg_locks where locktype = 'advisory' and pid = %s"
            assert connection.execute(query, (ended.info.backend_pid,)).fetchone() == (0,)
    monkeypatch.undo()


def test_the_doctor_names_a_manifest_that_is_gone(closed: str, store: Store, tmp_path: Path) -> None:
    assert list(_archive(closed)) == []
    archive_month(closed, store, MONTH)
    (finding,) = _archive(closed)
    assert (finding.state, finding.detail) == (OK, "1 month, the last 2026-10")
    (tmp_path / "archive" / MONTH / "manifest.json").unlink()
    (finding,) = _archive(closed)
    assert finding.state == WRONG
    assert f"{MONTH}/manifest.json is missing" in finding.detail
    with psycopg.connect(closed) as connection:
        assert len(lost_manifests(connection, store)) == 1


def test_every_column_of_raw_has_a_form_in_a_file(database: str) -> None:
    with psycopg.connect(database) as connection:
        schemas: dict[str, Any] = {
            table.name: schema_of(table, columns_of(connection, table)) for table in archived_tables()
        }
    assert {"twilio_messages", "usage_events", "stripe_balance_transactions"} <= schemas.keys()


def test_an_older_key_is_taken_for_its_owner_s_where_its_event_is_archived(closed: str, store: Store) -> None:
    asked = "select raw.is_event_of(event_key, usage_date, 'other', 'twilio_sms') from raw.usage_event_keys where usage_date = '2026-10-09' limit 1"
    with psycopg.connect(closed, autocommit=True) as connection:
        assert connection.execute(asked).fetchone() == (False,)
        archive_month(closed, store, MONTH)
        assert connection.execute(asked).fetchone() == (True,)


def test_an_object_store_holds_what_a_folder_does(
    closed: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(closed)
    archive_month(closed, store, MONTH)
    restore_month(closed, store, MONTH)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with object_store() as server:
        monkeypatch.setenv("METERING_ARCHIVE_URL", server.url("bucket/metering"))
        remote = archive_store()
        archive_month(closed, remote, MONTH)
        files = {path.name: path.read_bytes() for path in (tmp_path / "archive" / MONTH).iterdir()}
        assert {key.rpartition("/")[2]: body for key, body in server.objects.items() if not key.endswith("/")} == files
        damaged = f"/bucket/metering/{MONTH}/usage_events.parquet"
        server.objects[damaged] = server.objects[damaged][:-1]
        with pytest.raises(ArchiveError, match=r"^bucket/metering/2026-10/usage_events\.parquet is damaged"):
            restore_month(closed, remote, MONTH)
        server.objects[damaged] = files["usage_events.parquet"]
        restore_month(closed, remote, MONTH)
        assert rows(closed) == before
    # Nobody is there any more; who asked before still has a connection.
    with pytest.raises(ArchiveError, match=f"bucket/metering/{MONTH}/manifest.json cannot be read"):
        archive_month(closed, archive_store(), MONTH)
    assert rows(closed) == before


def test_only_what_is_staged_is_kept_from_citus_s_workers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vacuum after the rows are gone reaches them: else their space waits for the workers' own."""
    monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
    setting = "select current_setting('citus.enable_ddl_propagation', true)"
    seen = []
    with alone(database) as connection:
        with staging(database, connection):
            seen.append(connection.execute(setting).fetchone())
        seen.append(connection.execute(setting).fetchone())
    assert ("off",) not in seen
