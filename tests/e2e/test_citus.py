"""What a Citus cluster answers is what one server answers: loads, flushes, the cap, builds and the API, asked of both.

Runs where METERING_CITUS_URL names a database of a coordinator, with its workers; our schemas in it are made anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest
from fastapi.testclient import TestClient
from psycopg.rows import tuple_row

from api.main import create_app
from archive import archive_month, archive_store, restore_month
from archive.tables import archived_tables
from cli.doctor import OK, _distribution, _known_read
from costs.closing import close_month, verify_month
from ingestion.windows import Window
from sandbox import Dataset, running
from tests.api.conftest import bearer, make_settings
from tests.api.test_isolation import ROOT_ROUTES, TENANT_ROUTES
from tests.dbt.conftest import Project, libraries_of_dbt
from tests.ingestion.ingesting import AS_OF, DAY, FIRST, LAST, Ingest
from tests.obstacles import SPREAD
from usage_metering import UsageTracker
from warehouse.distribution import KEYS
from warehouse.migrate import migrate

CITUS = os.environ.get("METERING_CITUS_URL", "")
pytestmark = pytest.mark.skipif(not CITUS, reason="METERING_CITUS_URL names no coordinator of a Citus cluster")

SCHEMAS = "raw, staging, intermediate, marts, ops, dagster, gathered"
TENANTS = ("acme", "bolt")
LATER = datetime(2026, 12, 20, 12, tzinfo=UTC)
EARLY = datetime(2026, 11, 1, 9, tzinfo=UTC)
# What says when, or which run it was.
OF_THE_RUN = ("At", "AsOf", "buildId", "lineId", "loadId", "id")


def as_said(answer: Any) -> Any:
    """Return a body without what differs from run to run."""
    if isinstance(answer, dict):
        return {key: as_said(value) for key, value in answer.items() if not key.endswith(OF_THE_RUN)}
    return [as_said(value) for value in answer] if isinstance(answer, list) else answer


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def directory(url: str, accounts: list[str]) -> None:
    """Two tenants, each with one of Twilio's accounts."""
    for tenant, account in zip(TENANTS, accounts, strict=False):
        rows(
            url,
            "insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled)"
            f" values ('{tenant}', '{tenant} ltd', 'starter', 'active', true)",
        )
        rows(
            url,
            "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
            f" values ('{tenant}', 'twilio', 'subaccount', '{account}')",
        )


def track(url: str, spool: Path) -> None:
    """Record events of messages and calls that the provider has, of some that it has not, and of AI; some of them twice."""
    messages = rows(url, "select sid, usage_date from raw.twilio_messages order by sid limit 60")
    calls = rows(
        url, "select sid, usage_date from raw.twilio_calls where parent_call_sid is null order by sid limit 20"
    )
    for turn in range(2):
        with UsageTracker(url, spool / str(turn), flush_interval=0.05) as tracker:
            for number, (sid, day) in enumerate([*messages, ("SM" + "0" * 32, DAY)]):
                at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - timedelta(days=number % 3)
                tracker.record(
                    TENANTS[number % 2], "twilio_sms", "outbound", external_id=sid, feature="f", occurred_at=at
                )
            for sid, day in calls:
                at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
                tracker.record("bolt", "twilio_voice", "outbound", 2, external_id=sid, occurred_at=at)
            for number in range(40):
                at = EARLY + timedelta(hours=number)
                tracker.record(
                    "acme", "internal", idempotency_key=f"k{number}", occurred_at=at, units=1 + turn * (number == 7)
                )
            assert tracker.flush(60)


def live(url: str) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "select key, tenant_id, channel, direction, month, units, requests, cost_cents from ops.live_usage order by 1",
    )


def access(url: str) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "select tenant, channel, to_jsonb(a) - 'checked_at' from unnest('{acme,bolt}'::text[]) as tenant,"
        " unnest('{sms,voice}'::text[]) as channel, ops.check_access(tenant, channel, 1, '2026-11') as a order by 1, 2",
    )


