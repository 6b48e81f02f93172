"""The owner's commands in a real browser, by their forms: acknowledge an alert, rebuild days and watch it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect

from tests.api.conftest import execute
from tests.api.operations.conftest import FakeDagster, dagster
from tests.browser.conftest import DESKTOP, PHONE, Visit, check_accessible, check_fits, screenshot, served, tab_stops
from tests.proof import all_in_proof

__all__ = ["dagster"]

ALERTS = """
insert into ops.usage_alerts (id, tenant_id, alert_type, severity, message)
overriding system value values (901, 'acme', 'threshold', 'critical', 'Monthly usage has exceeded $100.00')
"""
RUN: dict[str, Any] = {
    "runId": "0a1b2c3d-4e5f",
    "status": "STARTED",
    "startTime": 1_795_176_001.0,
    "endTime": None,
    "executionPlan": {"steps": [{"key": "directory"}, {"key": "twilio"}, {"key": "marts"}]},
    "stepStats": [{"stepKey": "directory", "status": "SUCCESS"}],
}


@pytest.fixture
def operator_site(own_world: str, dagster: FakeDagster) -> Iterator[str]:
    """Address of an application with the commands, over a database and a Dagster of the test's own."""
    execute(own_world, ALERTS)
    with served(own_world, METERING_API_OPERATIONS="true", METERING_DAGSTER_URL=dagster.url) as address:
        yield address


@pytest.mark.parametrize("javascript", [True, False])
def test_acknowledging_from_the_alerts_page(visit: Visit, operator_site: str, own_world: str, javascript: bool) -> None:
    page = visit("root_admin", at=operator_site, javascript=javascript).open("/admin/alerts?severity=critical")
    button = page.get_by_role("button", name="Acknowledge “Monthly usage has exceeded $100.00”")
    button.click()
    assert page.url == f"{operator_site}/admin/alerts?severity=critical"
    expect(button).to_have_count(0)
    expect(page.get_by_text("Acknowledged by root-admin")).to_be_visible()
    with psycopg.connect(own_world) as connection:
        rows = connection.execute("select alert_id, acknowledged_by from ops.alert_acknowledgements").fetchall()
    assert rows == [(901, "root-admin")]


def test_acknowledging_from_the_tenant_s_details_by_keyboard(visit: Visit, operator_site: str) -> None:
    page = visit("root_admin", at=operator_site).open("/admin/usage/acme")
    button = page.get_by_role("button", name="Acknowledge “Monthly usage has exceeded $100.00”")
    assert any(stop["text"].startswith("Acknowledge") and stop["outline"] != "none" for stop in tab_stops(page))
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_count(0)
    assert page.url == f"{operator_site}/admin/usage/acme"


@pytest.mark.parametrize(
    ("size", "theme"), all_in_proof(list(product(("phone", "desktop"), ("light", "dark"))), [("phone", "dark")])
)
def test_rebuilding_and_watching_it_to_the_end(
    visit: Visit, operator_site: str, dagster: FakeDagster, size: str, theme: str
) -> None:
    # Without scripts: the form posts, and the page loads itself again.
    visitor = visit(
        "root_admin",
        at=operator_site,
        javascript=False,
        dark=theme == "dark",
        size=PHONE if size == "phone" else DESKTOP,
    )
    page = visitor.open("/admin/data-freshness")
    check_fits(page)
    page.get_by_label("Today and the days before, in all").fill("3")
    page.get_by_role("button", name="Rebuild").click()
    assert page.url == f"{operator_site}/admin/rebuilds/backfill1"
    status = page.locator('[data-field="status"]')
    expect(status).to_have_text("Waiting")
    run = {**RUN, "stepStats": list(RUN["stepStats"])}
    dagster.backfills["backfill1"]["runs"] = [run]
    expect(status).to_have_text("Running", timeout=10_000)
    expect(page.locator('[data-field="runs.0a1b2c3d-4e5f.stepsSucceeded"]')).to_have_text("1")
    screenshot(page, f"rebuild-running-{size}-{theme}")
    run["status"] = "SUCCESS"
    dagster.backfills["backfill1"].update(status="COMPLETED_SUCCESS", endTimestamp=1_795_176_060.0)
    expect(status).to_have_text("Done", timeout=10_000)
    check_fits(page)

    # Axe is a script: the same pages once more, with scripts.
    scripted = visit("root_admin", at=operator_site, dark=theme == "dark", size=PHONE if size == "phone" else DESKTOP)
    page = scripted.open("/admin/rebuilds/backfill1")
    check_accessible(page)
    assert page.get_by_role("link", name="Open in Dagster").get_attribute("href") == f"{dagster.url}/runs/b/backfill1"
    dagster.backfills["backfill1"].update(status="COMPLETED_FAILED")
    run["stepStats"].append({"stepKey": "twilio", "status": "FAILURE"})
    page.reload()
    expect(page.get_by_text("It failed at twilio")).to_be_visible()
    check_accessible(page)
    screenshot(page, f"rebuild-failed-{size}-{theme}")
    page = scripted.open("/admin/data-freshness")
    check_accessible(page)


def test_without_the_setting_there_is_no_button(visit: Visit) -> None:
    visitor = visit("root_admin")
    for path in ("/admin/alerts", "/admin/data-freshness", "/admin/usage/acme"):
        page = visitor.open(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.locator('form[method="post"]').count() == page.locator('form[action$="/sign-out"]').count()
