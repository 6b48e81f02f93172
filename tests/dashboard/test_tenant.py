"""The tenant's page: every figure is the JSON routes', every sentence the issue's, nobody else's data."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.dashboard import formats
from api.dashboard.labels import feature_label, read_labels
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


def in_daily(bodies: dict[str, Any], days: str, channel: str, name: str) -> tuple[Any, Any]:
    """Return (figure, exact) of a channel in one day, or of several days or all channels together: sums of the daily route's rows."""
    first, _, last = days.partition("/")
    rows = [
        row
        for row in bodies["daily"]["rows"]
        if first <= row["date"] <= (last or first) and channel in ("total", row["channel"])
    ]
    assert rows or channel == "total", (days, channel)
    if not name.endswith("Cents"):
        figure = sum(Decimal(str(row[name])) for row in rows)
        return figure, None
    parts = [row[name.removesuffix("Cents") + "Usd"] for row in rows]
    known = [Decimal(part) for part in parts if part is not None]
    if rows and not known:
        return None, None
    assert name != "billedCostCents" or len(known) == len(parts), "part of a billed cost is none"
    exact = sum(known, Decimal(0))
    if len(rows) == 1:
        assert rows[0][name] == round(exact * 100)
    return round(exact * 100), f"{exact.normalize():f}"


def so_far(bodies: dict[str, Any], day: str, subject: str) -> tuple[str, str | None]:
    """Return (text, exact) of what was used up to a day of what the month's view is of."""
    channel, _, metric = subject.partition(".")
    first = f"{day[:7]}-01"
    name = {"": "estimatedCostCents", "cost_cents": "estimatedCostCents", "units": "unitCount"}.get(
        metric, "requestCount"
    )
    figure, exact = in_daily(bodies, f"{first}/{day}", channel if metric else "total", name)
    return (formats.cents(figure) if name.endswith("Cents") else formats.number(figure)), exact


def found(bodies: dict[str, Any], field: str) -> tuple[Any, Any]:
    """Return (value, exact value) that the JSON routes have for a data-field."""
    steps = field.split(".")
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
# (query of the page, of the summary, of features, of daily)
VIEWS = {
    "": ("", "", "?from=2026-11-01"),
    "?period=2026-10": ("?period=2026-10", "?period=2026-10", "?from=2026-10-01&to=2026-10-31"),
    "?days=90&by=usage": ("", "?from=2026-08-23", "?range=90d"),
    "?from=2026-10-05&to=2026-11-12&grain=week&group=source": (
        "",
        "?from=2026-10-05&to=2026-11-12",
        "?from=2026-10-05&to=2026-11-12",
    ),
    "?from=2026-09-10&to=2026-10-20&grain=month&by=usage&sort=feature": (
        "?period=2026-10",
        "?from=2026-09-10&to=2026-10-20",
        "?from=2026-09-10&to=2026-10-20",
    ),
    "?by=month": ("", "", "?from=2026-11-01"),
    "?by=month&of=sms.units": ("", "", "?from=2026-11-01"),
    "?by=month&of=ai.cost_cents&group=none": ("", "", "?from=2026-11-01"),
}


@pytest.mark.parametrize("query", VIEWS)
@pytest.mark.parametrize("tenant", TENANTS)
def test_every_figure_is_the_json_routes(site: TestClient, tenant: str, query: str) -> None:
    headers = bearer("tenant_admin", tenant)
    routes = dict(zip(("summary", "features", "daily"), VIEWS[query], strict=True))
    bodies = {route: json_of(site, route, headers, asked) for route, asked in routes.items()}
    bodies["forecast"] = json_of(site, "forecast", headers)
    page = page_of(site, tenant, query)
    for field, (text, value) in page.fields.items():
        name = field.rsplit(".", 1)[-1]
        if field.startswith(("daily.", "sum.")):
            _, days, channel, name = field.split(".")
            wanted, exact = in_daily(bodies, days, channel, name)
            assert text == as_shown(name, wanted), field
            assert exact is None or value == exact, field
            continue
        if field.startswith("soFar."):
            _, day, subject = field.split(".", 2)
            wanted, exact = so_far(bodies, day, subject)
            assert text == wanted, field
            assert exact is None or value == exact, field
            continue
        wanted, exact = found(bodies, field)
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
    wanted_fields = {"currentPlan.name"} | figures_that_must_be_there(bodies, query)
    assert wanted_fields <= set(page.fields), wanted_fields - set(page.fields)


