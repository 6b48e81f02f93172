"""`metering demo push-over-cap`: within one rolling run everything that shows a cap has turned, and the guard blocks."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from api.auth.tokens import mint
from api.main import create_app
from cli import demo_state, folders
from cli.errors import CommandFailed, UsageError
from cli.push_over_cap import hard_stop, run_push, sender_of
from sandbox import Dataset
from tests.dashboard.conftest import Page
from tests.e2e.system import System

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 10)
SENTENCE = "Usage cap reached for this channel. Please contact support or update your plan."


@pytest.fixture
def dataset() -> Dataset:
    """At full volume: acme is near its cap of text messages, and well-known others are not."""
    return Dataset.generate(seed=11, tenants=6, first=FIRST, last=LAST)


@pytest.fixture
def demo(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A system that says of itself what a running demo says; nothing is built yet."""
    monkeypatch.setattr(folders, "local_folder", lambda: tmp_path / "local")
    demo_state.DemoState(
        database=demo_state.location_of(system.database_url),
        days=10,
        environment=demo_state.kept_environment(system.sandbox.environment()),
        sandbox_url=system.sandbox.url,
    ).save()
    return system


def headers(role: str, tenant: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(role, tenant, timedelta(hours=1), os.environ['METERING_JWT_SECRET'])}"}


def owner_statuses(client: TestClient) -> dict[str, str]:
    answer: httpx.Response = client.get("/api/admin/billing/usage/system-summary", headers=headers("root_admin"))
    assert answer.status_code == 200, answer.text
    statuses = {item["tenantId"]: item["status"] for item in answer.json()["items"]}
    # The owner's table says the same of each.
    page = open_page(client, "/admin/system-usage", "root_admin")
    shown = [page.fields[f"items.{row}.status"][1] for row in range(len(statuses))]
    assert shown == list(statuses.values())
    return statuses


def open_page(client: TestClient, path: str, role: str, tenant: str | None = None) -> Page:
    answer = client.get(path, headers=headers(role, tenant))
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


@pytest.mark.timeout(300)
def test_chip_owner_table_and_access_turn_within_one_rolling_run(demo: System) -> None:
    demo.refresh(FIRST.isoformat(), LAST.isoformat())
    with pytest.raises(UsageError, match="has no SMS cap"):
        run_push("cedar-stone-legal", console=Console(quiet=True))
    with TestClient(create_app()) as client:
        owner_before = owner_statuses(client)
        page_before = open_page(client, "/settings/billing-usage", "tenant_admin", "acme")
        sent_before = len(demo.sandbox.dataset.twilio_messages)
        pushed = run_push("acme", console=Console(quiet=True))
        owner_after = owner_statuses(client)
        page_after = open_page(client, "/settings/billing-usage", "tenant_admin", "acme")

    assert page_before.fields["channels.sms.status"][1] == "warning"
    assert "You're nearing your monthly usage cap." in page_before.text
    assert page_after.fields["channels.sms.status"][1] == "over_cap"
    assert "You've exceeded your monthly usage cap for SMS. Some actions may be blocked." in page_after.text
    assert page_after.fields["channels.sms.used"][1] == f"{pushed.after.used:g}"
    assert (pushed.before.status, pushed.before.allowed, pushed.before.reason) == ("warning", True, None)
    assert (pushed.after.status, pushed.after.tenant_status) == ("over_cap", "over_cap")
    assert (pushed.after.allowed, pushed.after.reason) == (False, SENTENCE)
    assert pushed.after.cap is not None
    # Just over: the last message that was sent is the one that passed the cap.
    assert pushed.after.cap < pushed.after.used <= pushed.after.cap + 10

    assert owner_before["acme"] == "warning"
    assert owner_after["acme"] == "over_cap"
    # Nobody else's status has changed.
    assert {tenant: status for tenant, status in owner_after.items() if tenant != "acme"} == {
        tenant: status for tenant, status in owner_before.items() if tenant != "acme"
    }

    assert pushed.blocked == SENTENCE
    assert (
        len(demo.sandbox.dataset.twilio_messages) == sent_before + pushed.messages
    )  # the blocked one is not among them
    assert demo.query(
        "select tenant_id, channel, allowed, reason from ops.access_decisions where tenant_id = 'acme'"
    ) == [("acme", "sms", False, SENTENCE)]


def test_who_cannot_be_pushed_is_told_why(demo: System, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = Console(quiet=True)
    with pytest.raises(UsageError, match="the demo has no tenant nobody"):
        run_push("nobody", console=quiet)
    monkeypatch.setenv("METERING_DATABASE_URL", "postgresql://owner:secret@elsewhere/production")
    with pytest.raises(CommandFailed, match="not in elsewhere/production") as caught:
        run_push("acme", console=quiet)
    assert "secret" not in str(caught.value)
    demo_state.state_file().unlink()
    with pytest.raises(CommandFailed, match="run `make demo`"):
        run_push("acme", console=quiet)


def test_hard_stop_is_switched_on_once_and_nothing_else_changes(tmp_path: Path, dataset: Dataset) -> None:
    dataset.write_directory(tmp_path)
    before = (tmp_path / "tenants.csv").read_text().splitlines()
    assert hard_stop(tmp_path, "northwind-realty")
    assert not hard_stop(tmp_path, "northwind-realty")
    after = (tmp_path / "tenants.csv").read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        ("northwind-realty,Northwind Realty,elite,active,false", "northwind-realty,Northwind Realty,elite,active,true")
    ]
    assert set(sender_of(tmp_path, "acme")) == {"messaging_service"}
    assert set(sender_of(tmp_path, "northwind-realty")) == {"subaccount"}
    assert set(sender_of(tmp_path, "harbor-fitness-club")) == {"phone_number"}
