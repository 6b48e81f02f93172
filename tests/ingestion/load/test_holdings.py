"""Which days a listing of what is held has changed."""

from __future__ import annotations

from datetime import date

import pytest

from ingestion.load.holdings import Holding, changed_days


def held(first: int, last: int, digest: str = "local") -> Holding:
    return Holding(date(2026, 11, first), date(2026, 11, last), digest)


@pytest.mark.parametrize(
    ("before", "after", "days"),
    [
        ({}, {}, []),
        ({"n": held(1, 5)}, {"n": held(1, 5)}, []),
        # Seen today again, and after an outage.
        ({"n": held(1, 5)}, {"n": held(1, 6)}, [6]),
        ({"n": held(1, 5)}, {"n": held(1, 9)}, [6, 7, 8, 9]),
        # Seen late, and provisioned again by another id.
        ({}, {"n": held(3, 6)}, [3, 4, 5, 6]),
        ({"n": held(1, 5)}, {"n": held(1, 5), "m": held(5, 6)}, [5, 6]),
        # Released, for good or by mistake.
        ({"n": held(1, 6)}, {"n": held(1, 4)}, [5, 6]),
        # It is another kind of number, or was provisioned on another day.
        ({"n": held(2, 4)}, {"n": held(2, 5, "toll_free")}, [2, 3, 4, 5]),
        ({"n": held(4, 5)}, {"n": held(2, 5)}, [2, 3, 4, 5]),
        # Several at once, one within the other.
        ({}, {"n": held(1, 9), "m": held(3, 4), "o": held(8, 10)}, list(range(1, 11))),
        ({}, {"n": held(1, 2), "m": held(5, 5)}, [1, 2, 5]),
    ],
)
def test_days_on_which_something_else_is_held(
    before: dict[str, Holding], after: dict[str, Holding], days: list[int]
) -> None:
    found = changed_days(
        {("AC", key): value for key, value in before.items()}, {("AC", key): value for key, value in after.items()}
    )
    assert found == {date(2026, 11, day) for day in days}