def figures_that_must_be_there(bodies: dict[str, Any], query: str) -> set[str]:
    """Return the fields of each channel's card and limits, each feature, and each used channel of each step of the chart."""
    summary, rows = bodies["summary"], bodies["daily"]["rows"]
    is_month = "from=" not in query and "days=" not in query
    wanted = {f"features.{index}.estimatedCostCents" for index in range(len(bodies["features"]["features"]))}
    for channel in summary["channels"]:
        name = f"channels.{channel['channel']}"
        wanted |= {f"{name}.limits.{index}.cap" for index in range(len(channel["limits"]))}
        if is_month:
            wanted |= {f"{name}.{part}" for part in ("status", "used", "estimatedCostCents")}
    if is_month:
        is_forecast = not query.startswith("?period") and bodies["forecast"]["cost"]["expectedCostCents"] is not None
        wanted |= {"forecast.cost.expectedCostCents" if is_forecast else "projectedCostCents"}
        wanted |= {"totalsForPeriod.estimatedCostCents"}
    else:
        wanted |= {f"sum.{rows[0]['date']}/{rows[-1]['date']}.total.estimatedCostCents"} if rows else set()
    used = {row["channel"] for row in rows if row["requestCount"] or row["unitCount"]}
    if used and "by=month" in query:
        subject = query.partition("of=")[2].partition("&")[0] or "cost"
        limits = {
            f"{channel['channel']}.{limit['metric']}"
            for channel in summary["channels"]
            for limit in channel["limits"]
            if limit["direction"] == "any"
        }
        subject = subject if subject in limits else "cost"
        wanted |= {f"soFar.{row['date']}.{subject}" for row in rows}
    elif "grain=" not in query:
        figure = "requestCount" if "by=usage" in query else "estimatedCostCents"
        known = [
            row
            for row in rows
            if row["channel"] in used and (row["requestCount"] or row["unitCount"] or not is_in_gap(bodies, row))
        ]
        wanted |= {f"daily.{row['date']}.{row['channel']}.unitCount" for row in known}
        wanted |= {f"daily.{row['date']}.{row['channel']}.{figure}" for row in known}
        wanted |= {f"daily.{row['date']}.total.{figure}" for row in rows} if len(used) > 1 else set()
    return wanted


def is_in_gap(bodies: dict[str, Any], row: dict[str, Any]) -> bool:
    gaps = bodies["daily"]["gaps"]
    return any(gap["channel"] == row["channel"] and gap["from"] <= row["date"] <= gap["to"] for gap in gaps)


@pytest.mark.parametrize("query", VIEWS)
def test_there_is_one_figure_of_the_months_end(site: TestClient, query: str) -> None:
    fields = set(page_of(site, "acme", query).fields)
    is_month = "from=" not in query and "days=" not in query
    assert len({"forecast.cost.expectedCostCents", "projectedCostCents"} & fields) == is_month


