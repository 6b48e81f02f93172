"""The tenant's page: every figure is the JSON routes', every sentence the issue's, nobody else's data."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.dashboard import formats
from tests.api.conftest import AppStarter, Headers, bearer, clone, execute
from tests.dashboard.conftest import Page, populate, signed_in_app

PAGE = "/settings/billing-usage"
TENANTS = ("acme", "bolt", "cobalt", "dune", "elm", "harbor", "willow", "newcomer", "script")


@pytest.fixture(scope="module")
def world(server: str, template: str) -> Iterator[str]:
    with clone(server, template) as url:
        populate(url)
        yield url


@pytest.fixture(scope="module")
def site(world: str, start_app: AppStarter) -> Iterator[TestClient]:
    with start_app(world) as client:
        client.follow_redirects = False
        yield client


def page_of(site: TestClient, tenant: str, query: str = "") -> Page:
    answer = site.get(f"{PAGE}{query}", headers=bearer("tenant_admin", tenant))
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def json_of(site: TestClient, route: str, headers: Headers, query: str = "") -> Any:
    return site.get(f"/api/billing/usage/{route}{query}", headers=headers).json()


def as_shown(field: str, value: Any) -> str:
    """Return how a page writes the JSON value of a field."""
    name = field.rsplit(".", 1)[-1]
    if name.endswith("Cents"):
        return formats.cents(value)
    if name.startswith("percent"):
        return formats.percent(value)
    if name.endswith("Usd"):
        return formats.rounded_usd(value)
    return formats.number(value)


def found(bodies: dict[str, Any], field: str) -> tuple[Any, Any]:
    """Return (value, exact value) that the JSON routes have for a data-field."""
    steps = field.split(".")
    if steps[0] == "daily":
        _, day, channel, name = steps
        row = next(row for row in bodies["daily"]["rows"] if (row["date"], row["channel"]) == (day, channel))
        return row[name], row["estimatedCostUsd"]
    here: Any = bodies["features"]["features"] if steps[0] == "features" else bodies["summary"]
    here = bodies["forecast"] if steps[0] == "forecast" else here
    steps = steps[1:] if steps[0] in ("features", "forecast") else steps
    exact = None
    for step in steps:
        if here is None:
            return None, None
        if isinstance(here, list):
            here = (
                next((row for row in here if row.get("channel") == step), None)
                if not step.isdigit()
                else here[int(step)]
            )
        else:
            exact = here.get(step.removesuffix("Cents") + "Usd") if step.endswith("Cents") else None
            here = here[step]
    return here, exact


WORDS = ("status", "channel", "feature", "name", "dataAsOf")


@pytest.mark.parametrize("query", ["", "?period=2026-10", "?days=90&by=usage"])
@pytest.mark.parametrize("tenant", TENANTS)
def test_every_figure_is_the_json_routes(site: TestClient, tenant: str, query: str) -> None:
    headers = bearer("tenant_admin", tenant)
    period = "?period=2026-10" if "2026-10" in query else ""
    days = "?range=90d" if "90" in query else "?from=2026-10-02&to=2026-10-31" if period else "?range=30d"
    bodies = {
        "summary": json_of(site, "summary", headers, period),
        "features": json_of(site, "features", headers, period),
        "daily": json_of(site, "daily", headers, days),
        "forecast": json_of(site, "forecast", headers),
    }
    page = page_of(site, tenant, query)
    for field, (text, value) in page.fields.items():
        wanted, exact = found(bodies, field)
        name = field.rsplit(".", 1)[-1]
        if name in WORDS:
            if name == "dataAsOf":
                assert (value or "").replace("+00:00", "Z") == wanted
            else:
                assert (value or "") == (wanted or ""), field
        elif field.startswith("channels.") and name == "used" and ".limits." not in field:
            assert value == str(wanted), field
            assert text.startswith("Used "), field
        elif ".limits." in field and name in ("used", "cap"):
            assert (value or "None") == str(wanted), field
        else:
            assert text == as_shown(field, wanted), field
            if exact is not None:
                assert value == exact, field
    # And none is left out: each channel's card, each feature, each used channel of each day.
    summary = bodies["summary"]
    is_forecast = not period and bodies["forecast"]["cost"]["expectedCostCents"] is not None
    headline = "forecast.cost.expectedCostCents" if is_forecast else "projectedCostCents"
    wanted_fields = {"totalsForPeriod.estimatedCostCents", headline, "currentPlan.name"}
    assert len({"forecast.cost.expectedCostCents", "projectedCostCents"} & set(page.fields)) == 1, "one figure"
    for channel in summary["channels"]:
        wanted_fields |= {f"channels.{channel['channel']}.{name}" for name in ("status", "used", "estimatedCostCents")}
        wanted_fields |= {
            f"channels.{channel['channel']}.limits.{index}.cap" for index in range(len(channel["limits"]))
        }
    wanted_fields |= {f"features.{index}.estimatedCostCents" for index in range(len(bodies["features"]["features"]))}
    wanted_fields |= {
        f"daily.{row['date']}.{row['channel']}.unitCount" for row in bodies["daily"]["rows"] if row["requestCount"]
    }
    assert wanted_fields <= set(page.fields), wanted_fields - set(page.fields)


class TestSentences:
    def test_the_heading_names_the_period(self, site: TestClient) -> None:
        page = page_of(site, "acme")
        assert "Usage & Costs Pro Billing period: November 1–30, 2026" in page.text

    def test_a_card_says_what_is_used_of_what(self, site: TestClient) -> None:
        html = site.get(PAGE, headers=bearer("tenant_admin", "acme")).text
        assert "Used 650 of 1,000 SMS this month" in html
        assert "Used $4.74 of $5.00 for SMS this month" in html

    def test_a_month_that_is_over_is_named(self, site: TestClient) -> None:
        assert "Used 1,000 of 1,000 SMS in October 2026" in page_of(site, "acme", "?period=2026-10").text

    @pytest.mark.parametrize(
        ("tenant", "banner", "chip"),
        [
            ("acme", "You're nearing your monthly usage cap.", "Near limit"),
            (
                "bolt",
                "You've exceeded your monthly usage cap for SMS. Some actions may be blocked.",
                "Over cap",
            ),
            ("dune", None, "OK"),
        ],
    )
    def test_the_banner_says_how_near_the_caps_are(
        self, site: TestClient, tenant: str, banner: str | None, chip: str
    ) -> None:
        html = site.get(PAGE, headers=bearer("tenant_admin", tenant)).text
        if banner:
            # Literally, so that whoever looks for the sentence finds it in the source too.
            assert banner in html
        assert ("banner__text" in html) == bool(banner)
        assert chip in Page(html).text

    def test_no_banner_for_a_month_that_is_over(self, site: TestClient) -> None:
        assert "monthly usage cap" not in page_of(site, "acme", "?period=2026-10").text

    def test_several_channels_over_their_cap_are_all_named(self, own_database: str, start_app: AppStarter) -> None:
        execute(
            own_database,
            "insert into marts.tenant_usage_status values "
            "('bolt', '2026-11', 'ai', 'units', 'any', 77, 50, 80, 154, 'over_cap'), "
            "('bolt', '2026-11', 'email', 'requests', 'any', 9, 5, 80, 180, 'over_cap')",
        )
        with signed_in_app(start_app, own_database, "tenant_admin", "bolt") as client:
            assert "cap for SMS, Email and AI. Some actions" in client.get(PAGE).text

    def test_help(self, seeded: str, start_app: AppStarter, site: TestClient) -> None:
        soft = "Caps are per-month soft limits; going over them may affect your plan in a future release."
        text = page_of(site, "bolt").text
        assert "These numbers are based on Twilio, OpenAI, and SendGrid usage recorded through your product." in text
        assert soft in text
        hard = page_of(site, "acme").text
        assert soft not in hard
        assert "blocked until the next month" in hard
        with signed_in_app(start_app, seeded, "tenant_admin", "acme", METERING_PRODUCT_NAME="Casa & Co") as client:
            assert "usage recorded through Casa & Co." in Page(client.get(PAGE).text).text

    def test_the_empty_state(self, site: TestClient) -> None:
        page = page_of(site, "newcomer")
        assert "Usage metrics will appear here once you begin messaging." in page.text
        assert "Used 0 of 500 SMS this month" in page.text
        assert "once you begin messaging" not in page_of(site, "acme").text

    def test_the_plan(self, seeded: str, start_app: AppStarter, site: TestClient) -> None:
        page = page_of(site, "acme")
        assert "Monthly base price $99.50" in page.text
        assert "Manage subscription Stripe billing integration coming soon" in page.text
        assert "Monthly base price Contact support" in page_of(site, "dune").text
        contact = "https://example.com/help?a=1&b=2"
        with signed_in_app(start_app, seeded, "tenant_admin", "dune", METERING_CONTACT_URL=contact) as client:
            page = Page(client.get(PAGE).text)
            assert page.links.count(contact) == 2
            assert "coming soon" not in page.text

    def test_how_fresh_and_how_final(self, site: TestClient) -> None:
        text = page_of(site, "harbor").text
        assert "Data as of Nov 20, 2026, 11:45 UTC." in text
        assert "Days up to Nov 16, 2026 are final; later ones may still change" in text
        assert "5,120 tokens without a known price are not in the cost" in text

    def test_the_forecast(self, site: TestClient) -> None:
        text = page_of(site, "acme").text
        assert "Expected month $8.00 Between $7.00 and $9.05" in text
        assert "Likely to reach its cap by Nov 21" in text
        over = page_of(site, "acme", "?period=2026-10").text
        assert "Forecast" not in over
        assert "Likely" not in over

    def test_channels_that_are_used_have_a_card(self, site: TestClient) -> None:
        names = re.findall(r'<h3 id="channel-(\w+)"', site.get(PAGE, headers=bearer("tenant_admin", "harbor")).text)
        assert names == ["sms", "mms", "voice", "email", "ai", "phone", "payments"]
        names = re.findall(r'<h3 id="channel-(\w+)"', site.get(PAGE, headers=bearer("tenant_admin", "cobalt")).text)
        assert names == ["sms", "mms", "voice", "email", "ai"]


class TestEscaping:
    def test_a_name_that_is_a_script(self, site: TestClient) -> None:
        html = site.get(PAGE, headers=bearer("tenant_admin", "script")).text
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "<b>bold" not in html

    def test_a_cell_that_is_a_formula(self, site: TestClient) -> None:
        headers = bearer("tenant_admin", "script")
        rows = list(csv.reader(io.StringIO(site.get(f"{PAGE}/usage.csv", headers=headers).text)))
        assert '\'=HYPERLINK("x")' in [row[4] for row in rows]


class TestCsv:
    def test_it_is_the_json_routes_file(self, site: TestClient) -> None:
        headers = bearer("tenant_admin", "harbor")
        for days in (7, 30, 90):
            ours = site.get(f"{PAGE}/usage.csv?days={days}", headers=headers)
            route = site.get(f"/api/billing/usage/export?range={days}d", headers=headers)
            assert ours.text == route.text
            assert ours.headers["content-disposition"] == route.headers["content-disposition"]
            assert ours.headers["content-type"] == "text/csv; charset=utf-8"

    def test_it_has_the_days_that_the_page_shows(self, site: TestClient) -> None:
        page = page_of(site, "harbor", "?period=2026-10&days=7")
        link = next(link for link in page.links if "usage.csv" in link)
        text = site.get(link, headers=bearer("tenant_admin", "harbor")).text
        days = sorted({row.split(",")[0] for row in text.splitlines()[1:]})
        assert (days[0], days[-1], len(days)) == ("2026-10-25", "2026-10-31", 7)


class TestWhoMaySee:
    def test_nobody_without_signing_in(self, site: TestClient) -> None:
        for path in (PAGE, f"{PAGE}/usage.csv"):
            answer = site.get(path)
            assert (answer.status_code, answer.headers["location"][:14]) == (303, "/sign-in?next=")

    @pytest.mark.parametrize("tenant", ["bolt", "nobody", "unattributed", ""])
    @pytest.mark.parametrize("path", [PAGE, f"{PAGE}/usage.csv"])
    def test_not_another_tenant(self, site: TestClient, tenant: str, path: str) -> None:
        answer = site.get(f"{path}?tenantId={tenant}", headers=bearer("tenant_admin", "acme"))
        assert answer.status_code == 404
        assert "There is no such tenant." in answer.text
        assert "Bolt" not in answer.text

    def test_an_unknown_tenant_of_a_good_token_is_404(self, site: TestClient) -> None:
        for path in (PAGE, f"{PAGE}/usage.csv"):
            assert site.get(path, headers=bearer("tenant_admin", "nobody")).status_code == 404

    def test_an_owner_says_whose(self, site: TestClient) -> None:
        root = bearer("root_admin")
        page = Page(site.get(f"{PAGE}?tenantId=acme&days=7", headers=root).text)
        assert "Acme Homes" in page.text
        assert page.inputs["tenantId"] == "acme"
        assert all("tenantId=acme" in link for link in page.links if PAGE in link)
        assert site.get(PAGE, headers=root).status_code == 422


@pytest.mark.parametrize(
    "query", ["period=2027-01", "period=nonsense", "days=31", "days=x", "by=color", "period=2026-13"]
)
def test_bad_input_is_a_page_that_says_so(site: TestClient, query: str) -> None:
    answer = site.get(f"{PAGE}?{query}", headers=bearer("tenant_admin", "acme"))
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert query.split("=")[0] in Page(answer.text).text


def test_the_period_switcher_offers_a_year(site: TestClient) -> None:
    html = site.get(f"{PAGE}?period=2024-02", headers=bearer("tenant_admin", "acme")).text
    options = re.findall(r'<option value="([\d-]+)"( selected)?', html)
    assert len(options) == 13
    assert (options[0][0], options[11][0], options[12]) == ("2026-11", "2025-12", ("2024-02", " selected"))


def test_links_keep_the_other_choices(site: TestClient) -> None:
    links = page_of(site, "harbor", "?period=2026-10&days=90&by=usage").links
    assert f"{PAGE}?period=2026-10&days=90&by=cost#daily-chart" in links
    assert f"{PAGE}?period=2026-10&days=7&by=usage#daily-chart" in links
