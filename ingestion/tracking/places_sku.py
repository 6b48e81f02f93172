"""Which of Google's SKUs a request to Places (New) is billed as: its method, and the dearest field that its field mask asks for.

From developers.google.com/maps/documentation/places/web-service/data-fields (read 2026-11). A field that is not in these lists is taken for
one of the dearest tier: better told too dear than too cheap.
"""

from __future__ import annotations

from collections.abc import Iterable

TIERS = ("ids_only", "essentials", "pro", "enterprise", "enterprise_atmosphere")
METHODS: dict[str, tuple[str, ...]] = {
    "place_details": TIERS,
    "text_search": ("ids_only", "pro", "enterprise", "enterprise_atmosphere"),
    "nearby_search": ("pro", "enterprise", "enterprise_atmosphere"),
}
"""Method -> the tiers that it is sold in; a field of a tier that a method lacks costs the next."""

SINGLE = ("autocomplete_request", "autocomplete_session", "place_photo")
"""SKUs that no field mask decides."""

FIELDS: dict[str, frozenset[str]] = {
    "ids_only": frozenset({"attributions", "id", "name", "nextPageToken", "photos", "movedPlace", "movedPlaceId"}),
    "essentials": frozenset(
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
    ),
    "pro": frozenset(
        {
            "accessibilityOptions",
            "businessStatus",
            "containingPlaces",
            "displayName",
            "googleMapsLinks",
            "googleMapsUri",
            "iconBackgroundColor",
            "iconMaskBaseUri",
            "primaryType",
            "primaryTypeDisplayName",
            "pureServiceAreaBusiness",
            "subDestinations",
            "timeZone",
            "utcOffsetMinutes",
        }
    ),
    "enterprise": frozenset(
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
    ),
}


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
        raise ValueError(f"method {method!r} is none of {', '.join((*METHODS, *SINGLE))}")
    fields = field_mask.split(",") if isinstance(field_mask, str) else list(field_mask)
    names = {name for field in fields if (name := _top_level(field))}
    if not names:
        raise ValueError(f"{method} is billed by its field mask: say which fields were asked for")
    wanted = max(TIERS.index(_tier(name)) for name in names)
    return f"{method}_{next(tier for tier in METHODS[method] if TIERS.index(tier) >= wanted)}"


def _top_level(field: str) -> str:
    """Return a path's field of a place: ``places.displayName.text`` is about displayName."""
    return field.strip().removeprefix("places.").partition(".")[0]


def _tier(name: str) -> str:
    return next((tier for tier, names in FIELDS.items() if name in names), TIERS[-1])
