"""Signing in and out in a real browser, and what is shown to those who may not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.auth.tokens import mint
from tests.api.conftest import SECRET
from tests.browser.conftest import DESKTOP, PHONE, Visit, check_accessible, check_fits, link_for, screenshot


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_the_form_is_accessible(visit: Visit, size: str, theme: str) -> None:
    page = visit(None, dark=theme == "dark", size=PHONE if size == "phone" else DESKTOP).open("/settings/billing-usage")
    check_fits(page)
    check_accessible(page)
    screenshot(page, f"sign-in-{size}-{theme}")


@pytest.mark.parametrize(
    ("role", "tenant_id", "home", "javascript"),
    [("tenant_admin", "harbor", "/settings/billing-usage", True), ("root_admin", None, "/admin/system-usage", False)],
)
def test_a_link_opens_the_home_page(
    visit: Visit, role: str, tenant_id: str | None, home: str, javascript: bool
) -> None:
    visitor = visit(None, javascript=javascript)
    page = visitor.open(link_for(role, tenant_id))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(visitor.site + home)


def test_a_token_opens_the_page_that_was_asked_for(visit: Visit) -> None:
    visitor = visit(None)
    page = visitor.open("/settings/billing-usage?period=2026-10")
    page.get_by_label("Access token").fill(mint("tenant_admin", "harbor", timedelta(hours=1), SECRET))
    page.get_by_role("button", name="Sign in").click()
    assert page.url == f"{visitor.site}/settings/billing-usage?period=2026-10"
    page.get_by_role("button", name="Sign out").first.click()
    assert page.url == f"{visitor.site}/sign-in"


def test_a_wrong_token_is_explained(visit: Visit) -> None:
    visitor = visit(None)
    page = visitor.open("/sign-in")
    page.get_by_label("Access token").fill("nonsense")
    page.get_by_role("button", name="Sign in").click()
    assert "malformed" in page.get_by_role("alert").inner_text()
    check_accessible(page)
    # The browser tells its console about the 401; nothing else may be there.
    assert all("401" in text for text in visitor.complaints)
    visitor.complaints.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_that_is_not_theirs(visit: Visit, theme: str) -> None:
    visitor = visit("tenant_admin", "acme", dark=theme == "dark")
    page = visitor.open("/settings/billing-usage?tenantId=harbor")
    assert "There is no such tenant." in page.inner_text("main")
    assert "Harbor" not in page.content()
    check_accessible(page)
    assert all("404" in text for text in visitor.complaints)
    visitor.complaints.clear()
