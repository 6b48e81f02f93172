"""`project`: raw rows in, marts out, by the same build that production runs."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from builds.build import NodeResult, run_build
from ingestion.windows import Window
from tests.conftest import WORK, built_once, fresh_database
from tests.dbt.price_book import build_models, stand

AS_OF = datetime(2026, 3, 20, 12, tzinfo=UTC)
MARTS = (
    "tenants",
    "plan_limits",
    "usage_daily",
    "usage_summary",
    "billing_usage_daily",
    "usage_monthly",
    "tenant_monthly",
    "tenant_usage_status",
    "channel_prices",
    "usage_activity_daily",
    "usage_reconciliation",
    "tenant_margin_monthly",
    "usage_lines",
    "price_sets",
    "focus_cost_and_usage",
)
# Of these, views: a build leaves them as they are, and nobody writes to them.
VIEWS = ("plan_limits", "focus_cost_and_usage")
# The days of `filled`, both included, up to AS_OF.
ALL = ("2026-02-01", "2026-03-20")
Row = Mapping[str, Any]


def window(first: str, last: str) -> Window:
    """Return the window of two ISO days, both included."""
    return Window.of_days(date.fromisoformat(first), date.fromisoformat(last))


@dataclass(frozen=True)
class Project:
    """The dbt project on one database."""

    url: str
    _open: list[psycopg.Connection] = field(default_factory=list, init=False, compare=False)

    @contextmanager
    def in_one_session(self) -> Iterator[None]:
        """Let `execute` and `insert` share a connection in here: a backend's start costs more than a hundred rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            self._open.append(connection)
            try:
                yield
            finally:
                self._open.pop()

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection]:
        if self._open:
            yield self._open[-1]
        else:
            with psycopg.connect(self.url, autocommit=True) as connection:
                yield connection

    def execute(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Run one statement as the owner; return its rows, if it has any."""
        with self._session() as connection:
            cursor = connection.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def set_for_all_sessions(self, name: str, value: str) -> None:
        """Set a default of the database, as its administrator may."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("alter database {} set {} to {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(name), sql.Literal(value)
                )
            )

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert ``rows`` into a table of `raw`."""
        with self._session() as connection, connection.transaction():
            for row in rows:
                connection.execute(
                    sql.SQL("insert into raw.{} ({}) values ({})").format(
                        sql.Identifier(table),
                        sql.SQL(", ").join(map(sql.Identifier, row)),
                        sql.SQL(", ").join(sql.Placeholder() * len(row)),
                    ),
                    list(row.values()),
                )

    def message(self, sid: str, sent: str, **columns: object) -> None:
        """Insert an outbound message of tenant a (its subaccount is ACa), sent at an ISO instant in UTC."""
        self.insert(
            "twilio_messages",
            [
                {
                    "account_id": "ACa",
                    "usage_date": sent[:10],
                    "sid": sid,
                    "direction": "outbound-api",
                    "status": "delivered",
                    "num_segments": 1,
                    "num_media": 0,
                    "price": "-0.0083",
                    "price_unit": "USD",
                    "date_sent": f"{sent}+00",
                    "load_id": "test",
                    **columns,
                }
            ],
        )

    def event(self, key: str, at: str, **columns: object) -> None:
        """Insert an event of tenant a about one outbound message, at an ISO instant in UTC."""
        self.insert(
            "usage_events",
            [
                {
                    "event_key": key,
                    "tenant_id": "a",
                    "service": "twilio_sms",
                    "operation": "outbound",
                    "channel": "sms",
                    "direction": "outbound",
                    "source": "twilio",
                    "units": 1,
                    "occurred_at": f"{at}+00",
                    "load_id": "test",
                    **columns,
                }
            ],
        )

    def completion(self, key: str, at: str, tokens: int, **columns: object) -> None:
        """Insert an event of tenant a about one chat completion of so many input tokens."""
        self.event(
            key,
            at,
            **{
                "service": "openai",
                "operation": "chat_completion",
                "channel": "ai",
                "source": "openai",
                "model": "gpt-4o-mini",
                "units": tokens,
                "input_tokens": tokens,
                "cached_input_tokens": 0,
                "output_tokens": 0,
                **columns,
            },
        )

    def trust(self) -> None:
        """Say of every day built so far that it was proven just now: a scratch build takes longer than all else of a close."""
        self.execute(
            "insert into ops.proofs (proof_id, usage_date, build_id, as_of, started_at, finished_at, status, rows_compared,"
            " directory_digest) select gen_random_uuid()::text, usage_date, build_id, clock_timestamp(), clock_timestamp(), clock_timestamp(),"
            " 'equal', 0, ops.directory_digest()"
            " from ops.built_days"
        )

    def ingest(self, load_id: str, provider: str, first: str, last: str) -> None:
        """Record an ingest of a provider's days, both included, as one that has ended well."""
        self.execute(
            "insert into ops.ingest_runs (load_id, provider, window_start, window_end, started_at, finished_at, status)"
            " values (%s, %s, %s, %s::date + 1, now(), now(), 'ok')"
            " on conflict (load_id, provider) do update set"
            "   window_start = least(ingest_runs.window_start, excluded.window_start),"
            "   window_end = greatest(ingest_runs.window_end, excluded.window_end)",
            load_id,
            provider,
            first,
            last,
        )

    def build(self, first: str, last: str, *, as_of: datetime = AS_OF) -> None:
        """Build the marts of these days, both included, without the data tests: half of a build's time."""
        build_models(window(first, last), as_of=as_of)

    def build_and_test(self, first: str, last: str, *, as_of: datetime = AS_OF) -> list[NodeResult]:
        """As `build` with the data tests, and all else as production builds: once per kind of world, and where they are the point."""
        return run_build(
            self.url, window(first, last), as_of=as_of, build_id=uuid.uuid4().hex, tables=["twilio_messages"]
        )

    def mart(self, name: str, where: str = "true") -> list[dict[str, Any]]:
        """Return a mart's rows without updated_at, in an order of their own; instants as UTC."""
        query = f"select to_jsonb(mart) - 'updated_at' from marts.{name} as mart where {where} order by 1"
        with self._session() as connection, connection.transaction():
            connection.execute("set local time zone 'UTC'")
            return [row[0] for row in connection.execute(query.encode())]

    def empty_marts(self) -> None:
        """Delete every row of every mart that is a table: through the view of limits their seed would go."""
        with self.in_one_session():
            for name in MARTS:
                if name not in VIEWS:
                    self.execute(f"delete from marts.{name}")

    def marts(self) -> dict[str, list[dict[str, Any]]]:
        """Return every mart's rows."""
        with self.in_one_session():
            return {name: self.mart(name) for name in MARTS}


