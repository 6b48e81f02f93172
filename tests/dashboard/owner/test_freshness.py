"""`/admin/data-freshness` shows what `/api/admin/usage/freshness` returns, with ways into the Dagster UI."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute
from tests.dashboard.owner.conftest import as_owner, check_figures, json_of, page_of

PATH = "/admin/data-freshness"
ROUTE = "/api/admin/usage/freshness"


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


def test_it_is_sorted_searched_and_sent_as_a_file(own_database: str, start_app: AppStarter, root: Headers) -> None:
    execute(
        own_database,
        "insert into ops.source_reads values"
        " ('stripe_balance_transactions', 'platform', '2026-11-19', 'stripe', 'load-2', '2026-11-20 10:00+00', 9000, 0)",
    )
    with as_owner(start_app, own_database) as browser:
        parameters = {"sort": "rowCount", "order": "desc"}
        body = json_of(browser, root, ROUTE, **parameters)
        counts = [item["rowCount"] for item in body["items"]]
        assert (counts, counts[0]) == (sorted(counts, reverse=True), 9000)
        page = page_of(browser, PATH, **parameters)
        check_figures(page, body)
        assert f"{PATH}?sort=rowCount&order=asc" in page.links
        # What was never read has no time, and stands last whichever way.
        for order in ("asc", "desc"):
            items = json_of(browser, root, ROUTE, sort="lastReadAt", order=order)["items"]
            read = [item["lastReadAt"] for item in items if item["lastReadAt"]]
            assert read == sorted(read, reverse=order == "desc")
            assert [item["lastReadAt"] for item in items][: len(read)] == read
        found = json_of(browser, root, ROUTE, search="STRIPE_bal")["items"]
        assert [item["tableName"] for item in found] == ["stripe_balance_transactions"]
        assert "No source matches this search." in page_of(browser, PATH, search="zzz").text
        (file,) = [link for link in page.links if "/export" in link]
        text = browser.get(file).text
        assert text == browser.get(file.replace(PATH, ROUTE), headers=root).text
        assert text.splitlines()[1].startswith("stripe,stripe_balance_transactions,2026-11-20T10:00:00Z,")
