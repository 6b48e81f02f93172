"""What has no price is told by kind: no sum of units that are not alike, and nothing of them lost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from api.dashboard.formats import quantities
from api.kit.unpriced import Kinds, kinds_of, listed, of_cell, of_several, together

MIXED: Kinds = {"calls": 3, "images": Decimal(2453), "seconds": Decimal("1200.5")}


@pytest.mark.parametrize(
    ("kinds", "count"), [({}, 0), ({"images": 2453}, 2453), (MIXED, None), ({"gb_days": Decimal("0.25")}, 0.25)]
)
def test_over_several_channels_only_one_kind_has_a_count(kinds: Kinds, count: float | None) -> None:
    fields = of_several(kinds)
    assert (fields["unpriced_unit_count"], len(fields["unpriced_units"])) == (count, len(kinds))


def test_a_channel_counts_its_own_unit_and_tells_every_one() -> None:
    fields = of_cell({"unit": "tokens", "unpriced_unit_count": 0, "unpriced_units": {"images": 7}})
    assert (fields["unpriced_unit_count"], fields["unpriced_units"][0].unit) == (0, "images")
    # A row of a build before kinds were kept.
    assert kinds_of({"unit": "tokens", "unpriced_unit_count": 5, "unpriced_units": {}}) == {"tokens": 5}


def test_rows_are_summed_kind_by_kind() -> None:
    assert together([MIXED, {"calls": 1, "tokens": 5}, {"tokens": -5}]) == {
        "calls": 4,
        "images": 2453,
        "seconds": Decimal("1200.5"),
    }


def test_kinds_are_listed_for_people_the_largest_first() -> None:
    assert quantities(listed(MIXED)) == "2,453 images, 1,200.5 seconds and 3 calls"
    assert quantities(listed({"calls": 1})) == "1 call"
