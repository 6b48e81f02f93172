"""What is posted: signed as the documentation verifies it, within bounds of time, to whom the settings say, and to tenants only what is theirs."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cli.doctor import OK, WARNING, WRONG, send_test_alerts
from cli.main import app
from costs.alerts import Condition, requesting, settle
from costs.alerts.outbox import deliver
from costs.alerts.requesting import Outgoing, SendFailed
from costs.alerts.senders import AlertSettings
from costs.alerts.webhooks import Slack, TenantWebhook, Webhook, secret_of, secret_of_tenant
from tests.receiver import Receiver, receiving

SECRET = "whsec_" + "c2VjcmV0" * 4
KEY = secret_of(SECRET) or b""
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MESSAGE = Outgoing("alert-1-1-webhook", "⚠️ Ada & <Söhne>", "Tenant acme.", payload={"type": "alert", "text": "Söhne"})
CAP = Condition("acme", "cap", "critical", "sms", "Usage of sms is over its monthly cap", {"used": "9"}, "Acme")
OTHERS = [
    Condition("acme", "threshold", "critical", None, "Monthly usage has exceeded $100.00", {}, "Acme"),
    Condition("bolt", "cap", "critical", "sms", "Usage of sms is over", {"used": "7"}, "Bolt"),
]
TYPES = ["cap", "threshold"]


def page_code() -> Callable[[dict[str, str], bytes, str], bool]:
    """Return the verification of docs/alerts.md."""
    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/alerts.md", "exec"), names)
    found: Callable[[dict[str, str], bytes, str], bool] = names["is_ours"]
    return found


def settings(**variables: str) -> AlertSettings:
    return AlertSettings.model_validate(variables)


def hooked(receiver: Receiver, **variables: str) -> AlertSettings:
    return settings(
        METERING_ALERT_WEBHOOK_URL=f"{receiver.url}/hook", METERING_ALERT_WEBHOOK_SECRET=SECRET, **variables
    )


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def test_the_page_verifies_what_is_sent_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    is_ours = page_code()
    with receiving() as receiver:
        Webhook(receiver.url, KEY).send(MESSAGE)
    (post,) = receiver.posts
    assert (post.headers["webhook-id"], post.content) == (MESSAGE.idempotency_id, dict(MESSAGE.payload or {}))
    assert is_ours(post.headers, post.body, SECRET)
    assert not is_ours(post.headers, post.body + b" ", SECRET)
    assert not is_ours({**post.headers, "webhook-id": "other"}, post.body, SECRET)
    assert not is_ours(post.headers, post.body, secret_of_tenant(KEY, "acme"))
    monkeypatch.setattr(time, "time", lambda: int(post.headers["webhook-timestamp"]) + 301)
    assert not is_ours(post.headers, post.body, SECRET)


def test_slack_is_sent_text_that_it_does_not_take_for_its_own_signs() -> None:
    with receiving() as receiver:
        Slack(f"{receiver.url}/services/T0").send(MESSAGE)
    assert receiver.posts[0].content == {"text": "⚠️ Ada &amp; &lt;Söhne&gt;\nTenant acme."}


@pytest.mark.parametrize(
    ("status", "in_doubt", "everything"),
    [(301, False, True), (400, False, False), (404, False, True), (500, False, True), (504, True, True)],
)
def test_what_a_receiver_s_refusal_means(status: int, in_doubt: bool, everything: bool) -> None:
    with receiving() as elsewhere, receiving(status, Location=elsewhere.url) as receiver:
        with pytest.raises(SendFailed, match=rf"^the webhook at 127\.0\.0\.1:\d+ answered HTTP {status}$") as failed:
            Webhook(f"{receiver.url}/secret-path", KEY).send(MESSAGE)
        assert (failed.value.in_doubt, failed.value.everything) == (in_doubt, everything)
    assert (len(receiver.posts), elsewhere.posts) == (1, [])


def test_a_password_kept_for_the_host_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with receiving() as receiver:
        Webhook(receiver.url, KEY).send(MESSAGE)
    assert "authorization" not in receiver.posts[0].headers


@pytest.mark.parametrize("slowly", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"], ids=["headers", "body"])
def test_a_receiver_that_sends_a_byte_now_and_then_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, slowly: bytes
) -> None:
    monkeypatch.setattr(requesting, "SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            taken, _ = listener.accept()
            with taken:
                try:
                    taken.sendall(slowly)
                    for _ in range(50):
                        time.sleep(0.1)
                        taken.sendall(b"x")
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(SendFailed, match="did not answer within") as failed:
            Webhook(f"http://127.0.0.1:{listener.getsockname()[1]}", KEY).send(MESSAGE)
    assert failed.value.in_doubt
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("variables", "critical", "warning"),
    [
        ({}, ["sms", "email"], []),
        ({"METERING_ALERT_SLACK_URL": "https://hooks.example.com/x"}, ["sms", "email", "slack"], ["slack"]),
        ({"METERING_ALERT_CHANNELS_CRITICAL": "SMS, webhook"}, ["sms", "webhook"], []),
        ({"METERING_ALERT_CHANNELS_WARNING": "email"}, ["sms", "email"], ["email"]),
        ({"METERING_ALERT_CHANNELS_CRITICAL": "none"}, [], []),
        ({"METERING_ALERT_CHANNELS_CRITICAL": "pager"}, ["sms", "email"], []),
        ({"METERING_TENANT_WEBHOOK_KEY": SECRET}, ["sms", "email", "tenant"], ["tenant"]),
    ],
)
def test_each_severity_has_its_media(variables: dict[str, str], critical: list[str], warning: list[str]) -> None:
    routes = settings(**variables).routes()
    assert (list(routes["critical"]), list(routes["warning"])) == (critical, warning)


def test_an_address_that_cannot_be_used_keeps_nobody_else_from_being_told() -> None:
    with receiving() as receiver:
        wrong = hooked(receiver, METERING_ALERT_SLACK_URL="file:///etc/passwd")
    assert list(wrong.senders()) == ["webhook"]
    assert wrong.obstacle("slack") == (
        "METERING_ALERT_SLACK_URL must be an http:// or https:// address without a password in it"
    )


def test_a_warning_goes_where_the_settings_say_once_and_again_after_a_failure(
    connection: psycopg.Connection[Any],
) -> None:
    warning = Condition("acme", "threshold", "warning", None, "Monthly usage has exceeded $50.00", {"c": 1.5}, "Acme")
    with receiving(503) as receiver:
        ready = hooked(receiver)
        assert settle(connection, TYPES, [warning], routes=ready.routes(), now=NOW).queued == 1
        assert deliver(connection, ready.senders(), lambda: NOW).failed == 1
        receiver.status = 204
        for minutes in (0.5, 2, 3):
            deliver(connection, ready.senders(), lambda minutes=minutes: NOW + timedelta(minutes=minutes))  # type: ignore[misc]
    first, second = receiver.posts
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    told = first.content
    assert (told["id"], told["type"], told["createdAt"]) == (
        first.headers["webhook-id"],
        "alert",
        "2026-11-20T12:00:00Z",
    )
    assert told["alert"].pop("id") > 0
    assert told["alert"] == {
        "tenantId": "acme",
        "tenantName": "Acme",
        "type": "threshold",
        "severity": "warning",
        "channel": None,
        "subject": None,
        "message": "Monthly usage has exceeded $50.00",
        "details": {"c": 1.5},
        "openedAt": "2026-11-20T12:00:00Z",
    }


def add_tenants(connection: psycopg.Connection[Any], **urls: str | None) -> None:
    for tenant, url in urls.items():
        connection.execute(
            "insert into raw.tenants (tenant_id, name, status, usage_hard_stop_enabled, webhook_url) values (%s, %s, 'active', false, %s)",
            (tenant, tenant, url),
        )


def test_a_tenant_is_told_of_its_own_cap_once(connection: psycopg.Connection[Any]) -> None:
    with receiving() as receiver:
        add_tenants(connection, acme=receiver.url, bolt=None)
        ready = settings(METERING_TENANT_WEBHOOK_KEY=SECRET, METERING_TENANT_WEBHOOK_PRIVATE="true")
        routes = {"critical": ["tenant"]}
        assert settle(connection, TYPES, [CAP, *OTHERS], routes=routes, now=NOW).queued == 1
        # Who has seen it has not told the tenant.
        connection.execute(
            "insert into ops.alert_acknowledgements (alert_id, acknowledged_by) select id, 'ada' from ops.usage_alerts"
        )
        assert deliver(connection, ready.senders(), lambda: NOW).sent == 1
        later = NOW + timedelta(hours=25)
        assert settle(connection, TYPES, [CAP, *OTHERS], routes=routes, now=later).queued == 0
    (post,) = receiver.posts
    assert post.content == {
        "id": post.headers["webhook-id"],
        "type": "usage.over_cap",
        "createdAt": "2026-11-20T12:00:00Z",
        "tenantId": "acme",
        "channel": "sms",
        "message": "Usage of sms is over its monthly cap",
        "details": {"used": "9"},
    }
    is_ours = page_code()
    assert is_ours(post.headers, post.body, secret_of_tenant(KEY, "acme"))
    assert not is_ours(post.headers, post.body, secret_of_tenant(KEY, "bolt"))
    assert not is_ours(post.headers, post.body, SECRET)


def test_no_tenant_is_told_unless_it_is_switched_on(connection: psycopg.Connection[Any]) -> None:
    add_tenants(connection, acme="http://127.0.0.1:1")
    assert settle(connection, TYPES, [CAP], routes=settings().routes(), now=NOW).queued == 2
    assert connection.execute("select medium from ops.alert_outbox order by 1").fetchall() == [("email",), ("sms",)]


def test_a_tenant_whose_webhook_fails_keeps_no_other_from_being_told(connection: psycopg.Connection[Any]) -> None:
    with receiving() as receiver, receiving(500) as broken:
        add_tenants(connection, acme=broken.url, bolt=receiver.url)
        sender = {"tenant": TenantWebhook(KEY, may_be_private=True)}
        settle(connection, TYPES, [CAP, *OTHERS], routes={"critical": ["tenant"]}, now=NOW)
        delivery = deliver(connection, sender, lambda: NOW)
        assert (delivery.sent, delivery.errors) == (1, ("the webhook of tenant acme answered HTTP 500",))
        # Taken out of the directory: there is nobody to tell.
        connection.execute("update raw.tenants set webhook_url = null")
        assert deliver(connection, sender, lambda: NOW + timedelta(hours=1)).waiting == {}
    assert (len(receiver.posts), len(broken.posts)) == (1, 1)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
        "localhost",
        "224.0.0.1",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:a00:1::1]",
        "[::10.0.0.1]",
        "[::ffff:10.0.0.1]",
    ],
)
def test_a_tenant_s_address_does_not_lead_into_our_network(host: str) -> None:
    message = Outgoing("x", "x", "x", payload={}, tenant_id="acme", target=f"http://{host}:1/latest")
    with pytest.raises(SendFailed, match="not at a public address") as failed:
        TenantWebhook(KEY, may_be_private=False).send(message)
    assert (failed.value.in_doubt, failed.value.everything) == (False, False)


def test_a_name_that_leads_elsewhere_when_it_is_asked_again_is_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def changing(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return look_up("8.8.8.8" if len(asked) == 1 else "127.0.0.1", *rest, **more)

    with receiving() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", changing)
        target = receiver.url.replace("127.0.0.1", "tenant.example")
        message = Outgoing("x", "x", "x", payload={}, tenant_id="acme", target=target)
        with pytest.raises(SendFailed, match="could not be reached") as failed:
            TenantWebhook(KEY, may_be_private=False).send(message)
        TenantWebhook(KEY, may_be_private=True).send(message)
    assert (failed.value.in_doubt, failed.value.everything) == (False, False)
    assert asked == ["tenant.example"] * 3
    assert len(receiver.posts) == 1


def test_a_proxy_is_not_asked_for_an_address_that_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look the name up again, and may be led elsewhere than to the address that was checked."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def changing(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return look_up("8.8.8.8" if len(asked) == 1 else "127.0.0.1", *rest, **more)

    with receiving() as receiver, receiving() as proxy:
        monkeypatch.setattr(socket, "getaddrinfo", changing)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        target = f"{receiver.url.replace('127.0.0.1', 'tenant.example')}/hook"
        message = Outgoing("x", "x", "x", payload={}, tenant_id="acme", target=target)
        with pytest.raises(SendFailed, match="could not be reached"):
            TenantWebhook(KEY, may_be_private=False).send(message)
        assert (asked, proxy.posts) == (["tenant.example"] * 2, [])
        TenantWebhook(KEY, may_be_private=True).send(message)
    assert [post.path for post in proxy.posts] == [target]
    assert receiver.posts == []


@pytest.mark.parametrize("address", ["http://x.example:99999/", "http://[::::]/", "http://a..b/"])
@pytest.mark.parametrize("may_be_private", [True, False])
def test_an_address_that_is_none_fails_for_its_tenant_alone(address: str, may_be_private: bool) -> None:
    message = Outgoing("x", "x", "x", payload={}, tenant_id="acme", target=address)
    with pytest.raises(SendFailed, match="the webhook of tenant acme") as failed:
        TenantWebhook(KEY, may_be_private=may_be_private).send(message)
    assert (failed.value.in_doubt, failed.value.everything) == (False, False)


def test_the_doctor_sends_a_test_by_each_medium(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving(500) as broken:
        monkeypatch.setenv("METERING_ALERT_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("METERING_ALERT_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("METERING_ALERT_SLACK_URL", broken.url)
        found = {finding.name: finding for finding in send_test_alerts()}
    assert {name: finding.state for name, finding in found.items()} == {
        "test by sms": WARNING,
        "test by email": WARNING,
        "test by webhook": OK,
        "test by slack": WRONG,
    }
    assert re.fullmatch(r"Slack at 127\.0\.0\.1:\d+ answered HTTP 500", found["test by slack"].detail)
    (post,) = receiver.posts
    assert post.content["type"] == "test"
    assert page_code()(post.headers, post.body, SECRET)
    assert post.headers["webhook-id"] in found["test by webhook"].detail


def test_the_secret_of_a_tenant_is_printed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_TENANT_WEBHOOK_KEY", SECRET)
    printed = CliRunner().invoke(app, ["tenant-webhook-secret", "--tenant", "acme"])
    assert (printed.exit_code, printed.output) == (0, f"{secret_of_tenant(KEY, 'acme')}\n")
