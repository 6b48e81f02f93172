"""Which of Google's SKUs a request to Places (New) is billed as: its method, and the dearest field that its field mask asks for.

From the field lists of developers.google.com/maps/documentation/places/web-service/place-details, …/text-search and …/nearby-search (read
2026-11). A field that is not in a method's lists is taken for one of the dearest tier: better too high a cost than too low.
"""

from __future__ import annotations

from collections.abc import Iterable

from usage_metering.events import shown

TIERS = ("ids_only", "essentials", "pro", "enterprise", "enterprise_atmosphere")

SINGLE = ("autocomplete_request", "autocomplete_session", "place_photo")
"""SKUs that no field mask decides."""

_IDS = frozenset({"attributions", "id", "movedPlace", "movedPlaceId", "name"})
_ADDRESS = frozenset(
    {
        "addressComponents",
        "addressDescriptor",
        "adrFormatAddress",
        "formattedAddress",
        "location",
        "plusCode",
        "postalAddress",
        "shortFormattedAddress",
        "types",
        "viewport",
    }
)
_PRO = frozenset(
    {
        "accessibilityOptions",
        "businessStatus",
        "containingPlaces",
        "displayName",
        "googleMapsLinks",
        "googleMapsUri",
        "iconBackgroundColor",
        "iconMaskBaseUri",
        "openingDate",
        "primaryType",
        "primaryTypeDisplayName",
        "pureServiceAreaBusiness",
        "subDestinations",
        "timeZone",
        "utcOffsetMinutes",
    }
)
_ENTERPRISE = frozenset(
    {
        "currentOpeningHours",
        "currentSecondaryOpeningHours",
        "internationalPhoneNumber",
        "nationalPhoneNumber",
        "priceLevel",
        "priceRange",
        "rating",
        "regularOpeningHours",
        "regularSecondaryOpeningHours",
        "userRatingCount",
        "websiteUri",
    }
)

METHODS: dict[str, dict[str, frozenset[str]]] = {
    "place_details": {
        "ids_only": _IDS | {"photos"},
        "essentials": _ADDRESS,
        "pro": _PRO,
        "enterprise": _ENTERPRISE,
    },
    "text_search": {
        "ids_only": _IDS | {"nextPageToken"},
        "pro": _ADDRESS | _PRO | {"photos", "searchUri"},
        "enterprise": _ENTERPRISE,
    },
    "nearby_search": {
        "pro": _IDS | _ADDRESS | _PRO | {"photos"},
        "enterprise": _ENTERPRISE,
    },
}
"""Method -> the tiers that it is sold in below the dearest, with the fields of each: Google lists them by method, and the same field may be
of another tier in the next one (photos: free with Place Details, Pro with a search)."""


def places_sku(method: str, field_mask: str | Iterable[str] = ()) -> str:
    """Return the SKU as the price book has it: ``place_details_pro``, ``text_search_enterprise``, ``place_photo``, …

    Args:
        method: place_details, text_search, nearby_search, or a SKU that has no tiers (`SINGLE`).
        field_mask: the fields that were asked for, or the header as it was sent (``places.id,places.displayName``); ``*`` is all.

    Raises:
        ValueError: another method, or a method with tiers without a field mask.
    """
    if method in SINGLE:
        return method
    if method not in METHODS:
        raise ValueError(f"unknown method {shown(method)}: use {', '.join((*METHODS, *SINGLE))}")
    fields = field_mask.split(",") if isinstance(field_mask, str) else list(field_mask)
    names = {name for field in fields if (name := _top_level(field))}
    if not names:
        raise ValueError(f"{method} is billed by its field mask: name the requested fields")
    tiers = METHODS[method]
    dearest = max(TIERS.index(next((tier for tier in tiers if name in tiers[tier]), TIERS[-1])) for name in names)
    return f"{method}_{TIERS[dearest]}"


def _top_level(field: str) -> str:
    """Return a path's field of a place as JSON names it: ``places.display_name.text`` is about displayName."""
    first, *others = field.strip().removeprefix("places.").partition(".")[0].split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)
