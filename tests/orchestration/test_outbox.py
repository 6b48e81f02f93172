"""What is decided is sent: at most every 24 hours, not after an acknowledgement, and never lost."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion.config import IngestSettings
from ingestion.sandbox import Dataset, running
from orchestration.alerts import ALERT_TYPES, Condition, settle
from orchestration.alerts.outbox import Delivered, Message, deliver
from orchestration.alerts.senders import AlertSettings, make_senders
from warehouse.urls import as_role

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OVER = Condition("acme", "cap", "critical", "sms", "The monthly cap of sms is exceeded: 11 units of 10 units used")
BOTH = ("sms", "email")

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as found:
        found.execute("create table marts.tenants (tenant_id text, name text)")
        found.execute("insert into marts.tenants values ('acme', 'Acme Homes')")
        yield found


class Sent:
    """A sender that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, message: Message) -> str:
        self.messages.append(message)
        return f"id-{len(self.messages)}"


def broken(message: Message) -> str:
    raise ConnectionError("no route to +12025550123 for kim@example.com\nTraceback …")


def evaluate(connection: Connection, *conditions: Condition, now: datetime = NOW) -> int:
    return settle(connection, ALERT_TYPES, conditions, media=BOTH, now=now).queued


def test_a_critical_alert_goes_out_once_over_each_medium(connection: Connection) -> None:
    warning = Condition("acme", "cap", "warning", "email", "near")
    assert evaluate(connection, OVER, warning) == 2
    assert evaluate(connection, OVER, warning) == 0
    sms, email = Sent(), Sent()
    assert deliver(connection, {"sms": sms, "email": email}, NOW) == Delivered(2, 0)
    assert deliver(connection, {"sms": sms, "email": email}, NOW) == Delivered(0, 0)
    (text,) = sms.messages
    assert text.body == f"⚠️ Usage Alert for Acme Homes: {OVER.message}"
    assert [mail.subject for mail in email.messages] == ["Usage alert for Acme Homes"]
    assert text.idempotency_id != email.messages[0].idempotency_id


def test_it_is_sent_again_after_24_hours_and_not_before(connection: Connection) -> None:
    assert [evaluate(connection, OVER, now=NOW + hours * HOUR) for hours in (0, 1, 23, 24, 25, 48)] == [
        2,
        0,
        0,
        2,
        0,
        2,
    ]


def test_a_condition_that_flickers_is_a_new_alert_and_no_new_message(connection: Connection) -> None:
    assert evaluate(connection, OVER) == 2
    assert evaluate(connection, now=NOW + HOUR) == 0
    assert evaluate(connection, OVER, now=NOW + 2 * HOUR) == 0
    assert connection.execute("select count(*), count(resolved_at) from ops.usage_alerts").fetchone() == (2, 1)
    assert evaluate(connection, OVER, now=NOW + 24 * HOUR) == 2


