"""Alerts about the system itself, each by its real cause: each arrives once, by webhook and by SMS, and is resolved when it ends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from costs.alerts.operations import OUTAGE, STALE_AFTER
from ingestion.config import IngestSettings
from ingestion.run import ingest_provider
from ingestion.windows import Window
from orchestration.automation import operational_alerts as module
from orchestration.automation.operational_alerts import operational_alerts
from sandbox import Dataset, Sandbox, running
from tests.receiver import Receiver, receiving
from usage_metering.spool import Line, Spool

SENDER = "+12065550100"
TODAY = date(2026, 11, 20)
NUMBER = {"sid": "PN1", "account_sid": "AC" + "0" * 32, "phone_number": SENDER}


@dataclass
class System:
    """The system as the daemon's sensor sees it."""

    url: str
    sandbox: Sandbox
    receiver: Receiver
    instance: dg.DagsterInstance
    spool: Path
    cursor: str | None = None
    definitions: dg.Definitions | None = None

    def tick(self) -> None:
        """Let the sensor evaluate."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self.definitions)
        result = operational_alerts(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @property
    def open(self) -> list[tuple[Any, ...]]:
        return self.query(
            "select alert_type, subject, severity from ops.usage_alerts where resolved_at is null order by 1, 2"
        )

    def arrived(self) -> tuple[Any, str]:
        """Return the one alert that the webhook got and the text of the one SMS, after a second look."""
        self.tick()
        self.tick()
        (post,) = self.receiver.posts
        (sms,) = self.sandbox.dataset.twilio_messages
        return post.content["alert"], sms["body"]

    def read(self, provider: str) -> str:
        settings = IngestSettings.from_environment()
        window = Window(TODAY, TODAY + timedelta(days=1))
        now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        return ingest_provider(provider, window, settings=settings, database_url=self.url, as_of=now).status


@pytest.fixture
def system(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    with running(Dataset(twilio_phone_numbers=[NUMBER])) as sandbox, receiving() as receiver:
        variables = {
            **sandbox.environment(),
            "METERING_DATABASE_URL": database,
            "METERING_TENANT_DIRECTORY": "/nowhere",
            "METERING_PII_KEY": "key",
            "METERING_AS_OF": TODAY.isoformat(),
            "METERING_START_DATE": "2026-11-01",
            "METERING_REQUEST_ATTEMPTS": "1",
            "METERING_SPOOL_DIR": str(tmp_path / "spool"),
            "TWILIO_PHONE_NUMBER": SENDER,
            "ADMIN_PHONE_NUMBER": "+19015550137",
            "METERING_ALERT_WEBHOOK_URL": receiver.url,
            "METERING_ALERT_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 4,
            "METERING_ALERT_CHANNELS_WARNING": "sms,webhook",
            "METERING_ALERT_CHANNELS_CRITICAL": "sms,webhook",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with dg.DagsterInstance.ephemeral() as instance:
            yield System(database, sandbox, receiver, instance, tmp_path / "spool")


def test_a_provider_that_answers_500_until_it_answers_again(system: System) -> None:
    fault = system.sandbox.faults.add("/v1/balance_transactions", status=500, count=None)
    assert system.read("stripe") == "failed"
    alert, sms = system.arrived()
    assert fault.seen > 0
    assert (alert["type"], alert["subject"], alert["severity"]) == ("provider", "stripe", "warning")
    assert alert["message"].startswith("stripe has not answered since ")
    assert "answered 500" in alert["message"]
    assert sms == f"⚠️ Usage Alert for usage-metering: {alert['message']}"
    # It lasts: the warning is over, a critical one is open, and is told.
    system.query("update ops.ingest_runs set finished_at = finished_at - %s::interval", OUTAGE)
    system.tick()
    assert system.open == [("provider", "stripe", "critical")]
    assert [post.content["alert"]["severity"] for post in system.receiver.posts] == ["warning", "critical"]
    system.sandbox.faults.clear()
    assert system.read("stripe") == "ok"
    system.tick()
    assert system.open == []


def test_a_source_that_nobody_asks_any_more(system: System) -> None:
    assert system.read("stripe") == "ok"
    system.tick()
    assert system.open == []
    system.query("update ops.ingest_runs set finished_at = finished_at - %s::interval", STALE_AFTER)
    alert, sms = system.arrived()
    assert (alert["type"], alert["subject"], alert["severity"]) == ("stale_source", "stripe", "critical")
    assert "is the schedule running?" in sms
    assert system.read("stripe") == "ok"
    system.tick()
    assert system.open == []


def test_a_provider_without_credentials_is_no_matter(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_API_KEY")
    assert system.read("stripe") == "skipped"
    system.tick()
    assert system.open == []


@dg.op(config_schema={"fails": bool})
def build_marts(context: dg.OpExecutionContext) -> None:
    """A step that fails as ours do."""
    if context.op_config["fails"]:
        raise dg.Failure(description="dbt: 1 of 3 models failed\nmarts.usage_daily", allow_retries=False)


@dg.op(config_schema={"fails": bool})
def source_days(context: dg.OpExecutionContext) -> None:
    """The last step, which fails for providers."""
    if context.op_config["fails"]:
        raise dg.Failure(description="stripe: away", allow_retries=False)


@dg.job(executor_def=dg.in_process_executor)
def rebuild() -> None:
    build_marts()
    source_days()


def run(system: System, schedule: str, *failing: str) -> str:
    """Run the job as a schedule does; return the run's id."""
    config = {"ops": {name: {"config": {"fails": name in failing}} for name in ("build_marts", "source_days")}}
    result = rebuild.execute_in_process(
        config, instance=system.instance, raise_on_error=False, tags={"dagster/schedule_name": schedule}
    )
    assert result.success is not bool(failing)
    return result.run_id