def prepare(database: str) -> Project:
    """Insert two tenants with a subaccount, an OpenAI project and a subuser each; nothing is built."""
    made = Project(database)
    with made.in_one_session():
        for tenant, plan in (("a", "starter"), ("b", "pro")):
            made.insert(
                "tenants",
                [
                    {
                        "tenant_id": tenant,
                        "name": f"Tenant {tenant}",
                        "plan": plan,
                        "status": "active",
                        "usage_hard_stop_enabled": False,
                    }
                ],
            )
            made.insert(
                "tenant_resources",
                [
                    {"tenant_id": tenant, "provider": provider, "resource_type": kind, "resource_id": key}
                    for provider, kind, key in (
                        ("twilio", "subaccount", f"AC{tenant}"),
                        ("openai", "project", f"proj_{tenant}"),
                        ("sendgrid", "subuser", f"sub_{tenant}"),
                    )
                ],
            )
    return made


def fill(made: Project) -> None:
    """Insert usage of every provider over a month's end, of both tenants and of nobody."""
    for day in ("2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02", "2026-03-18"):
        for tenant in "abx":
            made.message(f"SM{day}{tenant}", f"{day} 23:59:59", account_id=f"AC{tenant}", num_segments=3)
            made.message(f"MM{day}{tenant}", f"{day} 00:00:00", account_id=f"AC{tenant}", num_media=1, price=None)
            common = {"usage_date": day, "load_id": "test"}
            made.insert(
                "twilio_calls",
                [
                    {
                        **common,
                        "account_id": f"AC{tenant}",
                        "sid": f"CA{day}{tenant}",
                        "direction": "inbound",
                        "status": "completed",
                        "duration_seconds": 61,
                        "price": "-0.017",
                        "price_unit": "USD",
                        "start_time": f"{day} 12:00:00+00",
                    }
                ],
            )
            made.insert(
                "openai_usage_completions",
                [
                    {
                        **common,
                        "account_id": "org",
                        "project_id": f"proj_{tenant}",
                        "model": model,
                        "input_tokens": 1001,
                        "cached_input_tokens": 10,
                        "output_tokens": 7,
                        "num_model_requests": 2,
                    }
                    for model in ("gpt-4o-mini-2024-07-18", "house-model")
                ],
            )
            made.insert(
                "openai_costs",
                [
                    {
                        **common,
                        "account_id": "org",
                        "project_id": f"proj_{tenant}",
                        "line_item": item,
                        "currency": "usd",
                        "amount": "0.1000000000000001",
                    }
                    for item in ("gpt-4o-mini, input", "web search")
                ],
            )
            made.insert("sendgrid_subuser_stats", [{**common, "account_id": f"sub_{tenant}", "requests": 11}])
        made.insert("sendgrid_stats", [{**common, "account_id": "parent", "requests": 40}])


