"""The operator's forms and the progress page: what they do, who may, and that nobody else's page can send them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, bearer, execute
from tests.api.operations.conftest import FakeDagster, dagster
from tests.dashboard.conftest import ORIGIN, Page, sign_in, signed_in_app

__all__ = ["dagster"]

ALERTS = """
insert into ops.usage_alerts (id, tenant_id, alert_type, severity, message, resolved_at)
overriding system value values
    (1, 'acme', 'threshold', 'critical', 'Monthly usage has exceeded $100.00', null),
    (2, 'acme', 'cap', 'warning', 'near', '2026-11-19 10:00+00')
"""
FORM = "/admin/alerts/1/acknowledge"


def operator_app(
    start_app: AppStarter, url: str, dagster: FakeDagster, role: str = "root_admin", tenant: str | None = None
) -> AbstractContextManager[TestClient]:
    variables = {"METERING_API_OPERATIONS": "true", "METERING_DAGSTER_URL": dagster.url}
    return signed_in_app(start_app, url, role, tenant, **variables)


@pytest.fixture
def owner(start_app: AppStarter, own_database: str, dagster: FakeDagster) -> Iterator[TestClient]:
    """A browser in which the owner is signed in, who may command."""
    execute(own_database, ALERTS)
    with operator_app(start_app, own_database, dagster) as client:
        yield client


def send(client: TestClient, path: str, *, token: str | None = None, origin: str = ORIGIN, **fields: str) -> Any:
    """Send a form as a page of ours would: with the session's token, read from the page that is open."""
    if token is None:
        token = Page(client.get("/admin/rebuilds/none").text).inputs["csrf_token"]
    return client.post(path, data={"csrf_token": token, **fields}, headers={"Origin": origin})


def acknowledged(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute("select alert_id, acknowledged_by from ops.alert_acknowledgements").fetchall()


def test_acknowledging_leads_back_to_where_the_form_was(owner: TestClient, own_database: str) -> None:
    answer = send(owner, FORM, next="/admin/alerts?state=open&tenantId=acme")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/alerts?state=open&tenantId=acme")
    assert acknowledged(own_database) == [(1, "root")]
    assert send(owner, FORM).headers["location"] == "/admin/alerts"


def test_several_are_handled_by_one_form(owner: TestClient, own_database: str) -> None:
    fields_of_page = re.findall(r'name="(\w+)"', owner.get("/admin/alerts").text)
    assert {"id", "comment", "action", "hours"} <= set(fields_of_page)
    for fields in ({"action": "acknowledge"}, {"action": "comment", "id": "1", "comment": " "}):
        assert send(owner, "/admin/alerts", **fields).status_code == 303
    assert acknowledged(own_database) == []
    assert send(owner, "/admin/alerts", action="comment", id="1", comment="known").status_code == 303
    assert send(owner, "/admin/alerts", action="snooze", id="1", hours="4").status_code == 303
    assert "Snoozed until" in owner.get("/admin/alerts").text
    assert ": known<" in owner.get("/admin/alerts").text
    answer = send(owner, "/admin/alerts", action="acknowledge", id="1", next="/admin/alerts?state=open")
    assert answer.headers["location"] == "/admin/alerts?state=open"
    assert acknowledged(own_database) == [(1, "root")]


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/api/x"]
)
def test_it_leads_nowhere_else(owner: TestClient, target: str) -> None:
    assert send(owner, FORM, next=target).headers["location"] == "/admin/alerts"