def test_a_run_that_failed_until_the_next_one_succeeds(system: System) -> None:
    run_id = run(system, "rolling", "build_marts")
    alert, sms = system.arrived()
    assert (alert["type"], alert["subject"], alert["severity"]) == ("run_failed", "rolling", "warning")
    assert alert["message"].endswith("UTC in build_marts: dbt: 1 of 3 models failed")
    assert alert["details"] == {"runId": run_id, "steps": ["build_marts"]}
    assert alert["message"] in sms
    run(system, "rolling", "build_marts")
    system.tick()
    assert system.open == [("run_failed", "rolling", "critical")]
    run(system, "rolling")
    system.tick()
    assert system.open == []


def test_the_nightly_run_is_critical_at_once_and_heals_the_others(system: System) -> None:
    run(system, "daily", "build_marts")
    run(system, "rolling", "build_marts")
    system.tick()
    assert system.open == [("run_failed", "daily", "critical"), ("run_failed", "rolling", "warning")]
    run(system, "daily")
    system.tick()
    assert system.open == []


def test_a_run_that_failed_for_a_provider_alone_is_the_provider_s_alert(system: System) -> None:
    run_id = run(system, "rolling", "source_days")
    system.tick()
    assert system.open == [("run_failed", "rolling", "warning")]
    system.query(
        "insert into ops.ingest_runs values (%s, 'stripe', '2026-11-20', '2026-11-21', now(), now(), 'failed', 'away')",
        run_id.replace("-", "")[:16],
    )
    system.cursor = None
    system.tick()
    assert system.open == [("provider", "stripe", "warning")]
    # Nor is it the first of two that failed in a row.
    run(system, "rolling", "build_marts")
    system.tick()
    assert system.open == [("provider", "stripe", "warning"), ("run_failed", "rolling", "warning")]


def test_a_run_that_was_started_by_hand_is_whose_hand_it_was(system: System) -> None:
    run(system, "", "build_marts")
    system.tick()
    assert system.open == []


@contextmanager
def checked(system: System, *failing: str, breaks: bool = False) -> Iterator[None]:
    """Evaluate the checks of an asset, some of which fail; where it ``breaks``, they were only planned."""
    names = ("amounts_are_whole", "answered", "days_are_dense")

    @dg.asset(
        key=["marts", "usage_daily"],
        check_specs=[dg.AssetCheckSpec(name, asset=["marts", "usage_daily"]) for name in names],
    )
    def usage_daily() -> Iterator[Any]:
        if breaks:
            raise dg.Failure(description="broken", allow_retries=False)
        yield dg.MaterializeResult()
        for name in names:
            yield dg.AssetCheckResult(check_name=name, passed=name not in failing, severity=dg.AssetCheckSeverity.WARN)

    assert dg.materialize([usage_daily], instance=system.instance, raise_on_error=False).success is not breaks
    system.definitions = dg.Definitions(assets=[usage_daily])
    yield


def test_a_check_that_fails_until_it_passes(system: System) -> None:
    with checked(system, "days_are_dense", "answered"):
        alert, sms = system.arrived()
    assert (alert["type"], alert["subject"], alert["severity"]) == ("check_failed", "marts.usage_daily", "warning")
    assert alert["message"] == "Checks of marts.usage_daily fail: days_are_dense"
    assert alert["message"] in sms
    with checked(system, breaks=True):
        system.tick()
    assert system.open == [("check_failed", "marts.usage_daily", "warning")], (
        "a check that was not evaluated says nothing"
    )
    with checked(system):
        system.tick()
    assert system.open == []


def test_a_spool_that_nobody_empties(system: System) -> None:
    spool = Spool(system.spool)
    for minutes in (20, 1):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        spool.append(Line("e", round(at.timestamp() * 1000), json.dumps({"x": minutes}).encode()))
    alert, sms = system.arrived()
    assert (alert["type"], alert["subject"], alert["severity"]) == ("backlog", "spool", "warning")
    assert alert["message"].startswith("2 events on this host wait for the database, the oldest for 20 minutes")
    assert alert["message"] in sms
    batch = spool.next_batch(10)
    assert batch is not None
    spool.done(batch)
    spool.close()
    system.tick()
    assert system.open == []


def test_events_that_no_build_takes_in(system: System) -> None:
    for day, hours in (("2026-11-18", 3), ("2026-11-19", 1), ("2026-10-01", 99)):
        system.query(
            "insert into ops.touched_days (usage_date, load_id, touched_at) values (%s, 'a', now() - make_interval(hours => %s))",
            day,
            hours,
        )
    alert, _ = system.arrived()
    assert (alert["subject"], alert["details"]) == ("events", {"days": 2, "firstDate": "2026-11-18"})
    system.query("delete from ops.touched_days where usage_date > '2026-11-01'")
    system.tick()
    assert system.open == []


def test_what_starts_runs_is_what_is_watched() -> None:
    """A schedule or sensor that is added is added here, too: its failures must arrive."""
    from orchestration.definitions import build_definitions

    definitions = build_definitions()
    starters = {schedule.name for schedule in definitions.schedules or ()}
    starters |= {sensor.name for sensor in definitions.sensors or () if getattr(sensor, "targets", ())}
    assert {name for _, name in module.AUTOMATIC} == starters
