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


def test_the_page_is_short_enough_to_scan(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(PAGE)
    end = page.evaluate("document.querySelector('.page').getBoundingClientRect().bottom + scrollY")
    assert end <= 2_500


class TestTheChart:
    def test_a_day_is_pointed_at_anywhere_above_it(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor").open(f"{PAGE}?days=7")
        days = page.get_by_role("slider")
        box = days.bounding_box()
        assert box is not None
        assert box["height"] >= 220, "as high as the plot"
        told = set()
        for height in (2, 110, 215):
            page.mouse.move(box["x"] + 4.5 * box["width"] / 7, box["y"] + height)
            told.add(page.locator(".tip").inner_text())
        (text,) = told
        row = page.locator(".chart .figures tbody tr").nth(4)
        assert text.startswith(row.get_attribute("data-name") or "-")
        figures = row.locator("td > data").all_text_contents()
        assert len(figures) >= 8, "each channel and the total"
        assert all(figure in text for figure in figures), (text, figures)
        page.mouse.move(2, 2)
        assert not page.locator(".tip").is_visible()

    def test_keys_go_from_day_to_day_and_each_is_announced(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor").open(f"{PAGE}?days=30")
        days = page.get_by_role("slider")
        days.focus()
        assert days.evaluate("e => getComputedStyle(e).outlineStyle") != "none"
        assert page.locator(".tip").is_visible()
        for key, day in (("ArrowLeft", "Nov 19"), ("ArrowLeft", "Nov 18"), ("ArrowRight", "Nov 19"), ("PageDown", "Nov 12"), ("Home", "Oct 22"), ("ArrowLeft", "Oct 22"), ("End", "Nov 20")):  # fmt: skip
            page.keyboard.press(key)
            said = days.get_attribute("aria-valuetext") or ""
            assert day in said, (key, said)
            assert "SMS $" in said
            assert "Total $" in said
        assert days.get_attribute("aria-valuenow") == days.get_attribute("aria-valuemax") == "30"
        page.keyboard.press("Escape")
        assert not page.locator(".tip").is_visible()

    def test_the_legend_shows_one_series_alone(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor").open(PAGE)
        levels = page.locator(".chart__levels > g:visible text")
        of_all = levels.all_text_contents()
        button = page.get_by_role("button", name=re.compile("^Voice"))
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert page.locator(".chart__plot > g:visible .mark").count() == 1
        assert levels.all_text_contents() != of_all, "at a scale of its own"
        other = page.get_by_role("button", name=re.compile("^SMS"))
        other.press("Enter")
        assert [button.get_attribute("aria-pressed"), other.get_attribute("aria-pressed")] == ["false", "true"]
        other.press("Enter")
        assert levels.all_text_contents() == of_all
        check_accessible(page)

    def test_on_a_phone_a_touch_tells_a_day_below_the_plot(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor", size=PHONE).open(PAGE)
        days = page.get_by_role("slider")
        days.scroll_into_view_if_needed()
        days.tap(position={"x": 20, "y": 100})
        tip = page.locator(".tip")
        assert "Nov 2, 2026" in tip.inner_text()
        plot, told = days.bounding_box(), tip.bounding_box()
        assert plot is not None
        assert told is not None
        assert told["y"] >= plot["y"] + plot["height"] - 40
        check_fits(page)

    @pytest.mark.parametrize("theme", THEMES)
    def test_every_view_is_accessible(self, visit: Visit, theme: str) -> None:
        visitor = visit("tenant_admin", "acme", dark=theme == "dark")
        for query in ("?by=month&of=sms.units", "?days=90&grain=week&by=usage&group=none"):
            page = visitor.open(f"{PAGE}{query}")
            page.get_by_text("Figures as a table").click()
            page.get_by_role("slider").focus()
            check_accessible(page)
            check_fits(page)
            page.close()


class TestTheUsageTable:
    def names(self, page: Any) -> list[str]:
        return [
            name
            for name in page.locator("#usage-table tr:not(.part) th[scope=row]:visible").all_inner_texts()
            if name != "Total"
        ]

    def test_it_sorts_at_once(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor").open(f"{PAGE}?group=none")
        page.evaluate("window.stays = true")
        page.locator("#usage-table").get_by_role("link", name="Feature").click()
        names = self.names(page)
        assert names == sorted(names, key=str.casefold)
        page.locator("#usage-table").get_by_role("link", name="Feature").click()
        assert self.names(page) == sorted(names, key=str.casefold, reverse=True)
        assert page.evaluate("window.stays"), "without loading the page again"
        assert "sort=feature" in page.url
        page.reload()
        assert self.names(page) == sorted(names, key=str.casefold, reverse=True)

    @pytest.mark.parametrize("head", ["Count", "Feature", "Channel"])
    def test_its_parts_are_sorted_as_the_server_sorts_them(self, visit: Visit, head: str) -> None:
        page = visit("tenant_admin", "harbor").open(PAGE)
        rows = page.locator("#usage-table tbody th")
        for _ in range(2):
            page.locator("#usage-table").get_by_role("link", name=head).click()
            at_once = rows.all_inner_texts()
            page.reload()
            assert rows.all_inner_texts() == at_once

    def test_a_part_s_figures_are_not_shown_beside_some_of_its_lines(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor").open(PAGE)
        figures = page.locator("#usage-table .part td.num:visible")
        assert figures.count() > 0
        page.get_by_role("searchbox").fill("follow")
        assert figures.count() == 0
        page.get_by_role("searchbox").press("Enter")
        page.wait_for_url("**search=follow**")
        page.get_by_role("searchbox").fill("")
        assert self.names(page) == ["Lead follow-up"]

    def test_it_searches_while_one_types(self, visit: Visit) -> None:
        page = visit("tenant_admin", "harbor").open(PAGE)
        page.get_by_role("searchbox").fill("follow")
        assert self.names(page) == ["Lead follow-up"]
        page.get_by_role("searchbox").fill("no such thing")
        assert self.names(page) == []
        assert page.get_by_text("Nothing matches.").is_visible()
        page.get_by_role("searchbox").fill("")
        assert len(self.names(page)) > 5


def test_the_keyboard_reaches_everything_visibly(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(PAGE)
    stops = tab_stops(page)
    texts = [stop["text"] for stop in stops]
    assert texts[0] == "Skip to content"
    for wanted in (
        "Usage & Costs",
        "Sign out",
        "90 days",
        "Cost",
        "one day, by the arrow keys",
        "SMS $",
        "Download CSV",
        "Usage and cost by channel",
    ):
        assert any(wanted in text for text in texts), (wanted, texts)
    assert all(stop["outline"] != "none" and stop["visible"] == "true" for stop in stops), stops


def test_the_period_changes_at_once(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(f"{PAGE}?by=usage")
    with page.expect_navigation():
        page.get_by_label("Period").select_option("2026-10")
    assert "Billing period: October 1–31, 2026 · UTC" in page.inner_text("header.head")
    assert "by=usage" in page.url


def test_any_days_can_be_chosen(visit: Visit) -> None:
    page = visit("tenant_admin", "harbor").open(PAGE)
    page.get_by_text("Custom").click()
    page.get_by_label("From").fill("2026-10-05")
    page.get_by_label("To (included)").fill("2026-10-18")
    page.locator("details.custom").get_by_role("button", name="Show").click()
    page.wait_for_load_state()
    assert "14 days: October 5–18, 2026 · UTC" in page.inner_text("header.head")
    assert page.locator(".chart .figures tbody tr").count() == 14


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
    page.get_by_role("button", name="Show").first.click()
    assert "October 1–31, 2026" in page.inner_text("header.head")
    page.get_by_role("link", name="Running total").click()
    page.wait_for_load_state()  # a click waits until the next page begins, not until it is there
    assert re.search(r"period=2026-10", page.url)
    assert page.locator(".chart__plot").is_visible()
    page.get_by_text("Figures as a table").click()
    assert page.locator(".chart .figures tbody tr").count() == 31
    assert page.locator(".chart .figures tbody td").first.is_visible()
    page.get_by_role("searchbox").fill("follow")
    page.get_by_role("search").get_by_role("button", name="Show").click()
    page.wait_for_load_state()
    assert page.get_by_role("rowheader", name="Lead follow-up").count() == 1
    assert page.get_by_role("rowheader", name="Newsletters").count() == 0
    page.get_by_role("button", name="Sign out").click()
    assert page.url.endswith("/sign-in")


def test_the_csv_is_a_file(visit: Visit) -> None:
    page = visit("tenant_admin", "script").open(PAGE)
    with page.expect_download() as started:
        page.get_by_role("link", name="Download CSV").click()
    download: Any = started.value
    assert download.suggested_filename == "usage-script-2026-11-01-2026-11-20.csv"
    assert "'=HYPERLINK" in download.path().read_text()


def test_a_name_that_is_a_script_stays_text(visit: Visit) -> None:
    visitor = visit("tenant_admin", "script")
    page = visitor.context.new_page()
    page.on("dialog", lambda _: pytest.fail("a script ran"))
    page.goto(visitor.site + PAGE)
    assert "<script>alert(1)</script>" in page.inner_text("header.head")
    assert page.get_by_role("rowheader", name="<b>bold</b>").count() == 1
