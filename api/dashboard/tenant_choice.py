"""What the tenant's page is asked to show: one period for everything on it, and how its chart and table are cut.

All of it stands in the address, so that each state of the page can be linked to and works without a script.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Query, Request

from api.dashboard.steps import usual_grain
from api.dashboard.usage_table import Group, Sort
from api.kit.parameters import NO_NUL
from api.kit.periods import DayRange, Granularity, Month, checked_days, parse_day, parse_month
from api.kit.problems import InvalidInput
from api.kit.services import services

By = Literal["cost", "usage", "month"]
RANGES = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Choice:
    """The period and the cuts.

    ``month`` is the period's, of a range the one of its last day; ``is_month``: the period is that month, up to today. ``trailing``
    is how many days a range was asked for by their number, None where it was by its bounds.
    """

    today: date
    month: Month
    days: DayRange
    is_month: bool
    trailing: int | None = None
    by: By = "cost"
    grain: Granularity = "day"
    of: str = "cost"
    group: Group = "channel"
    sort: Sort = "cost"
    descending: bool = True
    search: str = ""

    @property
    def is_current(self) -> bool:
        """Whether the period is the month that is not over."""
        return self.is_month and self.month == Month.of(self.today)

    def query(self) -> dict[str, Any]:
        """Return the parameters that make this choice; what is usual is left out."""
        if self.is_month:
            period: dict[str, Any] = {"period": None if self.is_current else self.month.key}
        elif self.trailing:
            is_this_month = self.month == Month.of(self.today)
            period = {"period": None if is_this_month else self.month.key, "days": self.trailing}
        else:
            period = {"from": self.days.first.isoformat(), "to": self.days.last.isoformat()}
        usual = replace(
            self, by="cost", grain=usual_grain(self.days), of="cost", group="channel", sort="cost", search=""
        )
        own = {name: getattr(self, name) for name in ("by", "grain", "of", "group", "sort", "search")}
        return {
            **period,
            **{name: None if value == getattr(usual, name) else value for name, value in own.items()},
            "order": None if self.descending == (self.sort in DESCENDING) else ("desc" if self.descending else "asc"),
        }


DESCENDING: tuple[Sort, ...] = ("cost", "count")
"""What is sorted from the largest unless asked otherwise."""


async def choice_of_page(
    request: Request,
    period: Annotated[str, Query()] = "",
    first: Annotated[str, Query(alias="from")] = "",
    last: Annotated[str, Query(alias="to")] = "",
    days: Annotated[str, Query()] = "",
    by: Annotated[str, Query()] = "",
    grain: Annotated[str, Query()] = "",
    of: Annotated[str, Query(pattern=NO_NUL, max_length=100)] = "",
    group: Annotated[str, Query()] = "",
    sort: Annotated[str, Query()] = "",
    order: Annotated[str, Query()] = "",
    search: Annotated[str, Query(pattern=NO_NUL, max_length=200)] = "",
) -> Choice:
    """Return what the address asks for. An empty choice of a form is none.

    Raises:
        InvalidInput: a parameter that is none of its values, or a period that has not begun.
    """
    today = services(request).today()
    month = parse_month(period or "current", today=today, field="period")
    last_day = min(today, month.last)
    chosen = Choice(today, month, DayRange(month.first, last_day), is_month=True)
    if first or last:
        end = parse_day(last, today=today, field="to") if last else today
        start = parse_day(first, today=today, field="from") if first else Month.of(end).first
        shown = checked_days(start, end, first_field="from")
        chosen = replace(chosen, month=Month.of(end), days=shown, is_month=False)
    elif days:
        count = int(_one_of("days", days, tuple(map(str, RANGES))))
        chosen = replace(chosen, days=DayRange.trailing(last_day, count), is_month=False, trailing=count)
    sorted_by: Sort = _one_of("sort", sort or "cost", get_args(Sort))
    measure: By = _one_of("by", by or "cost", get_args(By))
    return replace(
        chosen,
        # A month added up is a whole one.
        by="cost" if measure == "month" and not chosen.is_month else measure,
        grain=_one_of("grain", grain or usual_grain(chosen.days), get_args(Granularity)),
        of=of or "cost",
        group=_one_of("group", group or "channel", get_args(Group)),
        sort=sorted_by,
        descending=sorted_by in DESCENDING if not order else _one_of("order", order, ("asc", "desc")) == "desc",
        search=search.strip(),
    )


def _one_of(field: str, value: str, values: tuple[str, ...]) -> Any:
    if value not in values:
        raise InvalidInput(field, f"must be one of {', '.join(values)}")
    return value


PageChoice = Annotated[Choice, Depends(choice_of_page)]
