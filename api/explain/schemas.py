"""Bodies of the explanations. What a figure is recomputed from are exact decimal strings."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import Field, WithJsonSchema

from api.kit.schemas import Body, Cents, Channel, Quantity, ResponseBody, Usd
from api.kit.unpriced import UnpricedUnits

Exact = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "description": "Exact decimal."})
]


class PriceRow(Body):
    """A row of the price book that was in effect on the day."""

    price_id: str = Field(
        description="The row's name in every build; FOCUS exports bear it as SkuPriceId.",
        examples=["openai/chat_completion/gpt-4o-mini//input/2024-01-01#41fe2258"],
    )
    component: str = Field(examples=["input"])
    unit_price_usd: Exact
    per: Exact
    effective_from: date | None = Field(description="First day; null: ever.")
    effective_to: date | None = Field(description="Day after the last; null: open.")
    source: str | None


class PriceSet(Body):
    """The set of prices that was chosen for a line; an empty operation, model, plan or tier is any."""

    service: str
    operation: str
    model: str
    plan: str
    tier: str = ""
    version: str = Field(description="SHA-256 of the whole price book that the line was computed with.")
    prices: list[PriceRow]


class Term(Body):
    """One addend of the cost: quantity × unitPriceUsd ÷ per ÷ days."""

    component: str
    quantity: Exact
    unit_price_usd: Exact
    per: Exact
    days: int = Field(1, description="Of a price by the month, the days that it is for; else 1.")
    price_id: str


class Attribution(Body):
    """How many of a line's records a rule gave to the tenant."""

    rule: str = Field(examples=["phone_number"])
    description: str
    record_count: int


class Measures(Body):
    unit_count: Quantity
    request_count: int | None = Field(description="Null: the provider does not count them.")
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int = Field(serialization_alias="cacheWrite1hTokens")
    output_tokens: int


class Settlement(Body):
    """Of a residual: the provider's sum and what was tracked of it. The line is what the first has beyond the second."""

    is_exact: bool = Field(
        description="True: the day is closed and the difference is taken as it is, below 0 too. False: only where positive."
    )
    provider: Measures
    tracked: Measures


class RawRecord(Measures):
    """A row of a raw table that the line is made of."""

    table: str = Field(examples=["raw.twilio_messages"])
    id: str = Field(examples=["SM0123456789abcdef0123456789abcdef"])
    attribution: str = Field(description="The rule that gave this record to the tenant.", examples=["event"])
    event_count: int = Field(description="How many tracked events are about it.")
    billed_cost_usd: Usd


class RawRecords(Body):
    total: int
    items: list[RawRecord]
    next_cursor: str | None = Field(description="For `line` and `cursor`: the records after these.")


class ExplainedLine(Body):
    """What is priced as one, with all that its cost follows from."""

    line_id: str
    channel: Channel
    service: str
    operation: str
    direction: str
    source: str
    feature: str
    activity: str
    model: str
    tier: str = Field(
        "",
        description="Of AI, how it was processed: batch, flex, priority; long_context, batch_long_context, … of calls so "
        "long that their model has other prices for them. Empty: standard, or not known.",
    )
    long_context_unknown: bool = Field(
        False,
        description="True: the model's long calls cost more, the provider's sums do not say which are long, and this is estimated as if none were.",
    )
    evidence: str = Field(description="provider, tracked or residual.")
    plan: str = Field(description="The tenant's plan of that day; empty for none.")
    unit: str
    unit_count: Quantity
    request_count: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int = Field(serialization_alias="cacheWrite1hTokens")
    output_tokens: int
    amount_usd: Usd = Field(
        None,
        description="Of payments: the sum of their amounts, of which a percentage is taken; null where it is not known.",
    )
    unconverted_currency: str | None = Field(
        None,
        description="Of payments: the currency whose amounts could not be converted to US dollars; null if they could.",
    )
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    billed_cost_cents: Cents
    billed_cost_usd: Usd
    formula: str | None = Field(
        description="The terms, written out; their sum, rounded half away from zero to 18 decimals, is estimatedCostUsd. "
        "Null where unpriced.",
        examples=["9000 × 0.15 ÷ 1000000 + 1200 × 0.6 ÷ 1000000"],
    )
    terms: list[Term] | None
    unpriced_reason: str | None
    price_set: PriceSet | None
    billed_rule: str = Field(description="Where billedCostUsd is from.")
    attribution: list[Attribution]
    settlement: Settlement | None
    records: RawRecords


class ExplainedChannel(Body):
    """A cell of the usage summary, of which the lines are the parts."""

    channel: Channel
    unit: str
    unit_count: Quantity
    request_count: int
    estimated_cost_cents: Cents
    estimated_cost_usd: Usd
    billed_cost_cents: Cents
    billed_cost_usd: Usd
    unpriced_unit_count: Quantity = Field(description="Of the channel's own unit.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")
    is_final: bool


class BookedAdjustment(Body):
    """What the day of a closed month would say otherwise, by what came after the close. The lines stay as they were closed."""

    channel: Channel
    reason: str = Field(examples=["usage"])
    booked_month: str = Field(description="The open month that it is counted in.", examples=["2026-11"])
    recorded_at: datetime
    unit_count: Quantity
    unpriced_unit_count: Quantity = Field(description="Of the channel's own unit: the difference to the closed day.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")
    cost_cents: Cents = Field(description="Of the estimate.")
    cost_usd: Usd
    charged_cost_cents: Cents = Field(description="Of the billed cost if known, else of the estimate.")
    charged_cost_usd: Usd


class Explanation(ResponseBody):
    """A day's lines, the dearest first."""

    tenant_id: str
    date: date
    channels: list[ExplainedChannel] = Field(description="What the lines sum to: over all pages.")
    adjustments: list[BookedAdjustment] = Field(
        description="Of a closed month's day, oldest first: their records are among those of the lines, or in no line yet."
    )
    lines: list[ExplainedLine]
    next_cursor: str | None
