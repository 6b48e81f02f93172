"""`/admin/data-freshness` shows what `/api/admin/usage/freshness` returns, with ways into the Dagster UI."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute
from tests.dashboard.owner.conftest import as_owner, check_figures, json_of, page_of

PATH = "/admin/data-freshness"


def test_every_figure_is_the_route_s(as_root: TestClient, root: Headers) -> None:
    seen = check_figures(page_of(as_root, PATH), json_of(as_root, root, "/api/admin/usage/freshness"))
    row = ("lastRunAt", "lastReadAt", "lastUsageDate", "rowCount", "rejectedCount", "lastError")
    assert seen >= {f"items.0.{name}" for name in row}
    assert seen >= {"dataAsOf", "proof.lastProvenAt", "proof.provenDays", "proof.differentDays.0"}


def test_a_failed_run_is_said_first(as_root: TestClient) -> None:
    page = page_of(as_root, PATH)
    assert "The last run of Twilio failed." in page.text
    assert "HTTP 503" in page.text


def test_links_into_dagster_only_where_it_is_known(seeded: str, start_app: AppStarter) -> None:
    with as_owner(start_app, seeded) as browser:
        assert "Dagster" not in page_of(browser, PATH).text
    with as_owner(start_app, seeded, METERING_DAGSTER_URL="http://127.0.0.1:3000/") as browser:
        links = page_of(browser, PATH).links
    assert "http://127.0.0.1:3000/assets/raw/twilio_messages" in links
    assert "http://127.0.0.1:3000/runs" in links


def test_before_the_first_build(own_database: str, start_app: AppStarter) -> None:
    execute(own_database, "truncate ops.builds, ops.source_reads, ops.ingest_runs, ops.proofs cascade")
    with as_owner(start_app, own_database) as browser:
        page = page_of(browser, PATH)
    assert "No source has been read yet." in page.text
    assert page.fields["proof.provenDays"][0] == "0"
