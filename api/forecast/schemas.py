"""Body of the forecast."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from api.kit.schemas import Body, Cents, Channel, Percent, Period, Quantity, ResponseBody, Usd
from api.kit.unpriced import UnpricedUnits


class CostForecast(Body):
    """What the month will have cost at its end. Expected, low and high are null while too little is known."""

    used_cost_cents: Cents = Field(description="Month to date.")
    used_cost_usd: Usd
    projected_cost_cents: Cents = Field(description="At the pace of the complete days, as in the other routes.")
    projected_cost_usd: Usd
    expected_cost_cents: Cents = Field(description="By weekdays and the recent trend.")
    expected_cost_usd: Usd
    low_cost_cents: Cents = Field(description="With 10 % the month costs less.")
    low_cost_usd: Usd
    high_cost_cents: Cents = Field(description="With 10 % the month costs more.")
    high_cost_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(
        description="Of the last weeks, by kind, without a known price: they are in no figure here."
    )


Outlook = Literal["reached", "likely", "possible", "unlikely", "unknown", "no_cap"]


class CapForecast(Body):
    """One limit: what will be used of it by the month's end, and when its cap is reached. Cents where metric is cost_cents."""

    channel: Channel
    unit: str = Field(examples=["segments"])
    metric: str = Field(description="requests, units or cost_cents", examples=["units"])
    direction: str = Field(description="outbound, inbound or any", examples=["any"])
    used: Quantity | None
    cap: Quantity | None = Field(description="Null: no cap.")
    expected: Quantity | None = Field(description="At the month's end; null, as its bounds, while too little is known.")
    low: Quantity | None
    high: Quantity | None
    outlook: Outlook = Field(
        description="reached; likely (50 % or more), possible (10 % or more), unlikely to be reached this month; "
        "unknown: too little history; no_cap."
    )
    reached_percent: Percent | None = Field(description="Probability that the cap is reached this month.")
    earliest_date: dt.date | None = Field(description="Reached by this day with 10 %; null: not this month.")
    likely_date: dt.date | None = Field(description="Reached by this day with 50 %; null: not this month.")
    latest_date: dt.date | None = Field(description="Reached by this day with 90 %; null: not this month.")


class UsageForecast(ResponseBody):
    """What the current month will come to, and when its caps will be reached."""

    tenant_id: str = Field(examples=["acme"])
    tenant_name: str = Field(examples=["Acme Homes"])
    current_period: Period
    forecast_date: dt.date | None = Field(description="The day whose data the forecast is based on; null: none yet.")
    days_remaining: int = Field(description="Days after today.")
    interval_percent: int = Field(description="How often the true figure is meant to lie between low and high.")
    history_days: int = Field(description="Complete days that the cost's forecast is based on, at most 84.")
    cost: CostForecast
    caps: list[CapForecast]
