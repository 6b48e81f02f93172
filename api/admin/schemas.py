"""Bodies of the owner's routes."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from api.admin.alerts import Alert
from api.kit.schemas import Body, Cents, Channel, Percent, Quantity, ResponseBody, Usd
from api.kit.unpriced import UnpricedUnits
from costs.rules.limits import Status


class SystemTenant(Body):
    """One tenant in a month. `…Used` are units, both directions."""

    tenant_id: str = Field(examples=["acme"])
    tenant_name: str = Field(examples=["Acme Homes"])
    plan: str | None = Field(examples=["pro"])
    plan_label: str | None = Field(examples=["Pro"])
    account_status: str = Field(description="active, suspended or removed", examples=["active"])
    sms_used: Quantity
    mms_used: Quantity
    voice_minutes_used: Quantity
    emails_sent: Quantity
    ai_tokens_used: Quantity
    ai_requests: int
    status: Status
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    ai_percent_of_spend: Percent | None
    twilio_percent_of_spend: Percent | None
    cost_change_percent: Percent | None = Field(description="Against the same days of the month before.")
    projected_cost_cents: Cents
    projected_cost_usd: Usd
    margin_cents: Cents = Field(description="Base price less cost; null without a plan.")
    margin_usd: Usd
    own_cost_cents: Cents = Field(
        description="Per channel what the provider billed once it billed all, else the estimate."
    )
    own_cost_usd: Usd
    shared_cost_cents: Cents = Field(
        description="Share of the unattributed cost; on `unattributed` what was given away, negative."
    )
    shared_cost_usd: Usd
    full_cost_cents: Cents = Field(
        description="Own, shared and adjustments as charged; on `unattributed` what could not be allocated."
    )
    full_cost_usd: Usd
    full_margin_cents: Cents = Field(description="Base price less full cost; null without a plan.")
    full_margin_usd: Usd
    adjustment_cents: Cents = Field(description="Changes of closed months, booked in this month; no part of its cost.")
    adjustment_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")


class SystemTotals(Body):
    """Sums over all tenants that the filters let through, not only over the page."""

    tenants: int
    active_tenants: int
    warning_tenants: int
    over_cap_tenants: int
    sms_used: Quantity
    mms_used: Quantity
    voice_minutes_used: Quantity
    emails_sent: Quantity
    ai_tokens_used: Quantity
    ai_requests: int
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    ai_percent_of_spend: Percent | None
    twilio_percent_of_spend: Percent | None
    projected_cost_cents: Cents
    projected_cost_usd: Usd
    margin_cents: Cents
    margin_usd: Usd
    own_cost_cents: Cents
    own_cost_usd: Usd
    shared_cost_cents: Cents = Field(description="0 over all tenants: what one is given, another gave away.")
    shared_cost_usd: Usd
    full_cost_cents: Cents = Field(
        description="Over all tenants: what the providers cost, and adjustments booked in the month."
    )
    full_cost_usd: Usd
    full_margin_cents: Cents
    full_margin_usd: Usd
    adjustment_cents: Cents
    adjustment_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")


class PlanOfTenants(Body):
    """A plan that tenants have."""

    name: str = Field(examples=["pro"])
    label: str | None = Field(examples=["Pro"])
    tenants: int = Field(description="How many have it, whatever the filters.")


class SystemSummary(ResponseBody):
    """All tenants in a month, a page at a time."""

    period: str = Field(examples=["2026-11"])
    items: list[SystemTenant]
    totals: SystemTotals
    plans: list[PlanOfTenants] = Field(description="What `plan` can filter by, the commonest first.")
    next_cursor: str | None = Field(description="Ask again with it for the next page; null on the last one.")


class Client(Body):
    """One tenant's cost in a month."""

    tenant_id: str
    tenant_name: str
    plan: str | None
    plan_label: str | None
    account_status: str = Field(description="active, suspended or removed", examples=["active"])
    status: Status
    openai_cost_cents: Cents
    openai_cost_usd: Usd
    twilio_sms_cost_cents: Cents
    twilio_sms_cost_usd: Usd
    twilio_voice_cost_cents: Cents
    twilio_voice_cost_usd: Usd
    twilio_phone_cost_cents: Cents = Field(description="Phone numbers.")
    twilio_phone_cost_usd: Usd
    sendgrid_cost_cents: Cents = Field(description="Email.")
    sendgrid_cost_usd: Usd
    stripe_cost_cents: Cents = Field(description="Payments.")
    stripe_cost_usd: Usd
    google_places_cost_cents: Cents
    google_places_cost_usd: Usd
    storage_cost_cents: Cents = Field(description="Cloudflare R2.")
    storage_cost_usd: Usd
    other_cost_cents: Cents = Field(
        description="All services without a column of their own, such as Azure OpenAI; with them the columns add up to the total."
    )
    other_cost_usd: Usd
    total_cost_cents: Cents
    total_cost_usd: Usd
    adjustment_cents: Cents = Field(description="Changes of closed months, booked in this month; no part of its cost.")
    adjustment_usd: Usd
    total_messages: int
    total_ai_calls: int
    cost_change_percent: Percent | None = Field(description="Against the same days of the month before.")
    projected_cost_cents: Cents
    projected_cost_usd: Usd
    margin_cents: Cents = Field(description="Base price less cost; null without a plan.")
    margin_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")