def test_an_acknowledged_alert_is_not_sent_any_more(connection: Connection, database: str) -> None:
    evaluate(connection, OVER)
    with psycopg.connect(as_role(database, "metering_operator"), autocommit=True) as operator:
        operator.execute("insert into ops.alert_acknowledgements values (1, 'kim', %s)", (NOW,))
        operator.execute("insert into ops.alert_acknowledgements values (1, 'lee', %s)", (NOW + HOUR,))
        for forbidden in (
            "select 1 from ops.alert_acknowledgements",
            "select 1 from ops.usage_alerts",
            "update ops.usage_alerts set resolved_at = now()",
            "delete from ops.alert_acknowledgements",
            "insert into ops.usage_alerts (tenant_id, alert_type, severity, message) values ('a', 'cap', 'info', '')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                operator.execute(forbidden.encode())
    assert connection.execute(
        "select acknowledged, acknowledged_by, acknowledged_at from ops.usage_alerts"
    ).fetchone() == (True, "kim", NOW)
    sent = Sent()
    assert deliver(connection, {"sms": sent, "email": sent}, NOW + HOUR) == Delivered(0, 0)
    assert evaluate(connection, OVER, now=NOW + 30 * HOUR) == 0
    assert sent.messages == []


def test_what_cannot_be_sent_is_tried_again_later_with_its_reason(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(connection, OVER)
    sent = Sent()
    assert deliver(connection, {"sms": sent, "email": broken}, NOW) == Delivered(1, 1)
    assert [record.message for record in caplog.records] == [
        "an alert could not be sent by email and is tried again: no route to … for …"
    ]
    assert deliver(connection, {"sms": sent, "email": sent}, NOW) == Delivered(0, 0)  # not at once
    assert deliver(connection, {"sms": sent, "email": sent}, NOW + 2 * HOUR) == Delivered(1, 0)
    assert connection.execute("select medium, attempts, last_error from ops.alert_outbox order by 1").fetchall() == [
        ("email", 2, None),
        ("sms", 1, None),
    ]


def test_details_follow_the_condition_and_the_message_stays(connection: Connection) -> None:
    evaluate(connection, Condition("acme", "spike", "warning", None, "60%", {"percentChange": 60.0}))
    evaluate(connection, Condition("acme", "spike", "warning", None, "70%", {"percentChange": 70.0}))
    assert connection.execute("select message, details from ops.usage_alerts").fetchall() == [
        ("60%", {"percentChange": 70.0})
    ]


def _send_until_killed(url: str, log: str) -> None:
    def send(message: Message) -> str:
        time.sleep(0.002)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{message.idempotency_id}\n".encode())  # the provider has taken it
        os.close(descriptor)
        time.sleep(0.002)
        return "id"

    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            deliver(connection, {"sms": send, "email": send})


def test_nothing_is_lost_when_senders_are_killed(connection: Connection, database: str, tmp_path: Path) -> None:
    conditions = [Condition(f"t{number}", "cap", "critical", "sms", "over") for number in range(100)]
    assert evaluate(connection, *conditions, now=NOW) == 200
    log, kills, rng = tmp_path / "sent", 0, random.Random(4)
    context = multiprocessing.get_context("fork")
    waiting = "select count(*) from ops.alert_outbox where sent_at is null"
    while connection.execute(waiting).fetchone() != (0,):
        senders = [context.Process(target=_send_until_killed, args=(database, str(log))) for _ in range(2)]
        for sender in senders:
            sender.start()
        time.sleep(rng.uniform(0.05, 0.3))
        for sender in senders:
            assert sender.pid is not None
            os.kill(sender.pid, signal.SIGKILL)
            sender.join()
            kills += 1
    sent = Counter(log.read_text().split())
    queued = {key for (key,) in connection.execute("select idempotency_id from ops.alert_outbox")}
    assert set(sent) == queued
    # Only what was with the provider when its sender died goes out again.
    assert sum(sent.values()) - len(sent) <= kills


def test_the_official_clients_send_it(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    day = date(2026, 11, 20)
    with running(Dataset.generate(first=day, last=day), now=NOW) as sandbox:
        for name, value in {
            **sandbox.environment(),
            "ADMIN_PHONE_NUMBER": "+12025550123",
            "TWILIO_PHONE_NUMBER": "+12065550100",
            "ADMIN_EMAIL": "owner@example.com",
            "SENDGRID_FROM_EMAIL": "alerts@example.com",
            "METERING_TENANT_DIRECTORY": "/nowhere",
            "METERING_PII_KEY": "key",
        }.items():
            monkeypatch.setenv(name, value)
        senders = make_senders(AlertSettings.from_environment(), IngestSettings.from_environment())
        message = Message("one-and-the-same", "Usage alert for Acme", "⚠️ Usage Alert for Acme: over")
        sid = senders["sms"](message)
        assert sid.startswith("SM")
        assert [
            (record["to"], record["body"]) for record in sandbox.dataset.twilio_messages if record["sid"] == sid
        ] == [("+12025550123", "⚠️ Usage Alert for Acme: over")]
        assert senders["email"](message)


def test_what_is_missing_is_named_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_PHONE_NUMBER", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "ADMIN_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ADMIN_PHONE_NUMBER", "+12025550123")
    monkeypatch.setenv("METERING_TENANT_DIRECTORY", "/nowhere")
    monkeypatch.setenv("METERING_PII_KEY", "key")
    settings = AlertSettings.from_environment()
    assert settings.media() == ["sms"]
    with pytest.raises(LookupError, match="TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER not set"):
        make_senders(settings, IngestSettings.from_environment())["sms"](Message("id", "s", "b"))
