"""How much a tenant uses of a channel on each day: its share of the plan's cap, spread over the month by
weekday.

The caps are those of dbt_project/seeds/plan_limits.csv in kind, only to choose sensible volumes; nothing that
counts usage reads them. A share of 0.8 or more is reached on the last day of the data in the last month, so
that "near" and "over" show on any day of the month; the others are spread over the whole month.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

from sandbox.generate.cast import Role

STARTER_CAPS = {"sms": 1000, "mms": 100, "voice": 300, "email": 10_000, "ai": 2_000_000}
# Agency and no plan have no caps: these only set how much such a tenant uses.
MULTIPLES = {"starter": 1, "pro": 5, "elite": 20, "agency": 8, "": 1}
WEEKDAY_WEIGHTS = (1.0, 1.1, 1.05, 1.0, 0.9, 0.4, 0.25)
PRESSING = 0.8
EARLIER_MONTHS = 0.85  # usage grew into the last month


class Volume:
    def __init__(self, *, first: date, last: date, scale: float) -> None:
        self.first, self.last, self.scale = first, last, scale

    def monthly(self, role: Role, channel: str) -> float:
        """Units of a full month: segments, messages, minutes, emails or tokens."""
        share: float = getattr(role, channel)
        return share * STARTER_CAPS[channel] * MULTIPLES[role.plan] * self.scale

    def daily(self, role: Role, channel: str, days: list[date]) -> list[int]:
        """Units of each of `days` (consecutive, within first..last): whole numbers."""
        monthly = self.monthly(role, channel)
        pressing = getattr(role, channel) >= PRESSING
        amounts, due, given = [], 0.0, 0
        for day in days:
            due += monthly * self._share(day, pressing=pressing)
            amounts.append(int(due) - given)
            given = int(due)
        return amounts

    def _share(self, day: date, *, pressing: bool) -> float:
        """The day's part of its month, times the month's level."""
        start = day.replace(day=1)
        end = start + timedelta(days=monthrange(day.year, day.month)[1] - 1)
        current = (day.year, day.month) == (self.last.year, self.last.month)
        if current and pressing:
            start, end = max(start, self.first), self.last
        whole = sum(
            WEEKDAY_WEIGHTS[(start + timedelta(days=number)).weekday()] for number in range((end - start).days + 1)
        )
        return WEEKDAY_WEIGHTS[day.weekday()] / whole * (1.0 if current else EARLIER_MONTHS)
