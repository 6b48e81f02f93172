"""A request to Places is billed by its method and the dearest field of its mask."""

from __future__ import annotations

import csv
from collections.abc import Iterable

import pytest

from ingestion.tracking.places_sku import FIELDS, METHODS, SINGLE, TIERS, places_sku
from orchestration.dbt_manifest import PROJECT


@pytest.mark.parametrize(
    ("method", "mask", "sku"),
    [
        ("place_details", "id", "place_details_ids_only"),
        ("place_details", "id,location", "place_details_essentials"),
        ("place_details", "id, displayName.text ,location", "place_details_pro"),
        ("place_details", ["rating", "displayName"], "place_details_enterprise"),
        ("place_details", "reviews", "place_details_enterprise_atmosphere"),
        ("place_details", "*", "place_details_enterprise_atmosphere"),
        ("place_details", "somethingNew", "place_details_enterprise_atmosphere"),
        ("text_search", "places.id,nextPageToken", "text_search_ids_only"),
        # Text search is not sold with the essentials: the next tier is.
        ("text_search", "places.location", "text_search_pro"),
        ("text_search", "places.websiteUri", "text_search_enterprise"),
        ("nearby_search", "places.id", "nearby_search_pro"),
        ("nearby_search", "places.paymentOptions.acceptsNfc", "nearby_search_enterprise_atmosphere"),
        ("autocomplete_session", "", "autocomplete_session"),
        ("place_photo", (), "place_photo"),
    ],
)
def test_the_dearest_field_decides(method: str, mask: str | Iterable[str], sku: str) -> None:
    assert places_sku(method, mask) == sku


@pytest.mark.parametrize(("method", "mask"), [("details", "id"), ("place_details", ""), ("text_search", " , ")])
def test_what_cannot_be_told_is_refused(method: str, mask: str) -> None:
    with pytest.raises(ValueError, match=r"is none of|say which fields"):
        places_sku(method, mask)


def test_no_field_is_in_two_tiers() -> None:
    names = [name for fields in FIELDS.values() for name in fields]
    assert len(names) == len(set(names))
    assert set(FIELDS) == set(TIERS[:-1])


def test_the_price_book_knows_only_skus_that_there_are() -> None:
    with (PROJECT / "seeds" / "price_book.csv").open(newline="") as lines:
        priced = {row["operation"] for row in csv.DictReader(lines) if row["service"] == "google_places"}
    assert priced <= {f"{method}_{tier}" for method, tiers in METHODS.items() for tier in tiers} | set(SINGLE)
    assert priced