def scenario(url: str, data: Dataset, spool: Path) -> dict[str, Any]:
    """Do what production does in a migrated database; return what is asked of it on the way."""
    os.environ["METERING_DATABASE_URL"] = url
    said: dict[str, Any] = {}
    with running(deepcopy(data), now=AS_OF) as sandbox:
        ingest = Ingest(sandbox, url)
        for provider in ("twilio", "stripe"):
            assert ingest.run(provider).status == "ok"
        directory(
            url, [account for (account,) in rows(url, "select distinct account_id from raw.twilio_messages order by 1")]
        )
        track(url, spool / "first")
        said["stored"] = ingest.stored_in(
            ("twilio_messages", "twilio_calls", "twilio_recordings", "stripe_balance_transactions")
        )
        said["events"] = rows(
            url,
            "select record_key, event_key, tenant_id, units, occurred_at, metadata from raw.usage_events order by 2",
        )
        said["whose"] = rows(
            url,
            "select event_key, raw.is_event_of(event_key, usage_date, 'acme', 'internal') from raw.usage_event_keys order by 1",
        )
        said["touched"] = rows(url, "select distinct usage_date from ops.touched_days order by 1")
        said["refused"] = rows(url, "select table_name, record_key, reason from raw.rejected_records order by 1, 2")
        Project(url).build_and_test(str(FIRST), str(LAST), as_of=AS_OF)
        said["marts"] = Project(url).marts()
        said["live after a build"] = live(url)
        # A message goes to another day, a transaction changes, events arrive; a part is built again.
        ingest.sandbox.put("twilio_messages", ingest.message(FIRST) | {"date_sent": "Thu, 05 Nov 2026 10:00:00 +0000"})
        said["moved"] = sorted(ingest.run("twilio", Window.of_days(LAST, LAST)).moved_days)
        with UsageTracker(url, spool / "late", flush_interval=0.05) as tracker:
            for number in range(5):
                tracker.record(
                    "acme", "twilio_sms", "outbound", external_id=f"SM{number:032}", units=3, occurred_at=EARLY
                )
            assert tracker.flush(60)
        said["live"], said["access"] = live(url), access(url)
        Project(url).build_and_test(str(FIRST), str(FIRST), as_of=AS_OF)
        Project(url).build_and_test(str(LAST), str(LAST), as_of=AS_OF)
        said["marts of two days more"] = Project(url).marts()
        said["nobody's"] = rows(url, "select to_jsonb(u) - 'line_id' from marts.unattributed_usage as u order by 1")
    said["api"] = answers(url)
    said["of a closed month"] = closed(url, data)
    return said


def stored(url: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: rows(url, f"select to_jsonb(t)::text from raw.{table.name} as t order by 1")
        for table in archived_tables()
    }


def archived(url: str, root: str) -> dict[str, Any]:
    """Move the closed month's records to files, and back; return how many were there and stayed meanwhile, by table."""
    before = stored(url)
    done = archive_month(url, archive_store(), "2026-11")
    stayed = stored(url)
    assert done.kept is not None
    assert restore_month(url, archive_store(), "2026-11").rows == done.rows - done.kept > 0
    assert stored(url) == before
    assert verify_month(url, "2026-11", expected_root=root).findings == []
    return {"rows": done.rows, "kept": {table: len(found) for table, found in stayed.items()}}


def closed(url: str, data: Dataset) -> list[Any]:
    """Close the month, after its days were built once more from raw; return what is archived of it, and what a close notes of a record that
    changes afterwards.
    """
    Project(url).build_and_test("2026-11-01", "2026-12-01", as_of=LATER)
    providers = [provider for (provider,) in rows(url, "select distinct provider from ops.source_reads")]
    root = close_month(
        url,
        "2026-11",
        as_of=LATER,
        start_date=FIRST,
        lookback_days=3,
        closed_by="the accountant",
        accept_provisional=True,
        without=providers,
    ).root
    moved = archived(url, root)
    with running(deepcopy(data), now=LATER) as sandbox:
        ingest = Ingest(sandbox, url)
        sandbox.put("twilio_messages", ingest.message(FIRST) | {"price": "-9.99"})
        ingest.run("twilio", Window.of_days(FIRST, FIRST), as_of=LATER)
    verified = verify_month(url, "2026-11", expected_root=root)
    assert (verified.findings, len(verified.changes)) == ([], 1)
    return [moved, rows(url, "select relation, key, digest, moved_to from ops.closed_record_changes order by 1, 2, 3")]


def answers(url: str) -> dict[str, Any]:
    """Return what each route of the API says to each tenant and to the owner."""
    said: dict[str, Any] = {}
    month = {"month": "2026-11", "date": str(DAY), "channel": "sms"}
    with TestClient(create_app(make_settings(url)), raise_server_exceptions=False) as client:
        for path in (*TENANT_ROUTES, *ROOT_ROUTES):
            for tenant in (*TENANTS, None):
                if tenant is not None and path in ROOT_ROUTES:
                    continue
                headers = bearer("root_admin") if tenant is None else bearer("tenant_admin", tenant)
                named = {"tenantId": "acme"} if tenant is None and path in TENANT_ROUTES else {}
                place = path.replace("{channel}", "sms").replace("{tenantId}", "acme")
                for query in ({}, month):
                    answer = client.get(place, params={**query, **named}, headers=headers)
                    is_json = "json" in answer.headers["content-type"]
                    said[f"{tenant} {place} {query}"] = (
                        answer.status_code,
                        as_said(json.loads(answer.text)) if is_json else len(answer.text.splitlines()),
                    )
                    other = {"acme": "bolt ltd", "bolt": "acme ltd"}.get(tenant or "")
                    assert not other or other not in answer.text
    return said