class ClientTotals(Body):
    """Sums over all tenants that the search lets through, not only over the page."""

    clients: int
    active_clients: int = Field(description="Those that used something; unattributed usage is not counted.")
    average_cost_cents: Cents = Field(
        description="Cost of the tenants per active tenant; null if none is active or nothing is priced."
    )
    average_cost_usd: Usd
    total_cost_cents: Cents
    total_cost_usd: Usd
    adjustment_cents: Cents
    adjustment_usd: Usd
    openai_cost_cents: Cents
    openai_cost_usd: Usd
    twilio_sms_cost_cents: Cents
    twilio_sms_cost_usd: Usd
    twilio_voice_cost_cents: Cents
    twilio_voice_cost_usd: Usd
    twilio_phone_cost_cents: Cents
    twilio_phone_cost_usd: Usd
    sendgrid_cost_cents: Cents
    sendgrid_cost_usd: Usd
    stripe_cost_cents: Cents
    stripe_cost_usd: Usd
    google_places_cost_cents: Cents
    google_places_cost_usd: Usd
    storage_cost_cents: Cents
    storage_cost_usd: Usd
    other_cost_cents: Cents
    other_cost_usd: Usd
    total_messages: int
    total_ai_calls: int
    projected_cost_cents: Cents
    projected_cost_usd: Usd
    margin_cents: Cents
    margin_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")


class ClientCosts(ResponseBody):
    """All tenants' costs in a month, the dearest first unless asked otherwise."""

    month: str = Field(examples=["2026-11"])
    clients: list[Client]
    totals: ClientTotals
    next_cursor: str | None


class ServiceCost(Body):
    service: str = Field(examples=["twilio_sms"])
    request_count: int
    cost_cents: Cents
    cost_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")


class DayCost(Body):
    date: dt.date
    request_count: int
    cost_cents: Cents
    cost_usd: Usd


class OperationCost(Body):
    service: str = Field(examples=["openai"])
    operation: str = Field(examples=["chat_completion"])
    activity: str | None = Field(description="The product's own word for it, where known.", examples=["lead_scoring"])
    unit: str = Field(examples=["tokens"])
    unit_count: Quantity
    request_count: int
    cost_cents: Cents
    cost_usd: Usd


class CurrentMonth(Body):
    """The as-of month, whatever range was asked for."""

    cost_cents: Cents
    cost_usd: Usd
    days_remaining: int = Field(description="Days after today.")
    projected_cost_cents: Cents
    projected_cost_usd: Usd
    daily_average_cents: Cents = Field(description="Of the complete days; on the first day, of today so far.")
    daily_average_usd: Usd
    cost_change_percent: Percent | None = Field(description="Against the same days of the month before.")
    margin_cents: Cents = Field(description="Base price less cost; null without a plan.")
    margin_usd: Usd
    status: Status
    adjustment_cents: Cents = Field(description="Changes of closed months, booked in this month; no part of its cost.")
    adjustment_usd: Usd


class BlockedChannel(Body):
    channel: Channel
    blocked_count: int
    last_blocked_at: dt.datetime


class BlockedActions(Body):
    """Uses that the cap has not let through."""

    total: int
    by_channel: list[BlockedChannel] = Field(description="The most blocked first.")


class TenantDetail(ResponseBody):
    """One tenant's cost over a range of days."""

    tenant_id: str
    tenant_name: str
    plan: str | None = Field(examples=["pro"])
    plan_label: str | None = Field(examples=["Pro"])
    monthly_base_price_usd: Usd
    account_status: str = Field(description="active, suspended or removed", examples=["active"])
    hard_stop_enabled: bool
    start_date: dt.date
    end_date: dt.date = Field(description="Included.")
    total_cost_cents: Cents
    total_cost_usd: Usd
    by_service: list[ServiceCost] = Field(description="The dearest first.")
    by_day: list[DayCost] = Field(description="Every day of the range.")
    top_operations: list[OperationCost] = Field(description="The ten dearest.")
    current_month: CurrentMonth
    blocked_actions: BlockedActions = Field(description="Of the range.")
    reconciliation: dict[str, int] = Field(
        description="Days × services of the range by state, as /api/admin/usage/reconciliation has them.",
        examples=[{"matched": 41, "drift": 1}],
    )
    alerts: list[Alert] = Field(description="The tenant's open alerts, newest first.")


class SourceFreshness(Body):
    """What was last read of one table of a provider."""

    provider: str = Field(examples=["twilio"])
    table_name: str = Field(examples=["twilio_messages"])
    last_read_at: dt.datetime | None
    last_usage_date: dt.date | None
    row_count: int
    rejected_count: int
    last_run_status: str | None = Field(description="ok, failed or skipped", examples=["ok"])
    last_error: str | None
    last_run_at: dt.datetime | None


class ProofStatus(Body):
    """What the proof job says: past days built anew from raw, in a scratch schema, and held against the marts."""

    last_proven_at: dt.datetime | None = Field(description="When a day was last found equal; null: never yet.")
    proven_days: int = Field(description="Days whose figures, as they stand, have been proven.")
    different_days: list[dt.date] = Field(description="Days whose figures differ from what raw gives.")


class Freshness(ResponseBody):
    """How fresh each source is, and when the figures were last proven."""

    items: list[SourceFreshness]
    proof: ProofStatus
    is_replica: bool = Field(description="Whether this was read from a replica of the database.")
    replica_behind_seconds: int | None = Field(
        description="How far the replica may be behind; null: it does not know, or there is none.", examples=[0]
    )
