"""The tenant's page in a real browser: light and dark, phone to wide, keyboard, screen reader, without scripts."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from tests.browser.conftest import (
    DESKTOP,
    PHONE,
    WIDE,
    Visit,
    check_accessible,
    check_compressed_size,
    check_fits,
    screenshot,
    tab_stops,
)
from tests.proof import all_in_proof

PAGE = "/settings/billing-usage"
SIZES = {"phone": PHONE, "desktop": DESKTOP, "wide": WIDE}
THEMES = ("light", "dark")
STATES = ("acme", "newcomer", "script", "dune")


@pytest.mark.parametrize(
    ("size", "theme"), all_in_proof(list(product(SIZES, THEMES)), list(zip(SIZES, (*THEMES, "light"), strict=True)))
)
def test_it_is_accessible_and_fits(visit: Visit, size: str, theme: str) -> None:
    page = visit("tenant_admin", "harbor", dark=theme == "dark", size=SIZES[size]).open(PAGE)
    check_fits(page)
    check_accessible(page)
    screenshot(page, f"tenant-{size}-{theme}")


@pytest.mark.parametrize(
    ("tenant", "theme"), all_in_proof(list(product(STATES, THEMES)), list(zip(STATES, THEMES * 2, strict=True)))
)
def test_so_is_every_state_of_it(visit: Visit, tenant: str, theme: str) -> None:
    page = visit("tenant_admin", tenant, dark=theme == "dark", size=PHONE).open(f"{PAGE}?by=usage")
    check_fits(page)
    check_accessible(page)


def test_a_quarter_is_light_enough(visit: Visit) -> None:
    visitor = visit("tenant_admin", "harbor")
    page = visitor.open(PAGE)
    check_compressed_size(page, f"{visitor.site}{PAGE}?days=90")


def test_bars_tell_their_figures(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(f"{PAGE}?days=7")
    bar = page.locator(".chart__wide .serie-0 .bar rect").last
    shown = bar.locator("xpath=..").locator("desc.value").text_content()
    bar.hover()
    tooltip = page.locator(".chart__wide .tooltip")
    assert "SMS" in (tooltip.text_content() or "")
    assert shown in (tooltip.text_content() or "")
    assert tooltip.evaluate("e => getComputedStyle(e).opacity") == "1"


def test_the_keyboard_reaches_everything_visibly(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(PAGE)
    stops = tab_stops(page)
    texts = [stop["text"] for stop in stops]
    assert texts[0] == "Skip to content"
    for wanted in ("Usage & Costs", "Sign out", "90 days", "Cost", "Download CSV", "Usage and cost by day"):
        assert any(wanted in text for text in texts), (wanted, texts)
    assert all(stop["outline"] != "none" and stop["visible"] == "true" for stop in stops), stops


def test_the_period_changes_at_once(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(f"{PAGE}?days=7")
    with page.expect_navigation():
        page.get_by_label("Period").select_option("2026-10")
    assert "Billing period: October 1–31, 2026" in page.inner_text("header.head")
    assert "days=7" in page.url


def test_the_phones_menu_opens_and_closes(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor", size=PHONE).open(PAGE)
    entry = page.get_by_role("link", name="Usage & Costs")
    assert not entry.is_visible()
    page.get_by_label("Menu").first.click()
    assert entry.is_visible()
    check_accessible(page)
    page.keyboard.press("Escape")
    assert not entry.is_visible()


def test_it_works_without_scripts(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor", javascript=False).open(PAGE)
    page.get_by_label("Period").select_option("2026-10")
    page.get_by_role("button", name="Show").click()
    assert "October 1–31, 2026" in page.inner_text("header.head")
    page.get_by_role("link", name="7 days").click()
    assert re.search(r"period=2026-10", page.url)
    assert page.locator(".chart__wide svg").is_visible()
    page.get_by_role("button", name="Sign out").click()
    assert page.url.endswith("/sign-in")


def test_the_csv_is_a_file(visit: Visit) -> None:
    page = visit("tenant_admin", "script").open(PAGE)
    with page.expect_download() as started:
        page.get_by_role("link", name="Download CSV").click()
    download: Any = started.value
    assert download.suggested_filename == "usage-script-2026-10-22-2026-11-20.csv"
    assert "'=HYPERLINK" in download.path().read_text()


def test_a_name_that_is_a_script_stays_text(visit: Visit) -> None:
    visitor = visit("tenant_admin", "script")
    page = visitor.context.new_page()
    page.on("dialog", lambda _: pytest.fail("a script ran"))
    page.goto(visitor.site + PAGE)
    assert "<script>alert(1)</script>" in page.inner_text("header.head")
    assert page.get_by_role("rowheader", name="<b>bold</b>").count() == 1
