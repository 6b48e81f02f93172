"""Bodies of the tenant's routes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from api.kit.coverage import UnknownDays
from api.kit.periods import Granularity
from api.kit.schemas import Body, Cents, Channel, Percent, Period, Quantity, ResponseBody, Usd
from api.kit.unpriced import UnpricedUnits
from costs.rules.limits import Status

ROW_CONFIG = ConfigDict(alias_generator=to_camel)


class Plan(Body):
    """The tenant's plan of today."""

    name: str = Field(examples=["pro"])
    label: str | None = Field(examples=["Pro"])
    monthly_base_price_usd: Usd


class Limit(Body):
    """One cap of a channel, as it holds for this tenant, and what counts against it."""

    metric: str = Field(description="requests, units or cost_cents", examples=["units"])
    direction: str = Field(description="outbound, inbound or any", examples=["any"])
    used: Quantity
    cap: Quantity | None = Field(description="Null: no cap.")
    percent_used: Percent | None
    warning_threshold_pct: Quantity | None
    status: Status


class ChannelUsage(Body):
    """A channel in a period: metric to status are its worst limit's (or plain units where it has none)."""

    channel: Channel
    unit: str = Field(examples=["segments"])
    metric: str
    used: Quantity
    cap: Quantity | None
    percent_used: Percent | None
    warning_threshold_pct: Quantity | None
    status: Status
    limits: list[Limit]
    unit_count: Quantity = Field(description="Both directions.")
    request_count: int = Field(description="Messages, calls, requests or emails.")
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    billed_cost_cents: Cents = Field(description="Null until the provider has billed all of it.")
    billed_cost_usd: Usd
    unpriced_unit_count: Quantity = Field(description="Of the channel's own unit.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")
    provisional_unit_count: Quantity = Field(
        description="Part of unitCount that only our own events know of: the provider's record has not arrived."
    )


class Totals(Body):
    """All channels of a period together. `…Used` are units, both directions; totalMessages are messages."""

    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    billed_cost_cents: Cents
    billed_cost_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")
    request_count: int
    total_messages: int
    sms_used: Quantity
    mms_used: Quantity
    voice_minutes_used: Quantity
    emails_sent: Quantity
    ai_tokens_used: Quantity
    ai_requests: int


class PlanLimit(Body):
    """One cap of the plan, before the tenant's own overrides."""

    channel: Channel
    metric: str
    direction: str
    monthly_cap: Quantity | None
    warning_threshold_pct: Quantity | None


# There are hundreds of these in one body, and a dataclass is made several times as fast as a model.
@dataclass(slots=True)
class DailyUsage:
    """One channel on one day; a quiet day is a row of zeros."""

    __pydantic_config__: ClassVar[ConfigDict] = ROW_CONFIG

    date: dt.date
    channel: Channel
    unit: str
    unit_count: Quantity
    request_count: int
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd


class Group(TypedDict, total=False):
    """A part of a channel's usage."""

    service: str
    feature: str
    operation: str
    model: str


@dataclass(slots=True)
class DailyRow(DailyUsage):
    """One channel on one day, or in one week or month, with what the provider billed."""

    billed_cost_cents: Cents
    billed_cost_usd: Usd
    unpriced_unit_count: Annotated[Quantity, Field(description="Of the channel's own unit.")]
    unpriced_units: Annotated[list[UnpricedUnits], Field(description="Of every unit, by kind.")]
    provisional_unit_count: Annotated[
        Quantity, Field(description="Part of unitCount whose provider record has not arrived.")
    ]
    is_final: Annotated[bool, Field(description="No later read is expected to change it.")]
    group: Annotated[Group, Field(description="What the row is of, by each group that was asked for.")]


class TopChannel(Body):
    channel: Channel
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd


class TopFeature(Body):
    feature: str = Field(examples=["broadcast"])
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd


class UsageStatus(ResponseBody):
    """What is used so far against the caps."""

    tenant_id: str = Field(examples=["acme"])
    tenant_name: str = Field(examples=["Acme Homes"])
    current_period: Period
    status: Status = Field(description="The worst channel's.")
    hard_stop_enabled: bool
    totals: Totals
    channels: list[ChannelUsage]


class Adjustment(Body):
    """What a closed month would cost otherwise by what is known now, booked in this period."""

    closed_month: str = Field(description="The month that it is about; its own figures stay.", examples=["2026-10"])
    channel: Channel
    reason: str = Field(
        description="usage, attribution, price, plan or code; two of them where both changed.", examples=["price"]
    )
    unit_count: Quantity = Field(description="Difference in units to the closed month.")
    cost_cents: Cents = Field(description="Of the estimate.")
    cost_usd: Usd
    charged_cost_cents: Cents = Field(description="Of the billed cost if known, else of the estimate.")
    charged_cost_usd: Usd


class UsageSummary(ResponseBody):
    """Everything that a tenant's usage page shows of a period."""

    tenant_id: str = Field(examples=["acme"])
    tenant_name: str = Field(examples=["Acme Homes"])
    current_plan: Plan | None
    current_period: Period
    status: Status = Field(description="The worst channel's.")
    hard_stop_enabled: bool
    channels: list[ChannelUsage]
    totals_for_period: Totals
    plan_limits: list[PlanLimit]
    daily_usage: list[DailyUsage] = Field(
        description="Each day × channel of the 30 days up to today, or to the end of an earlier period."
    )
    top_channel_by_spend: TopChannel | None
    top_feature_by_spend: TopFeature | None
    projected_cost_cents: Cents
    projected_cost_usd: Usd
    adjustment_cents: Cents = Field(
        description="Changes of closed months, booked in this period; no part of the period's own cost."
    )
    adjustment_usd: Usd
    adjusted_cost_cents: Cents = Field(description="The period's own cost and its adjustments together.")
    adjusted_cost_usd: Usd
    adjustments: list[Adjustment]


class Gap(UnknownDays):
    """Days of a channel whose zeros are not known to be zeros, and whose other figures may be too low."""

    channel: Channel


class DailySeries(ResponseBody):
    """Usage per day, week or month and channel, dense."""

    tenant_id: str
    start: dt.date = Field(serialization_alias="from", description="The first day.")
    end: dt.date = Field(serialization_alias="to", description="The last day, included.")
    granularity: Granularity
    time_zone: str = Field(description="In which this body's instants are written. Days are UTC.", examples=["UTC"])
    starts_at: dt.datetime = Field(description="When the first day begins.", examples=["2026-11-01T01:00:00+01:00"])
    ends_at: dt.datetime = Field(description="When the last day ends.")
    built_at: dt.datetime | None = Field(description="The end of the last build; to be sent as `since` next time.")
    rows: list[DailyRow]
    gaps: list[Gap] = Field(description="What is not known of these days, per channel, in their order.")


class FeatureUsage(Body):
    """One feature on one channel from one source."""

    feature: str = Field(description="(untracked) if no tracked event names one.", examples=["broadcast"])
    channel: Channel
    source: str = Field(examples=["twilio"])
    unit: str
    unit_count: Quantity
    request_count: int
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    unpriced_unit_count: Quantity = Field(description="Of the channel's own unit.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")
    percent_of_total: Percent | None = Field(description="Of the period's estimated cost.")


class FeatureBreakdown(ResponseBody):
    """Usage per feature, channel and source, the dearest first."""

    tenant_id: str
    current_period: Period
    features: list[FeatureUsage]


class ChannelAccess(ResponseBody):
    """May the tenant use this channel for so many more units?"""

    tenant_id: str
    channel: Channel
    units: Quantity
    allowed: bool
    status: Status
    used: Quantity = Field(description="Of the limit that decides.")
    reserved: Quantity
    cap: Quantity | None
    reason: str | None = Field(
        examples=["Usage cap reached for this channel. Please contact support or update your plan."]
    )