@pytest.mark.parametrize("grain", ["week", "month"])
def test_steps_of_several_days_add_up_to_the_period(site: TestClient, grain: str) -> None:
    page = page_of(site, "harbor", f"?days=90&grain={grain}")
    totals = [
        Decimal(value or 0)
        for field, (_, value) in page.fields.items()
        if field.startswith("daily.") and field.endswith(".total.estimatedCostCents")
    ]
    (whole,) = (
        value for field, (_, value) in page.fields.items() if field.startswith("sum.") and ".total.est" in field
    )
    assert len(totals) == {"week": 14, "month": 4}[grain]
    assert sum(totals) == Decimal(whole or 0)


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
        assert "These numbers are based on OpenAI usage; days, weeks and months are UTC." in text
        assert soft in text
        hard = page_of(site, "acme").text
        assert "based on OpenAI and Twilio usage;" in hard
        assert soft not in hard
        assert "blocked until the next month" in hard
        assert "These numbers" not in page_of(site, "newcomer").text, "nobody has counted anything"
        with signed_in_app(start_app, seeded, "tenant_admin", "acme", METERING_PRODUCT_NAME="Casa & Co") as client:
            assert "usage recorded through Casa & Co;" in Page(client.get(PAGE).text).text

    def test_the_empty_state(self, site: TestClient) -> None:
        page = page_of(site, "newcomer")
        assert "Usage metrics will appear here once you begin messaging." in page.text
        assert "Used 0 of 500 SMS this month" in page.text
        assert "once you begin messaging" not in page_of(site, "acme").text

    def test_the_plan(self, seeded: str, start_app: AppStarter, site: TestClient) -> None:
        page = page_of(site, "acme")
        assert "Monthly base price $99.50" in page.text
        assert "Monthly base price" not in page_of(site, "dune").text, "it is not known"
        contact = "https://example.com/help?a=1&b=2"
        with signed_in_app(start_app, seeded, "tenant_admin", "dune", METERING_CONTACT_URL=contact) as client:
            page = Page(client.get(PAGE).text)
            assert "Monthly base price Contact support" in page.text
            assert page.links.count(contact) == 2

    @pytest.mark.parametrize("tenant", TENANTS)
    def test_nothing_is_a_placeholder(self, site: TestClient, tenant: str) -> None:
        text = page_of(site, tenant).text.casefold()
        for word in ("coming soon", "your product", "todo", "lorem", "contact support"):
            assert word not in text

    def test_how_fresh_and_how_final(self, site: TestClient) -> None:
        text = page_of(site, "harbor").text
        assert "Data as of Nov 20, 2026, 11:45 UTC." in text
        assert "Days up to Nov 16, 2026 are final; later ones may still change" in text
        assert "5,120 tokens without a known price are not in the cost" in text

    def test_the_forecast(self, site: TestClient) -> None:
        text = page_of(site, "acme").text
        assert "Expected month $8.00 Between $7.00 and $9.05, with 80% certainty" in text
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

    @pytest.mark.parametrize(
        ("query", "route"),
        [
            ("", "from=2026-11-01&to=2026-11-20"),
            ("?period=2026-10", "from=2026-10-01&to=2026-10-31"),
            ("?from=2026-10-05&to=2026-11-12&grain=week&search=x", "from=2026-10-05&to=2026-11-12"),
        ],
    )
    def test_the_period_is_the_charts(self, site: TestClient, query: str, route: str) -> None:
        headers = bearer("tenant_admin", "harbor")
        link = next(link for link in page_of(site, "harbor", query).links if "usage.csv" in link)
        assert (
            site.get(link, headers=headers).text == site.get(f"/api/billing/usage/export?{route}", headers=headers).text
        )


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
    "query",
    [
        "period=2027-01",
        "period=nonsense",
        "days=31",
        "days=x",
        "by=color",
        "period=2026-13",
        "grain=hour",
        "group=x",
        "sort=x",
        "order=up",
        "from=2026-11-10&to=2026-11-01",
        "to=2026-12-01",
        "from=2024-01-01",
    ],
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
    links = page_of(site, "harbor", "?period=2026-10&days=90&by=usage&grain=week&search=chat").links
    assert f"{PAGE}?period=2026-10&days=90&grain=week&search=chat#over-time" in links
    assert f"{PAGE}?period=2026-10&days=90&by=usage&search=chat#over-time" in links
    assert f"{PAGE}?days=7&by=usage&grain=week&search=chat" in links
    assert f"{PAGE}?period=2026-10&days=90&by=usage&grain=week&sort=feature&search=chat&order=asc#by-feature" in links


class TestTheUsageTable:
    def lines(self, site: TestClient, query: str) -> list[str]:
        html = site.get(f"{PAGE}?{query}", headers=bearer("tenant_admin", "harbor")).text
        return re.findall(r'scope="row" data-field="features\.\d+\.feature" data-value="([^"]+)"', html)

    def test_features_are_written_as_people_write_them(self, site: TestClient) -> None:
        text = page_of(site, "harbor").text
        for label in ("AI text messages", "Lead follow-up", "Listing cards", "Not tracked"):
            assert label in text
        assert "lead_follow_up" not in text

    def test_the_server_sorts(self, site: TestClient) -> None:
        names = self.lines(site, "group=none&sort=feature")
        assert names == sorted(names, key=lambda name: feature_label(name, read_labels()).casefold())
        assert self.lines(site, "group=none&sort=feature&order=desc") == names[::-1]
        assert self.lines(site, "group=none") == self.lines(site, "group=none&sort=cost&order=asc")[::-1]

    def test_the_server_searches(self, site: TestClient) -> None:
        assert set(self.lines(site, "search=FOLLOW-UP")) == {"lead_follow_up"}
        assert self.lines(site, "search=none+such") == []
        assert "Nothing matches." in page_of(site, "harbor", "?search=none+such").text

    def test_the_server_groups(self, site: TestClient) -> None:
        html = site.get(f"{PAGE}?group=source", headers=bearer("tenant_admin", "harbor")).text
        groups = re.findall(r'scope="rowgroup"><span class="named">([^<]+)<', html)
        assert set(groups) == {"Twilio", "OpenAI", "SendGrid", "Stripe"}


def test_jump_links_lead_somewhere(site: TestClient) -> None:
    for tenant, query in (("harbor", ""), ("newcomer", ""), ("harbor", "?days=7")):
        html = site.get(f"{PAGE}{query}", headers=bearer("tenant_admin", tenant)).text
        jumps = re.findall(r'href="#([\w-]+)"', html)
        assert {"main", "plan"} <= set(jumps)
        assert all(f'id="{name}"' in html for name in jumps), jumps


def test_a_range_names_its_days_and_has_no_caps_of_a_month(site: TestClient) -> None:
    page = page_of(site, "harbor", "?from=2026-10-05&to=2026-11-12")
    assert "39 days: October 5, 2026 – November 12, 2026 · UTC" in page.text
    assert "this month" not in page.text
    assert page.inputs["from"] == "2026-10-05"
