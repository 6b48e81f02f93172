"""`/admin/unattributed` shows what `/api/admin/usage/unattributed/resources` returns."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Headers
from tests.dashboard.owner.conftest import check_figures, json_of, page_of

PATH = "/admin/unattributed"
ROUTE = "/api/admin/usage/unattributed/resources"


@pytest.mark.parametrize(
    "parameters",
    [{}, {"period": "2026-10"}, {"period": "2026-10", "sort": "resourceId", "order": "asc"}, {"search": "lost"}],
)
def test_every_figure_is_the_route_s(as_root: TestClient, root: Headers, parameters: dict[str, str]) -> None:
    body = json_of(as_root, root, ROUTE, **parameters)
    seen = check_figures(page_of(as_root, PATH, **parameters), body)
    assert seen >= {"totals.costCents", "totals.resources"}
    for row, item in enumerate(body["items"]):
        assert seen >= {f"items.{row}.{column}" for column in ("costCents", "lastDate")}
        assert (f"items.{row}.resourceId" in seen) == bool(item["resourceId"])
        assert (f"items.{row}.directoryLine" in seen) == (item["directoryLine"] is not None)
        assert f"items.{row}.usage.0.unitCount" in seen


def test_it_says_what_to_do_about_each(as_root: TestClient) -> None:
    text = page_of(as_root, PATH, period="2026-10").text
    for words in (
        "TENANT_ID,twilio,phone_number,+15550100,2026-10-30,",
        "acmee,NAME,PLAN,active,false",
        "Look its number up at the provider",
        "The events name no tenant: pass one where they are tracked",
        "metering rebuild --from 2026-10-02",
    ):
        assert words in text


def test_what_has_no_price_is_told_by_kind_with_a_way_to_it(as_root: TestClient) -> None:
    page = page_of(as_root, PATH, period="2026-10")
    assert "for want of a price: 900 tokens." in page.text
    assert "/admin/alerts?type=unpriced" in page.links


def test_it_is_sent_as_a_file(as_root: TestClient, root: Headers) -> None:
    (file,) = [link for link in page_of(as_root, PATH, period="2026-10").links if "/export" in link]
    assert as_root.get(file).text == as_root.get(file.replace(PATH, ROUTE), headers=root).text


def test_a_month_in_which_everything_is_somebodys(as_root: TestClient) -> None:
    assert "Everything is somebody’s." in page_of(as_root, PATH, period="2026-09").text
    assert "Nothing matches this search." in page_of(as_root, PATH, search="zzz").text
