"""What was decided is sent: once, in spite of crashes and refusals, and not to somebody who has seen it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import parse_headers
from typing import Any

import psycopg
import pytest

from bench.sending import Provider, judge, run_crashes, serving, settings_of
from costs.alerts import Condition, settle
from costs.alerts.outbox import Delivery, deliver
from costs.alerts.requesting import Outgoing, Sender, SendFailed
from costs.alerts.senders import AlertSettings
from orchestration.assets.alerts import reasons_to_wait
from sandbox import Dataset, running
from warehouse.urls import as_role

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CRITICAL = Condition("acme", "threshold", "critical", None, "Monthly usage has exceeded $100.00", {}, "Acme Homes")
WARNING = Condition("bolt", "threshold", "warning", None, "Monthly usage has exceeded $50.00", {}, "Acme Homes")
BODY = "⚠️ Usage Alert for Acme Homes: Monthly usage has exceeded $100.00"
TYPES = ["threshold"]


class Killed(BaseException):
    """The process ends here."""


class Recorder:
    """A sender that remembers, and does what ``then`` says after the provider has taken a message."""

    def __init__(self, *, searchable: bool = False) -> None:
        self.sent: list[str] = []
        self.before: BaseException | None = None
        self.after: BaseException | None = None
        self._searchable = searchable

    def send(self, message: Outgoing) -> str:
        if self.before is not None:
            raise self.before
        self.sent.append(message.idempotency_id)
        if self.after is not None:
            raise self.after
        return f"id{len(self.sent)}"

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        found = [f"id{n}" for n, key in enumerate(self.sent, 1) if key == message.idempotency_id]
        return next((number for number in found if number not in known), None) if self._searchable else None


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def decide(connection: psycopg.Connection[Any], hours: float, *conditions: Condition) -> int:
    return settle(connection, TYPES, conditions, now=at(hours)).queued


def send(connection: psycopg.Connection[Any], hours: float, **senders: Sender) -> Delivery:
    return deliver(connection, senders, lambda: at(hours))


def both(connection: psycopg.Connection[Any], hours: float, recorder: Recorder) -> int:
    return send(connection, hours, sms=recorder, email=recorder).sent


def states(connection: psycopg.Connection[Any]) -> list[tuple[str, str, int]]:
    return connection.execute("select medium, state, doubts from ops.alert_outbox order by id").fetchall()


def acknowledge(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "insert into ops.alert_acknowledgements (alert_id, acknowledged_by)"
        " select id, 'ada' from ops.usage_alerts where resolved_at is null"
    )


def test_a_critical_alert_is_told_by_both_media_and_a_warning_by_none(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    assert decide(connection, 0, CRITICAL, WARNING) == 2
    assert send(connection, 0, sms=recorder, email=recorder) == Delivery(2, 0, {})
    (number,) = connection.execute("select id from ops.usage_alerts where severity = 'critical'").fetchone() or ()
    assert recorder.sent == [f"alert-{number}-1-sms", f"alert-{number}-1-email"]
    assert connection.execute("select distinct body from ops.alert_outbox").fetchall() == [(BODY,)]
    assert both(connection, 1, recorder) == 0


def test_it_is_told_again_after_a_day_and_not_before(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    sent = []
    for hour in range(60):
        decide(connection, hour, CRITICAL)
        sent += [hour] * both(connection, hour, recorder)
    assert sent == [0, 0, 24, 24, 48, 48]
    assert len(set(recorder.sent)) == 6


def test_what_comes_and_goes_is_a_new_alert_and_told_once_a_day(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    sent = []
    for hour in range(30):
        decide(connection, hour, *([CRITICAL] if hour % 2 == 0 else []))
        sent += [hour] * both(connection, hour, recorder)
    assert sent == [0, 0, 24, 24]
    assert connection.execute("select count(*) from ops.usage_alerts").fetchone() == (15,)


def test_another_kind_tenant_or_channel_does_not_wait_for_this_one(connection: psycopg.Connection[Any]) -> None:
    decide(connection, 0, CRITICAL)
    others = [
        Condition("bolt", "threshold", "critical", None, "x"),
        Condition("acme", "threshold", "critical", "sms", "x"),
    ]
    assert decide(connection, 1, CRITICAL, *others) == 4


def test_an_acknowledged_alert_is_not_told_again(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    decide(connection, 0, CRITICAL)
    both(connection, 0, recorder)
    acknowledge(connection)
    assert decide(connection, 25, CRITICAL) == 0
    assert both(connection, 25, recorder) == 0
    found = connection.execute("select acknowledged, acknowledged_by, resolved_at from ops.usage_alerts").fetchall()
    assert found == [(True, "ada", None)]


def test_what_is_acknowledged_before_it_was_sent_is_not_sent(connection: psycopg.Connection[Any]) -> None:
    decide(connection, 0, CRITICAL)
    acknowledge(connection)
    assert both(connection, 0, Recorder()) == 0
    assert states(connection) == [("sms", "withdrawn", 0), ("email", "withdrawn", 0)]


def test_a_snoozed_alert_waits_until_it_is_over(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    decide(connection, 0, CRITICAL)
    connection.execute(
        "insert into ops.alert_notes (alert_id, noted_by, snoozed_until) select id, 'ada', %s from ops.usage_alerts",
        (at(30),),
    )
    connection.execute(
        "insert into ops.alert_notes (alert_id, noted_by, comment) select id, 'ada', 'known' from ops.usage_alerts"
    )
    sent = []
    for hour in range(0, 60, 5):
        decide(connection, hour, CRITICAL)
        sent += [hour] * both(connection, hour, recorder)
    assert sent == [30, 30, 55, 55]


@pytest.mark.parametrize(("searchable", "copies"), [(True, 1), (False, 2)])
def test_a_crash_after_the_provider_took_it(connection: psycopg.Connection[Any], searchable: bool, copies: int) -> None:
    """One that can be asked is asked; from one that cannot, a second copy goes out under the same id."""
    recorder = Recorder(searchable=searchable)
    decide(connection, 0, CRITICAL)
    recorder.after = Killed()
    with pytest.raises(Killed):
        send(connection, 0, sms=recorder)
    assert states(connection)[0] == ("sms", "waiting", 1)
    recorder.after = None
    # Its request may still be under way.
    assert send(connection, 0.01, sms=recorder).sent == 0
    assert send(connection, 0.1, sms=recorder).sent == 1
    assert len(recorder.sent) == copies
    assert len(set(recorder.sent)) == 1
    assert states(connection)[0][:2] == ("sms", "sent")


@pytest.mark.parametrize(("has_sms", "copies", "state"), [(True, 2, "withdrawn"), (False, 3, "sent")])
def test_a_mail_that_was_in_doubt_twice(
    connection: psycopg.Connection[Any], has_sms: bool, copies: int, state: str
) -> None:
    """Where an SMS tells the same there is no third copy; where none can, losing it would be worse."""
    mail = Recorder()
    decide(connection, 0, CRITICAL)
    mail.after = Killed()
    for hour in (0, 1):
        with pytest.raises(Killed):
            send(connection, hour, email=mail)
    mail.after = None
    senders: dict[str, Sender] = {"email": mail, "sms": Recorder()} if has_sms else {"email": mail}
    send(connection, 2, **senders)
    assert len(mail.sent) == copies
    assert [row[1] for row in states(connection) if row[0] == "email"] == [state]
    # It may have arrived: the day counts from there.
    assert decide(connection, 20, CRITICAL) == 0


def test_a_mail_in_doubt_waits_for_the_sms_that_cannot_be_sent_now(connection: psycopg.Connection[Any]) -> None:
    mail, sms = Recorder(), Recorder()
    decide(connection, 0, CRITICAL)
    connection.execute(
        "update ops.alert_outbox set doubts = 2, in_doubt_since = now(), attempted_at = now() where medium = 'email'"
    )
    sms.before = SendFailed("Twilio answered HTTP 503, code 1", in_doubt=True, everything=True)
    assert send(connection, 0.9, email=mail, sms=sms).waiting == {"email": 1, "sms": 1}
    sms.before = None
    assert send(connection, 0.99, email=mail, sms=sms).waiting == {}
    assert (mail.sent, len(sms.sent)) == ([], 1)


def test_a_mail_in_doubt_does_not_wait_for_ever_for_an_sms_that_is_refused(connection: psycopg.Connection[Any]) -> None:
    mail, sms = Recorder(), Recorder()
    sms.before = SendFailed("Twilio answered HTTP 400, code 21211", in_doubt=False, everything=False)
    mail.before = SendFailed("SendGrid answered HTTP 503", in_doubt=True, everything=True)
    decide(connection, 0, CRITICAL)
    for minute in (0, 2, 5):
        send(connection, minute / 60, sms=sms, email=mail)
    mail.before = None
    sent = []
    for hour in range(1, 60):
        decide(connection, hour, CRITICAL)
        sent += [hour] * send(connection, hour, sms=sms, email=mail).sent
    # In doubt last at the fifth minute or before; then once a day.
    assert sent == [2, 26, 50]
    assert len(set(mail.sent)) == 3


def test_a_message_that_cannot_be_sent_does_not_keep_the_next_alert(connection: psycopg.Connection[Any]) -> None:
    """A number that is refused for good, then mended: what is told is the newest alert, once."""
    sms = Recorder()
    sms.before = SendFailed("Twilio answered HTTP 400, code 21211", in_doubt=False, everything=False)
    decide(connection, 0, CRITICAL)
    send(connection, 0, sms=sms)
    decide(connection, 1)
    assert decide(connection, 48, CRITICAL) == 2
    sms.before = None
    assert send(connection, 48, sms=sms).sent == 1
    assert [row[:2] for row in states(connection) if row[0] == "sms"] == [("sms", "withdrawn"), ("sms", "sent")]
    (number,) = connection.execute("select max(id) from ops.usage_alerts").fetchone() or ()
    assert sms.sent == [f"alert-{number}-1-sms"]


def test_what_never_left_is_not_in_doubt(connection: psycopg.Connection[Any]) -> None:
    """Nobody listens, or there is no such name: however often, the mail is still a first copy."""
    for hour, url in enumerate(["http://127.0.0.1:1", "http://nobody.invalid", "http://127.0.0.1:1"]):
        decide(connection, hour, CRITICAL)
        settings = AlertSettings.model_validate(settings_of(url))
        assert deliver(connection, settings.senders(), lambda hour=hour: at(hour)).failed == 2  # type: ignore[misc]
    assert states(connection) == [("sms", "waiting", 0), ("email", "waiting", 0)]


def test_an_answer_that_does_not_come_is_in_doubt(connection: psycopg.Connection[Any]) -> None:
    """The request was taken whole, then the connection ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(2):
                caller, _ = listener.accept()
                with caller, caller.makefile("rb") as request:
                    headers = parse_headers(request) if request.readline() else {}
                    request.read(int(headers["Content-Length"]))

        threading.Thread(target=hang_up, daemon=True).start()
        settings = AlertSettings.model_validate(settings_of(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        decide(connection, 0, CRITICAL)
        assert deliver(connection, settings.senders(), lambda: NOW).failed == 2
    assert states(connection) == [("sms", "waiting", 1), ("email", "waiting", 1)]


def test_the_bench_counts_a_mail_as_given_up_only_where_its_sms_was_sent() -> None:
    decided = {
        "alert-1-1-sms": "sent",
        "alert-1-1-email": "withdrawn",
        "alert-2-1-sms": "waiting",
        "alert-2-1-email": "withdrawn",
        "alert-3-1-sms": "withdrawn",
        "alert-3-1-email": "withdrawn",
    }
    lost, given_up = judge(decided, ["alert-1-1-sms", "alert-2-1-sms", "alert-3-1-sms"])
    assert given_up == {"alert-1-1-email"}
    assert lost == {"alert-2-1-sms", "alert-2-1-email", "alert-3-1-email"}


def test_a_crash_before_the_provider_took_it_loses_nothing(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder(searchable=True)
    decide(connection, 0, CRITICAL)
    recorder.before = Killed()
    with pytest.raises(Killed):
        send(connection, 0, sms=recorder)
    recorder.before = None
    assert send(connection, 0.1, sms=recorder).sent == 1
    assert len(recorder.sent) == 1


def test_a_failed_send_is_tried_again_later_and_later(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    recorder.before = SendFailed("Twilio answered HTTP 503, code 20503", in_doubt=True, everything=True)
    decide(connection, 0, CRITICAL)
    tried = []
    for minute in range(300):
        delivery = send(connection, minute / 60, sms=recorder)
        assert delivery.waiting == {"email": 1, "sms": 1}
        tried += [minute] * delivery.failed
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    recorder.before = None
    assert send(connection, 10, sms=recorder).sent == 1
    # The day counts from when it was sent.
    assert decide(connection, 33, CRITICAL) == 0
    assert decide(connection, 34, CRITICAL) == 1


def test_one_refused_message_does_not_keep_the_next_one(connection: psycopg.Connection[Any]) -> None:
    class Picky(Recorder):
        def send(self, message: Outgoing) -> str:
            if "Bolt" in message.body:
                raise SendFailed("Twilio answered HTTP 400, code 21211", in_doubt=False, everything=False)
            return super().send(message)

    bolt = Condition("bolt", "threshold", "critical", None, "x", {}, "Bolt")
    decide(connection, 0, bolt, CRITICAL)
    delivery = send(connection, 0, sms=Picky())
    assert (delivery.sent, delivery.failed, delivery.errors) == (1, 1, ("Twilio answered HTTP 400, code 21211",))


def test_without_credentials_it_waits_and_one_line_says_what_is_missing(connection: psycopg.Connection[Any]) -> None:
    settings = AlertSettings.model_validate({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "hush"})
    decide(connection, 0, CRITICAL)
    delivery = deliver(connection, settings.senders(), lambda: NOW)
    assert reasons_to_wait(settings, delivery) == [
        "1 by email, SENDGRID_API_KEY and SENDGRID_FROM_EMAIL and ADMIN_EMAIL not set",
        "1 by sms, TWILIO_PHONE_NUMBER and ADMIN_PHONE_NUMBER not set",
    ]
    # Over before there was anybody to tell: not told a month later.
    decide(connection, 1)
    assert deliver(connection, {}, lambda: at(2)).waiting == {}
    assert decide(connection, 3, CRITICAL) == 2


def test_what_is_over_is_still_told_when_the_provider_was_away(connection: psycopg.Connection[Any]) -> None:
    recorder = Recorder()
    decide(connection, 0, CRITICAL)
    decide(connection, 1)
    assert both(connection, 2, recorder) == 2


def test_two_senders_at_once_send_once(connection: psycopg.Connection[Any], database: str) -> None:
    recorder = Recorder()

    class Meanwhile(Recorder):
        def send(self, message: Outgoing) -> str:
            with psycopg.connect(database, autocommit=True) as other:
                assert send(other, 0, sms=recorder, email=recorder).sent == 0
            return super().send(message)

    slow = Meanwhile()
    decide(connection, 0, CRITICAL)
    assert both(connection, 0, slow) == 2
    assert (len(slow.sent), recorder.sent) == (2, [])


def test_by_sms_and_mail_at_the_sandbox(connection: psycopg.Connection[Any]) -> None:
    sender = "+12065550100"
    number = {"sid": "PN1", "account_sid": "AC" + "0" * 32, "phone_number": sender}
    with running(Dataset(twilio_phone_numbers=[number])) as sandbox:
        settings = AlertSettings.model_validate(
            {
                **sandbox.environment(),
                "TWILIO_PHONE_NUMBER": sender,
                "ADMIN_PHONE_NUMBER": "+19015550137",
                "ADMIN_EMAIL": "admin@example.com",
                "SENDGRID_FROM_EMAIL": "alerts@example.com",
            }
        )
        settle(connection, TYPES, [CRITICAL])
        assert deliver(connection, settings.senders()) == Delivery(2, 0, {})
        (message,) = sandbox.dataset.twilio_messages
        assert (message["to"], message["from"], message["body"]) == ("+19015550137", sender, BODY)
        assert "POST /v3/mail/send" in sandbox.requests
        # In doubt, but there: Twilio is asked, and nothing is sent.
        connection.execute(
            "update ops.alert_outbox set state = 'waiting', doubts = 1, in_doubt_since = now(), provider_id = null, next_attempt_at = now()"
            " where medium = 'sms'"
        )
        assert deliver(connection, settings.senders()) == Delivery(1, 0, {})
        assert len(sandbox.dataset.twilio_messages) == 1


@pytest.mark.parametrize("status", [400, 401, 429, 503])
def test_an_error_of_the_provider_names_no_number_and_no_secret(
    connection: psycopg.Connection[Any], status: int
) -> None:
    provider = Provider(0)
    provider.fail_with = status
    decide(connection, 0, CRITICAL)
    with serving(provider) as url:
        settings = AlertSettings.model_validate(settings_of(url))
        delivery = deliver(connection, settings.senders(), lambda: NOW)
    assert delivery.errors == (f"Twilio answered HTTP {status}, code 20000", f"SendGrid answered HTTP {status}")
    gone = AlertSettings.model_validate(settings_of(url))
    delivery = deliver(connection, gone.senders(), lambda: at(1))
    assert delivery.errors == (
        "Twilio could not be reached (ConnectionRefusedError)",
        "SendGrid could not be reached (ConnectionRefusedError)",
    )
    kept = connection.execute("select string_agg(outbox::text, ' ') from ops.alert_outbox as outbox").fetchone()
    assert kept is not None
    assert not any(value in kept[0] for value in ("+1555", "token", "SG.key", "example.com"))


def test_senders_that_are_killed_lose_nothing(database: str) -> None:
    outcome = run_crashes(database, kills=15)
    assert (outcome.lost, outcome.repeated, outcome.kills) == ([], [], 15)
    assert outcome.decided >= 60
    assert max(outcome.doubled.values(), default=1) <= 2


def test_the_operator_may_acknowledge_and_nothing_else(connection: psycopg.Connection[Any], database: str) -> None:
    decide(connection, 0, CRITICAL)
    with psycopg.connect(as_role(database, "metering_operator"), autocommit=True) as operator:
        (number,) = connection.execute("select id from ops.usage_alerts").fetchone() or ()
        operator.execute(
            "insert into ops.alert_acknowledgements (alert_id, acknowledged_by) values (%s, 'ada')", (number,)
        )
        operator.execute(
            "insert into ops.alert_notes (alert_id, noted_by, comment) values (%s, 'ada', 'known')", (number,)
        )
        for statement in (
            "select 1 from ops.usage_alerts",
            "select 1 from ops.alert_notes",
            "update ops.usage_alerts set message = ''",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                operator.execute(statement.encode())
    assert connection.execute("select acknowledged_by from ops.usage_alerts").fetchall() == [("ada",)]
