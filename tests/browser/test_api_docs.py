"""The API's documentation in a real browser: read from here alone, understood whole, and a route can be tried."""

from __future__ import annotations

from datetime import timedelta

from api.auth.tokens import mint
from tests.api.conftest import SECRET
from tests.browser.conftest import Visit, screenshot


def test_a_route_is_shown_and_tried(visit: Visit) -> None:
    visitor = visit(None)
    requested: list[str] = []
    visitor.context.on("request", lambda request: requested.append(request.url))
    page = visitor.open("/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("Value").fill(mint("tenant_admin", "harbor", timedelta(hours=1), SECRET))
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").click()
    route = page.locator(".opblock", has=page.locator('[data-path="/api/billing/usage/status"]'))
    route.locator(".opblock-summary-control").click()
    # A reference that Swagger UI cannot follow would be said in a list of errors.
    assert not page.locator(".errors-wrapper").count()
    assert "application/problem+json" in route.inner_text()
    screenshot(page, "api-docs")
    route.get_by_role("button", name="Try it out").click()
    route.get_by_role("button", name="Execute").click()
    live = route.locator(".live-responses-table .response").first
    assert live.locator(".response-col_status").inner_text().strip().startswith("200")
    assert "channels" in live.inner_text()
    assert all(url.startswith((visitor.site, "data:", "blob:")) for url in requested), requested