def test_trouble_is_a_page_that_says_what(owner: TestClient) -> None:
    for path, status, words in (
        ("/admin/alerts/2/acknowledge", 409, "The alert is resolved"),
        ("/admin/alerts/9/acknowledge", 404, "There is no such alert."),
    ):
        answer = send(owner, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert words in Page(answer.text).text


@pytest.mark.parametrize(("path", "fields"), [(FORM, {}), ("/admin/rebuild", {"days": "7"})])
def test_a_forged_form_changes_nothing(
    owner: TestClient, own_database: str, dagster: FakeDagster, path: str, fields: dict[str, str]
) -> None:
    token = Page(owner.get("/admin/rebuilds/none").text).inputs["csrf_token"]
    assert send(owner, path, token="", **fields).status_code == 403
    assert send(owner, path, token="x" * 88, **fields).status_code == 403
    assert send(owner, path, token=token, origin="https://evil.example", **fields).status_code == 403
    assert send(owner, path, token=token, origin="null", **fields).status_code == 403
    answer = owner.post(path, data={"csrf_token": token, **fields}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert (acknowledged(own_database), dagster.launches) == ([], [])
    assert send(owner, path, token=token, **fields).status_code == 303


def test_a_tenant_and_a_stranger_may_not(start_app: AppStarter, own_database: str, dagster: FakeDagster) -> None:
    execute(own_database, ALERTS)
    with operator_app(start_app, own_database, dagster, "tenant_admin", "acme") as client:
        token = Page(client.get("/admin/rebuilds/none").text).inputs["csrf_token"]
        assert client.get("/admin/rebuilds/none").status_code == 403
        for path in (FORM, "/admin/rebuild"):
            assert send(client, path, token=token).status_code == 403
        client.cookies.clear()
        for path in (FORM, "/admin/rebuild"):
            answer = client.post(path, data={"csrf_token": token}, headers={"Origin": ORIGIN})
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (acknowledged(own_database), dagster.launches) == ([], [])


def test_without_the_setting_there_is_no_form_s_route(as_root: TestClient) -> None:
    for path in (FORM, "/admin/rebuild"):
        assert as_root.post(path, headers={"Origin": ORIGIN}).status_code in (404, 405)
    assert as_root.get("/admin/rebuilds/backfill1").status_code == 404


def test_a_rebuild_leads_to_its_page_and_a_second_click_to_the_same(owner: TestClient, dagster: FakeDagster) -> None:
    first = send(owner, "/admin/rebuild", days="3")
    assert (first.status_code, first.headers["location"]) == (303, "/admin/rebuilds/backfill1")
    assert dagster.launches[0]["partitionNames"] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    second = send(owner, "/admin/rebuild", days="3")
    assert second.headers["location"] == "/admin/rebuilds/backfill1?found=1"
    assert "was under way already" in Page(owner.get(second.headers["location"]).text).text
    for days in ("0", "400", "x"):
        assert send(owner, "/admin/rebuild", days=days).status_code == 422


def test_dagster_s_silence_is_a_page_with_the_remedy(owner: TestClient, dagster: FakeDagster) -> None:
    dagster.raw = (502, b"bad gateway")
    answer = send(owner, "/admin/rebuild", days="3")
    assert answer.status_code == 503
    assert "correct the address" in Page(answer.text).text


def test_the_progress_page_shows_what_the_route_says_and_refreshes_itself_while_it_runs(
    owner: TestClient, dagster: FakeDagster
) -> None:
    page_url = send(owner, "/admin/rebuild", days="3").headers["location"]
    run: dict[str, Any] = {
        "runId": "0a1b2c3d4e",
        "status": "STARTED",
        "startTime": 1_795_176_001.0,
        "endTime": None,
        "executionPlan": {"steps": [{"key": "directory"}, {"key": "twilio"}, {"key": "marts"}]},
        "stepStats": [{"stepKey": "directory", "status": "SUCCESS"}],
    }
    dagster.backfills["backfill1"]["runs"] = [run]

    def compare() -> Page:
        answer = owner.get(page_url)
        assert answer.status_code == 200
        body = owner.get("/api/admin/usage/rebuild/backfill1", headers=bearer("root_admin")).json()
        page = Page(answer.text)
        for field in ("status", "requestedAt", "dataAsOf"):
            assert _moment(page.fields[field][1]) == _moment(body[field]), field
        assert page.fields["days"][0] == str(body["days"])
        for field in ("stepsSucceeded", "steps"):
            assert page.fields[f"runs.0a1b2c3d4e.{field}"][0] == str(body["runs"][0][field]), field
        assert body["url"] in page.links
        assert body["runs"][0]["url"] in page.links
        return page

    compare()
    running = owner.get(page_url)
    assert running.headers["refresh"] == "3"
    assert "<script" not in running.text.replace('<script src="/static/metering.js', "")
    paused = owner.get(f"{page_url}?pause=1")
    assert "refresh" not in paused.headers
    assert page_url in Page(paused.text).links

    dagster.backfills["backfill1"].update(status="COMPLETED_FAILED", endTimestamp=1_795_176_060.0)
    run["stepStats"].append({"stepKey": "twilio", "status": "FAILURE"})
    page = compare()
    assert "It failed at twilio" in page.text
    assert "refresh" not in owner.get(page_url).headers


def test_what_dagster_says_is_escaped(owner: TestClient, dagster: FakeDagster) -> None:
    page_url = send(owner, "/admin/rebuild", days="3").headers["location"]
    dagster.backfills["backfill1"]["tags"].append(
        {"key": "metering/requested_by", "value": "<script>alert(1)</script>"}
    )
    text = owner.get(page_url).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_behind_a_root_path_links_and_redirects_keep_it(
    start_app: AppStarter, own_database: str, dagster: FakeDagster
) -> None:
    execute(own_database, ALERTS)
    variables = {"METERING_API_OPERATIONS": "true", "METERING_DAGSTER_URL": dagster.url}
    with start_app(own_database, **variables) as client:
        inner = TestClient(client.app, f"{ORIGIN}/metering", root_path="/metering")
        sign_in(inner, "root_admin")
        answer = send(inner, FORM, next="/metering/admin/alerts?state=open")
        assert answer.headers["location"] == "/metering/admin/alerts?state=open"
        assert send(inner, "/admin/rebuild").headers["location"] == "/metering/admin/rebuilds/backfill1"


def _moment(text: str | None) -> str | None:
    return text.replace("+00:00", "Z") if text else text