@contextmanager
def plans() -> Iterator[tuple[list[str], list[str]]]:
    """Collect what Citus does for each statement about tables that are spread, of all that is sent from here but by dbt and the API; and of
    all statements, those inside functions too, which parts it says to read before the rest.
    """
    explained: list[str] = []
    parts: list[str] = []
    execute, connect = psycopg.Cursor.execute, psycopg2.connect

    class Notices:
        def append(self, line: str) -> None:
            if "generating subplan" in line:
                parts.append(line)

    def noting(init: Any) -> Any:
        def made(self: Any, *arguments: Any, **options: Any) -> None:
            init(self, *arguments, **options)
            self.add_notice_handler(lambda notice: Notices().append(notice.message_primary))

        return made

    def explaining(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        text = (
            query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string(self)
        )
        if re.match(r"\s*(?:select|with|insert|update|delete)\b", text) and re.search(SPREAD, text):
            # What it locks on another connection to explain a part there must not be held against the statements that follow.
            with (
                self.connection.transaction(force_rollback=True),
                self.connection.cursor(row_factory=tuple_row) as other,
            ):
                lines = execute(other, f"explain (costs off) {text}".encode(), params).fetchall()
            explained.append("\n".join([text, *(line for (line,) in lines)]))
        return execute(self, query, params, **options)

    def connected(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        connection.notices = Notices()
        return connection

    level = "do $$ begin execute format('alter database %I {} client_min_messages {}', current_database()); end $$"
    with pytest.MonkeyPatch.context() as patch, ExitStack() as after:
        rows(CITUS, level.format("set", "= debug1"))
        after.callback(rows, CITUS, level.format("reset", ""))
        for kind in (psycopg.Connection, psycopg.AsyncConnection):
            patch.setattr(kind, "__init__", noting(kind.__init__))
        patch.setattr(psycopg2, "connect", connected)
        patch.setattr(psycopg.Cursor, "execute", explaining)
        yield explained, parts


def of_one_task(plan: str) -> list[str]:
    """Return the tables that are spread and that one task reads: a whole table would have passed through one place."""
    names = "|".join(name.removeprefix("raw.") for name in KEYS)
    tasks = [part[2:] for part in plan.split("Task Count: ")[1:] if part.startswith("1\n")]
    return [shard for task in tasks for shard in re.findall(rf"\bon (?:raw\.)?((?:{names})\w*_\d{{6,}})", task)]


def is_whole_table(part: str) -> bool:
    """Return whether a part is a table that is spread, with all of its rows: neither summed by the workers nor asked by keys or days."""
    return re.search(rf"\bFROM {SPREAD}(?: \w+)?(?: WHERE true\b|\s*$)", part) is not None


def test_a_cluster_says_what_one_server_says(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "METERING_PII_KEY": "key",
        "METERING_AS_OF": AS_OF.isoformat(),
        "METERING_GUARD_TIMEOUT_MS": "20000",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    monkeypatch.setenv("METERING_ARCHIVE_URL", str(tmp_path / "archive of one"))
    data = Dataset.generate(first=FIRST, last=LAST, scale=0.1)
    with libraries_of_dbt():
        one = scenario(database, data, tmp_path / "one")
        monkeypatch.setenv("METERING_DISTRIBUTION", "citus")
        rows(CITUS, f"drop schema if exists {SCHEMAS} cascade")
        migrate(CITUS)
        monkeypatch.setenv("METERING_ARCHIVE_URL", str(tmp_path / "archive of the cluster"))
        with plans() as (seen, parts):
            cluster = scenario(CITUS, data, tmp_path / "cluster")
        with plans() as (_, bad):
            rows(
                CITUS,
                "select e.* from (values ('one'), ('two')) as v (k) left join raw.usage_events as e on v.k = e.record_key",
            )
    assert one["marts"]["usage_daily"]
    for name, value in one.items():
        assert cluster[name] == value, name
    assert len(seen) > 150
    assert [plan for plan in seen if of_one_task(plan)] == []
    assert [part for part in parts if is_whole_table(part)] == []
    assert any(is_whole_table(part) for part in bad)
    # What functions and dbt ask is heard, too.
    for known in ("FROM ops.archived_months WHERE", "FROM raw.shards"):
        assert any(known in part for part in parts), known
    by_key = "\n".join(
        line for (line,) in rows(CITUS, "explain select * from raw.usage_events where record_key = 'one'")
    )
    assert of_one_task(by_key)
    (finding,) = _distribution(CITUS)
    assert (finding.state, _known_read(CITUS).state) == (OK, OK)