def track(made: Project) -> None:
    """Insert events of all kinds about what `fill` inserts, and some of their own: matched, provisional, misattributed, of nobody, more and
    less than the provider has.
    """
    made.event(
        "sms", "2026-03-01 23:59:59", external_id="SM2026-03-01a", feature="broadcast", activity="campaign: spring"
    )
    made.event("sms theirs", "2026-03-02 23:59:59", external_id="SM2026-03-02b", tenant_id="a", feature="broadcast")
    made.event("sms alone", "2026-03-18 09:00:00", external_id="SMalone", units=2, feature="broadcast")
    for n in range(3):
        made.completion(
            f"part {n}", f"2026-03-01 10:0{n}:00", 100 + n, resource_id="proj_a", feature="ai_sms", activity="scoring"
        )
    made.completion("whole", "2026-03-01 11:00:00", 400, resource_id="proj_a", cached_input_tokens=4, output_tokens=3)
    made.completion("too much", "2026-03-02 11:00:00", 5_000, tenant_id="b", resource_id="proj_b", feature="ai_sms")
    made.completion("too early", "2026-03-18 11:00:00", 5_000, resource_id="proj_a", feature="ai_sms")
    made.completion("of nobody", "2026-02-27 11:00:00", 70, tenant_id="ghost", resource_id="proj_a", feature="ai_sms")
    made.completion("house", "2026-02-28 11:00:00", 50, resource_id="proj_a", model="house-model", feature="ai_sms")
    mail = {
        "service": "sendgrid",
        "operation": "send",
        "channel": "email",
        "source": "sendgrid",
        "resource_id": "sub_a",
    }
    made.event("mail", "2026-03-01 08:00:00", **mail, units=4, feature="newsletter")
    made.event("mail of b", "2026-03-02 08:00:00", **{**mail, "resource_id": "sub_b"}, tenant_id="b", units=20)
    other = {"operation": "search", "direction": "none"}
    made.event(
        "place", "2026-03-02 08:00:00", **other, service="google_places", channel="places", source="google", units=3
    )
    made.event(
        "disk",
        "2026-03-02 08:00:00",
        **other,
        service="cloudflare_r2",
        channel="storage",
        source="r2",
        units="0.123456789",
    )
    made.insert(
        "openai_costs",
        [
            {
                "usage_date": "2026-03-10",
                "load_id": "test",
                "account_id": "org",
                "project_id": "proj_a",
                "line_item": "fine-tuning",
                "currency": "usd",
                "amount": "1.25",
            }
        ],
    )


@contextmanager
def libraries_of_dbt() -> Iterator[None]:
    """dbt and what it imports warn of their own future; that is not this project's business."""
    with warnings.catch_warnings():
        for module in ("dbt", "dbt_common", "mashumaro", "agate", "networkx", "pydantic", "click", "google"):
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=rf"{module}(\.|$)")
        yield


@pytest.fixture(autouse=True)
def _quiet_libraries() -> Iterator[None]:
    with libraries_of_dbt():
        yield


def built_world(
    server: str, name: str, template: str, *steps: Callable[[Project], None], days: tuple[str, str] = ALL
) -> str:
    """Return the name of a database for tests to copy: two tenants, what ``steps`` insert, and the marts of ``days``."""

    def build(url: str) -> None:
        os.environ["METERING_DATABASE_URL"] = url
        made = prepare(url)
        with made.in_one_session():
            for step in steps:
                step(made)
        made.build_and_test(*days)

    with libraries_of_dbt():
        return built_once(server, name, template, build)


def copy_of(server: str, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Yield a fresh copy of a built world, which builds use from here on."""
    for url in fresh_database(server, template, WORK):
        monkeypatch.setenv("METERING_DATABASE_URL", url)
        yield Project(url)


@pytest.fixture(scope="session")
def built_template(server: str, template: str) -> str:
    """Name of a database that is filled and built, for tests to copy."""
    return built_world(server, "built", template, fill)


@pytest.fixture(scope="session")
def tracked_template(server: str, template: str) -> str:
    """As `built_template`, with events (`track`)."""
    return built_world(server, "tracked", template, fill, track)


@pytest.fixture
def tracked(server: str, tracked_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """As `built`, with events of all kinds."""
    yield from copy_of(server, tracked_template, monkeypatch)


@pytest.fixture(scope="session")
def standing_template(server: str, template: str) -> str:
    """Name of a migrated database that has what only code changes, and empty marts, for tests to copy."""

    def build(url: str) -> None:
        os.environ["METERING_DATABASE_URL"] = url
        stand(url)

    with libraries_of_dbt():
        return built_once(server, "standing", template, build)


@pytest.fixture
def project(server: str, standing_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Two tenants with their resources on a fresh database; no day is built."""
    for url in fresh_database(server, standing_template, WORK):
        monkeypatch.setenv("METERING_DATABASE_URL", url)
        yield prepare(url)


@pytest.fixture
def filled(project: Project) -> Project:
    """As `project`, with usage of every provider over a month's end; nothing is built."""
    with project.in_one_session():
        fill(project)
    return project


@pytest.fixture
def built(server: str, built_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """As `filled`, with the marts of all days built."""
    yield from copy_of(server, built_template, monkeypatch)
