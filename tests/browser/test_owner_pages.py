"""The owner's pages in a real browser, over a thousand tenants: light and dark, phone and desktop, keyboard, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import psycopg
import pytest
from playwright.sync_api import expect

from tests.api.admin.test_alerts import ALERTS
from tests.api.conftest import clone, execute
from tests.browser.conftest import (
    DESKTOP,
    PHONE,
    Visit,
    check_accessible,
    check_compressed_size,
    check_fits,
    populate,
    screenshot,
    served,
    tab_stops,
)
from tests.dashboard.owner.conftest import CROWD
from tests.proof import all_in_proof

SIZES = {"phone": PHONE, "desktop": DESKTOP}
THEMES = ("light", "dark")
PAGES = {
    "system-usage": "/admin/system-usage?limit=12",
    "costs": "/admin/usage?limit=12",
    "tenant-details": "/admin/usage/acme",
    "explanation": "/admin/usage/acme/explain?date=2026-11-19",
    "alerts": "/admin/alerts?type=cap",
    "reconciliation": "/admin/reconciliation?limit=12",
    "data-freshness": "/admin/data-freshness",
    "unattributed": "/admin/unattributed?period=2026-10",
}
# Whose parts stand beside each other where there is room; the others are one below the other.
WIDEST = ("system-usage", "costs", "tenant-details")
STATES = {
    "nothing found": "/admin/system-usage?search=nobody",
    "by tenant": "/admin/system-usage?by=tenant&limit=12",
    "against last month": "/admin/system-usage?by=month&period=2026-10&limit=12",
    "everything attributed": "/admin/unattributed?period=2026-09",
    "filtered": "/admin/system-usage?status=over_cap%2Cwarning&minAiSharePercent=30&plan=pro&limit=12",
    "page two": "/admin/usage?limit=5&page=2",
    "a quiet tenant": "/admin/usage/cobalt",
    "a year": "/admin/usage/harbor?startDate=2026-08-20",
    "what nobody owns": "/admin/usage/unattributed",
    "markup as a name": "/admin/usage/script",
    "no alerts": "/admin/alerts?tenantId=nobody",
    "nothing to reconcile": "/admin/reconciliation?tenantId=nobody",
    "a quiet day": "/admin/usage/acme/explain?date=2026-11-02",
    "no such tenant": "/admin/usage/nobody",
}


@pytest.fixture(scope="module")
def crowd(server: str, template: str) -> Iterator[str]:
    """URL of the pages' database with a thousand tenants more, as its owner."""
    with clone(server, template) as url:
        populate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(CROWD.read_bytes())
        execute(
            url,
            ALERTS,
            "insert into ops.access_decisions (tenant_id, channel, units, allowed, decided_at)"
            " select 'acme', (array['sms', 'ai'])[1 + n % 2], 1, false, '2026-11-19 10:00+00' from generate_series(1, 7) n",
            # A word that no line of a phone has room for, as paths and addresses are.
            "insert into ops.usage_alerts (tenant_id, alert_type, severity, subject, message) values ('unattributed', 'run_failed', 'critical',"
            " 'rolling', 'tenants.csv is missing from /var/lib/metering/deployments/production/directory')",
            # Providers that have not answered for some days, and are read from some day on.
            "insert into ops.source_reads select table_name, 'A', day::date, provider, 'load-2', now(), 0, 0"
            " from (values ('twilio_messages', 'twilio', 3), ('openai_usage_completions', 'openai', 1), ('sendgrid_stats', 'sendgrid', 6))"
            " as sources (table_name, provider, first)"
            " cross join lateral generate_series(timestamp '2026-10-31' + first * interval '1 day', timestamp '2026-11-20', '1 day') as day"
            " where provider <> 'twilio' or day not between '2026-11-12' and '2026-11-14' on conflict do nothing",
            "analyze",
        )
        yield url


@pytest.fixture(scope="module")
def office(crowd: str) -> Iterator[str]:
    """Address of the application with everything on that an owner can have."""
    with served(crowd, METERING_API_OPERATIONS="true", METERING_DAGSTER_URL="http://127.0.0.1:3000") as address:
        yield address


@pytest.mark.parametrize(
    ("name", "size", "theme"),
    all_in_proof(
        list(product(PAGES, SIZES, THEMES)),
        [(name, "phone", "light") for name in PAGES]
        + [(name, "desktop" if name in WIDEST else "phone", "dark") for name in PAGES],
    ),
)
def test_it_is_accessible_and_fits(visit: Visit, office: str, name: str, size: str, theme: str) -> None:
    page = visit("root_admin", dark=theme == "dark", size=SIZES[size], at=office).open(PAGES[name])
    check_fits(page)
    check_accessible(page)
    screenshot(page, f"owner-{name}-{size}-{theme}")


@pytest.mark.parametrize("state", STATES)
def test_so_is_every_state_of_them(visit: Visit, office: str, state: str) -> None:
    visitor = visit("root_admin", dark=True, size=PHONE, at=office)
    page = visitor.open(STATES[state])
    check_fits(page)
    check_accessible(page)
    # The browser says so itself when a page is a 404.
    visitor.complaints[:] = [text for text in visitor.complaints if "404" not in text]


