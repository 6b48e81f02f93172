"""Ways through a paged list, and the months to choose from."""

from __future__ import annotations

from datetime import date
from urllib.parse import parse_qs, urlsplit

from api.dashboard.owner.listing import MOST_STEPS_BACK, PageState, months, ways
from api.kit.periods import Month


def test_six_months_the_newest_first() -> None:
    assert months(date(2026, 2, 20), Month(date(2026, 2, 1))) == [
        ("2026-02", "February 2026"),
        ("2026-01", "January 2026"),
        ("2025-12", "December 2025"),
        ("2025-11", "November 2025"),
        ("2025-10", "October 2025"),
        ("2025-09", "September 2025"),
    ]


def test_an_older_month_that_was_asked_for_can_be_chosen_too() -> None:
    found = months(date(2026, 11, 20), Month(date(2026, 1, 1)))
    assert (len(found), found[-1]) == (7, ("2026-01", "January 2026"))


def _follow(path: str) -> tuple[PageState, str | None]:
    query = parse_qs(urlsplit(path).query)
    back = tuple(query.get("back", [""])[0].split(".")) if query.get("back") else ()
    return PageState(int(query.get("page", ["1"])[0]), back), query.get("cursor", [None])[0]


def test_the_way_forward_and_all_the_way_back() -> None:
    pages = 5
    visited = []
    at, cursor = PageState(1, ()), None
    for number in range(1, pages + 1):
        found = ways("/list", {"sort": "x"}, at, cursor, f"c{number + 1}" if number < pages else None, 50)
        visited.append((number, cursor, found.first_row))
        assert (found.next is None) == (number == pages)
        if found.next:
            at, cursor = _follow(found.next)
    assert visited == [(1, None, 1), (2, "c2", 51), (3, "c3", 101), (4, "c4", 151), (5, "c5", 201)]
    for number in range(pages, 1, -1):
        found = ways("/list", {"sort": "x"}, at, cursor, None, 50)
        assert found.first == "/list?sort=x"
        assert found.previous is not None
        at, cursor = _follow(found.previous)
        assert cursor == (f"c{number - 1}" if number > 2 else None)
    last = ways("/list", {"sort": "x"}, at, cursor, None, 50)
    assert (last.first, last.previous, last.first_row) == (None, None, 1)


def test_of_a_long_way_the_last_steps_are_kept_and_the_first_page() -> None:
    at = PageState(40, tuple(f"c{number}" for number in range(30, 40)))
    found = ways("/list", {}, at, "c40", "c41", 10)
    assert found.next is not None
    state, cursor = _follow(found.next)
    assert (len(state.back), state.back[-1], cursor) == (MOST_STEPS_BACK, "c40", "c41")
    end = ways("/list", {}, PageState(30, ()), "c30", None, 10)
    assert (end.previous, end.first) == (None, "/list")
