"""What pages with lists share: the months to choose from, and ways through a list that is paged by cursors.

A cursor leads forward only, so a page's address carries the cursors of the pages before it; of a long way the last
few, and the first page is always one click away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query

from api.dashboard.paths import link
from api.kit.periods import Month

MONTHS = 6
MOST_STEPS_BACK = 10
_SEPARATOR = "."  # in no cursor: they are base64url


def months(today: date, chosen: Month, count: int = MONTHS) -> list[tuple[str, str]]:
    """Return the months of a selector as (key, label), the newest first; an older month that was asked for comes last."""
    choices = [Month.of(today)]
    while len(choices) < count:
        choices.append(Month.of(choices[-1].first - timedelta(days=1)))
    if chosen not in choices:
        choices.append(chosen)
    return [(month.key, month.label) for month in choices]


@dataclass(frozen=True, slots=True)
class PageState:
    """Where in a list a page is: its number, and the cursors of the pages before it, the nearest last."""

    number: int
    back: tuple[str, ...]


async def page_state(
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    back: Annotated[str, Query(pattern=r"^[A-Za-z0-9_.-]*$", max_length=20_000)] = "",
) -> PageState:
    return PageState(page, tuple(part for part in back.split(_SEPARATOR) if part))


ListPage = Annotated[PageState, Depends(page_state)]


@dataclass(frozen=True, slots=True)
class Ways:
    """The pages around a page, as paths with queries (None: there is none), and the number of its first row."""

    first: str | None
    previous: str | None
    next: str | None
    first_row: int


def ways(
    path: str, query: Mapping[str, Any], at: PageState, cursor: str | None, next_cursor: str | None, limit: int
) -> Ways:
    """Return the ways from a page of a list.

    Args:
        path: the page's own.
        query: the parameters of the list: all but the place in it.
        at: where we are; `cursor` is what led here.
        next_cursor: what the list says follows.
        limit: rows per page.
    """

    def to(number: int, target_cursor: str | None, back: tuple[str, ...]) -> str:
        joined = _SEPARATOR.join(back[-MOST_STEPS_BACK:])
        return link(path, {**query, "cursor": target_cursor, "page": number if number > 1 else None, "back": joined})

    if cursor is None:
        following = to(2, next_cursor, ()) if next_cursor else None
        return Ways(None, None, following, 1)
    number = max(at.number, 2)
    previous = None
    if at.back:
        previous = to(number - 1, at.back[-1], at.back[:-1])
    elif number == 2:
        previous = to(1, None, ())
    following = to(number + 1, next_cursor, (*at.back, cursor)) if next_cursor else None
    return Ways(to(1, None, ()), previous, following, (number - 1) * limit + 1)