@pytest.mark.parametrize("name", ["system-usage", "costs", "alerts", "reconciliation", "tenant-details"])
def test_it_is_light_enough(visit: Visit, office: str, name: str) -> None:
    visitor = visit("root_admin", at=office)
    # As people see it first: fifty rows.
    check_compressed_size(visitor.open("/admin/data-freshness"), office + PAGES[name].partition("?")[0])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "system-usage",
            ("System usage", "CSV", "Filter", "Tenants in November 2026", "Tenant", "AI tokens", "Falcon Realty 609"),
        ),
        ("costs", ("Costs", "Search", "Tenants in November 2026", "Margin")),
        ("tenant-details", ("API Usage & Costs", "Acknowledge", "Show", "Explain")),
        ("alerts", ("Alerts", "Filter", "Acknowledge")),
        ("reconciliation", ("Reconciliation", "Drift", "Filter", "Explain")),
        ("data-freshness", ("Runs in Dagster", "Open asset")),
        ("explanation", ("Nov 18", "Nov 20", "Twilio SMS")),
    ],
)
def test_the_keyboard_reaches_everything_visibly(visit: Visit, office: str, name: str, wanted: tuple[str, ...]) -> None:
    page = visit("root_admin", at=office).open(PAGES[name])
    stops = tab_stops(page, most=60)
    texts = [stop["text"] for stop in stops]
    assert texts[0] == "Skip to content"
    for text in wanted:
        assert any(text in found for found in texts), (text, texts)
    unseen = [stop for stop in stops if stop["outline"] == "none" or stop["visible"] != "true"]
    assert unseen == []


def test_heads_and_names_stay_in_sight(visit: Visit, office: str) -> None:
    page = visit("root_admin", size=PHONE, at=office).open("/admin/system-usage")
    frame = page.locator(".table")
    frame.evaluate("e => e.scrollTo(400, 300)")
    seen = frame.evaluate(
        """e => {
            const box = e.getBoundingClientRect();
            const head = e.querySelector('thead th').getBoundingClientRect();
            const foot = e.querySelector('tfoot th').getBoundingClientRect();
            const name = e.querySelector('tbody tr:nth-child(9) th').getBoundingClientRect();
            return {moved: [e.scrollLeft, e.scrollTop], head: head.top - box.top, foot: box.bottom - foot.bottom, name: name.left - box.left};
        }"""
    )
    assert seen["moved"] == [400, 300]
    assert max(abs(seen["head"]), abs(seen["foot"]), abs(seen["name"])) <= 2


def test_a_choice_filters_at_once(visit: Visit, office: str) -> None:
    page = visit("root_admin", at=office).open("/admin/system-usage?sort=tenantName&order=asc")
    with page.expect_navigation():
        page.get_by_label("Show only near limit / over cap").check()
    with page.expect_navigation():
        page.get_by_label("Plan").select_option("pro")
    assert "sort=tenantName" in page.url
    chips = set(page.locator("tbody [data-field$='.status']").all_inner_texts())
    assert chips == {"Warning", "Over Cap"}
    expect(page.get_by_label("Show only near limit / over cap")).to_be_checked()
    with page.expect_navigation():
        page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Show only near limit / over cap")).not_to_be_checked()


def test_everything_works_without_a_script(visit: Visit, office: str) -> None:
    page = visit("root_admin", javascript=False, at=office).open(PAGES["system-usage"])
    page.get_by_label("High AI share (30%+)").check()
    page.get_by_role("searchbox", name="Tenant").fill("Homes")
    page.get_by_role("button", name="Filter").click()
    assert "minAiSharePercent=30" in page.url
    page.get_by_role("link", name="AI %", exact=True).click()
    page.wait_for_load_state()
    shares = [
        float(text.rstrip("%")) for text in page.locator("tbody [data-field$='.aiPercentOfSpend']").all_inner_texts()
    ]
    assert shares == sorted(shares, reverse=True)
    assert min(shares) >= 30
    page.goto(office + PAGES["costs"])
    page.get_by_label("Month").select_option("2026-10")
    page.get_by_role("button", name="Show").click()
    assert "month=2026-10" in page.url


def test_forth_and_back_through_the_list(visit: Visit, office: str) -> None:
    page = visit("root_admin", at=office).open("/admin/system-usage")
    first = page.locator("tbody th a").all_inner_texts()
    page.get_by_role("link", name="Next page").click()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".pager__text")).to_contain_text("101–150 of 1,010 tenants")
    page.get_by_role("link", name="Previous page").click()
    page.get_by_role("link", name="Previous page").click()
    expect(page.get_by_role("link", name="Previous page")).to_have_count(0)
    page.wait_for_load_state()
    assert page.locator("tbody th a").all_inner_texts() == first


def test_the_file_is_downloaded(visit: Visit, office: str) -> None:
    page = visit("root_admin", at=office).open("/admin/system-usage?plan=pro")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "system-usage-2026-11.csv"


def test_a_day_tells_its_figures(visit: Visit, office: str) -> None:
    page = visit("root_admin", at=office).open(PAGES["tenant-details"])
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    assert "SMS $3.16" in (slider.get_attribute("aria-valuetext") or "")
    assert "$3.16" in page.locator(".tip").inner_text()


def test_a_tenant_is_shown_the_door(visit: Visit, office: str) -> None:
    visitor = visit("tenant_admin", "acme", at=office)
    for path in PAGES.values():
        page = visitor.open(path)
        expect(page.locator("h1")).not_to_contain_text("usage", ignore_case=True)
        assert "403" in page.inner_text("main")
        page.close()
    visitor.complaints[:] = [text for text in visitor.complaints if "403" not in text]
