"""A request to Places is billed by its method and the dearest field of its mask."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from usage_metering.places_sku import METHODS, TIERS, places_sku


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
        # The same field is of another tier with another method.
        ("text_search", "places.id,places.photos", "text_search_pro"),
        ("text_search", "places.id,searchUri", "text_search_pro"),
        ("text_search", "places.id,places.attributions,places.movedPlaceId", "text_search_ids_only"),
        ("text_search", "places.openingDate", "text_search_pro"),
        ("nearby_search", "places.photos,places.timeZone", "nearby_search_pro"),
        ("nearby_search", "nextPageToken", "nearby_search_enterprise_atmosphere"),  # there is none: as unknown
        ("place_details", "id,photos", "place_details_ids_only"),
        ("place_details", "id,moved_place,moved_place_id,name,attributions", "place_details_ids_only"),
        ("place_details", "id,openingDate", "place_details_pro"),
        ("place_details", "searchUri", "place_details_enterprise_atmosphere"),
        ("text_search", ["places.user_rating_count"], "text_search_enterprise"),
        ("text_search", "places", "text_search_enterprise_atmosphere"),
        ("text_search", "places.id,routingSummaries", "text_search_enterprise_atmosphere"),
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
    with pytest.raises(ValueError, match=r"unknown method|name the requested fields"):
        places_sku(method, mask)


@pytest.mark.parametrize("tiers", METHODS.values(), ids=METHODS)
def test_no_field_is_in_two_tiers_of_a_method(tiers: dict[str, frozenset[str]]) -> None:
    names = [name for fields in tiers.values() for name in fields]
    assert len(names) == len(set(names))
    assert list(tiers) == [tier for tier in TIERS[:-1] if tier in tiers]
