"""From rows to explanations. No HTTP and no SQL here; no figure is computed here either, only shown with what it follows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from api.explain import queries
from api.explain.schemas import (
    Attribution,
    BookedAdjustment,
    ExplainedChannel,
    ExplainedLine,
    Explanation,
    Measures,
    PriceRow,
    PriceSet,
    RawRecord,
    RawRecords,
    Settlement,
    Term,
)
from api.kit import unpriced
from api.kit.channels import channel_position
from api.kit.database import Row, TenantReader
from api.kit.money import money, quantity, usd
from api.kit.pagination import Cursor, decode, encode, fingerprint, unknown
from api.kit.problems import UnknownObject
from api.kit.tenants import tenant_row
from costs.rules.explain import Price, Quantities, formula_of, price_days, terms_of
from costs.rules.services import ITEMIZED, SERVICES

RULES: Mapping[str, str] = {
    "event": "The tracked event with the record's id names the tenant.",
    "subaccount": "The Twilio subaccount is the tenant's on that day.",
    "phone_number": "The number (from outbound, to inbound) is the tenant's on that day.",
    "parent_call": "The leg was dialled from a call of the tenant.",
    "call": "The recorded call is the tenant's.",
    "project": "The OpenAI project is the tenant's on that day.",
    "api_key": "The API key is the tenant's on that day; its project or workspace has no tenant.",
    "subuser": "The SendGrid subuser is the tenant's on that day.",
    "account": "The connected Stripe account is the tenant's on that day.",
    "metadata": "The charge's metadata name the tenant (tenant_id).",
    "charge": "It is about a charge of the tenant's.",
    "category": "The SendGrid category is the tenant's on that day.",
    "none": "No entry of the tenant directory names its tenant.",
}
"""What attributed a record, for people; of the other kinds of resource `rule_text` makes the sentence."""

BILLED_BY_RECORD = "What the provider billed for the records, together; unknown until each of them is priced."
BILLED_BY_ITEM = (
    "The provider's line items of the project or workspace and day, spread by estimated cost over the lines they are about; "
    "unknown until they have come."
)
BILLED_BY_NOBODY = "This provider does not say what a use costs."


def rule_text(rule: str) -> str:
    """Return in a sentence how a record's tenant was found: ``bucket`` is "The bucket is the tenant's on that day."."""
    return RULES.get(rule) or f"The {rule.replace('_', ' ')} is the tenant's on that day."


@dataclass(frozen=True, slots=True)
class ExplainQuery:
    """What a caller wants explained. ``line``: only this one, and ``cursor`` goes through its records."""

    day: date
    channel: str | None
    line: str | None
    limit: int
    records: int
    cursor: str | None

    def fingerprint(self, tenant_id: str) -> str:
        """Return what a cursor is bound to; page sizes may change on the way."""
        return fingerprint("explain", tenant_id, self.day, self.channel, self.line)


async def explanation(reader: TenantReader, query: ExplainQuery) -> Explanation:
    """Return the lines of a tenant's day with what each follows from.

    Raises:
        UnknownObject: there is no such tenant or line.
        InvalidInput: the cursor is not of this list.
    """
    bound_to = query.fingerprint(reader.tenant_id)
    at = decode(query.cursor, bound_to) if query.cursor else None
    of_records = at is not None and query.line is not None
    after_cost, after_line, after_table, after_record = None, "", "", ""
    if at is not None and of_records:
        after_table, after_record = at.text or "", at.tenant_id
    elif at is not None:
        if at.number is None:
            raise unknown()
        after_cost, after_line = at.number, at.tenant_id
    row = await tenant_row(
        reader,
        queries.EXPLANATION,
        day=query.day,
        channel=query.channel,
        line=query.line,
        limit=query.limit,
        records=query.records,
        after_cost=after_cost,
        after_line=after_line,
        after_table=after_table,
        after_record=after_record,
    )
    lines = row["lines"]
    if query.line is not None and not lines:
        raise UnknownObject("There is no such line on that day.")
    shown = lines[: query.limit]
    more = len(lines) > query.limit
    return Explanation(
        data_as_of=reader.data_as_of,
        tenant_id=row["tenant_id"],
        date=query.day,
        channels=[
            _channel(part) for part in sorted(row["channels"], key=lambda part: channel_position(part["channel"]))
        ],
        adjustments=[_adjustment(part) for part in row["adjustments"]],
        lines=[_line(part, query, reader.tenant_id) for part in shown],
        next_cursor=encode(Cursor(shown[-1]["line_id"], number=Decimal(shown[-1]["sort_key"])), bound_to)
        if more
        else None,
    )


def _adjustment(row: Row) -> BookedAdjustment:
    return BookedAdjustment(
        channel=row["channel"],
        reason=row["reason"],
        booked_month=row["booked_month"],
        recorded_at=datetime.fromisoformat(row["recorded_at"]).astimezone(UTC),
        unit_count=quantity(row["unit_count"]),
        unpriced_unit_count=quantity(row["unpriced_unit_count"]),
        unpriced_units=unpriced.listed(row["unpriced_units"]),
        **money("cost", row["cost_cents"]),
        **money("charged_cost", row["charged_cost_cents"]),
    )


def _channel(row: Row) -> ExplainedChannel:
    return ExplainedChannel(
        channel=row["channel"],
        unit=row["unit"],
        unit_count=quantity(row["unit_count"]),
        request_count=row["request_count"],
        **money("estimated_cost", row["estimated_cost_cents"]),
        **money("billed_cost", row["billed_cost_cents"]),
        **unpriced.of_cell(row),
        is_final=row["is_final"],
    )


def _line(row: Row, query: ExplainQuery, tenant_id: str) -> ExplainedLine:
    used = Quantities(
        Decimal(row["unit_count"]),
        row["input_tokens"],
        row["cached_input_tokens"],
        row["output_tokens"],
        amount_usd=None if row["amount_usd"] is None else Decimal(row["amount_usd"]),
        days=price_days(row["channel"], query.day),
        unit=row["unit"],
        cache_write_tokens=row["cache_write_tokens"],
        cache_write_1h_tokens=row["cache_write_1h_tokens"],
    )
    prices = [
        Price(price["price_id"], price["component"], Decimal(price["unit_price_usd"]), Decimal(price["per"]))
        for price in row["prices"] or ()
    ]
    # The mart's word decides whether it is priced; the terms show how.
    terms = None if row["estimated_cost_cents"] is None else terms_of(row["service"], used, prices)
    return ExplainedLine(
        line_id=row["line_id"],
        channel=row["channel"],
        service=row["service"],
        operation=row["operation"],
        direction=row["direction"],
        source=row["source"],
        feature=row["feature"],
        activity=row["activity"],
        model=row["model"],
        tier=row["tier"],
        long_context_unknown=row["long_context_unknown"],
        evidence=row["evidence"],
        plan=row["plan"],
        unit=row["unit"],
        unit_count=quantity(used.unit_count),
        request_count=row["request_count"],
        input_tokens=used.input_tokens,
        cached_input_tokens=used.cached_input_tokens,
        cache_write_tokens=used.cache_write_tokens,
        cache_write_1h_tokens=used.cache_write_1h_tokens,
        output_tokens=used.output_tokens,
        amount_usd=row["amount_usd"],
        unconverted_currency=row["unconverted_currency"] or None,
        **money("estimated_cost", row["estimated_cost_cents"]),
        **money("billed_cost", row["billed_cost_cents"]),
        formula=None if terms is None else formula_of(terms),
        terms=None
        if terms is None
        else [
            Term(
                component=term.component,
                quantity=f"{term.quantity:f}",
                unit_price_usd=f"{term.price.unit_price_usd:f}",
                per=f"{term.price.per:f}",
                days=term.days,
                price_id=term.price.price_id,
            )
            for term in terms
        ],
        unpriced_reason=_unpriced_reason(row, query.day),
        price_set=_price_set(row),
        billed_rule=_billed_rule(row["service"]),
        attribution=[
            Attribution(
                rule=part["rule"],
                description=rule_text(part["rule"]),
                record_count=part["record_count"],
            )
            for part in row["rules"]
        ],
        settlement=None
        if row["provider"] is None
        else Settlement(
            is_exact=row["is_exact"], provider=_measures(row["provider"]), tracked=_measures(row["tracked"])
        ),
        records=_records(row, query, tenant_id),
    )


def _billed_rule(service: str) -> str:
    if service in ITEMIZED:
        return BILLED_BY_ITEM
    known = SERVICES.get(service)
    return BILLED_BY_RECORD if known is not None and known.bills_records else BILLED_BY_NOBODY


def _unpriced_reason(row: Row, day: date) -> str | None:
    if row["estimated_cost_cents"] is not None:
        return None
    if row["unconverted_currency"]:
        return f"The amount is in {row['unconverted_currency'].upper()}, and Stripe gave no rate that leads to USD."
    what = " ".join(part for part in (row["service"], row["operation"], row["model"], row["tier"]) if part)
    if not row["prices"]:
        return f"The price book has no price for {what} on {day.isoformat()}."
    had = ", ".join(price["component"] for price in row["prices"])
    return f"The price set chosen for {what} on {day.isoformat()} has {had} only."


def _price_set(row: Row) -> PriceSet | None:
    if not row["prices"]:
        return None
    return PriceSet(
        service=row["service"],
        operation=row["price_operation"],
        model=row["price_model"],
        plan=row["price_plan"],
        tier=row["price_tier"] or "",
        version=row["price_version"],
        prices=[PriceRow(**price) for price in row["prices"]],
    )


def _measures(row: Mapping[str, Any]) -> Measures:
    return Measures(
        unit_count=quantity(row["unit_count"]),
        request_count=row["request_count"],
        input_tokens=row["input_tokens"],
        cached_input_tokens=row["cached_input_tokens"],
        # What was kept before it was read has none.
        cache_write_tokens=row.get("cache_write_tokens") or 0,
        cache_write_1h_tokens=row.get("cache_write_1h_tokens") or 0,
        output_tokens=row["output_tokens"],
    )


def _records(row: Row, query: ExplainQuery, tenant_id: str) -> RawRecords:
    shown = row["records"][: query.records]
    of_line = ExplainQuery(query.day, query.channel, row["line_id"], 0, 0, None).fingerprint(tenant_id)
    return RawRecords(
        total=row["record_total"],
        items=[
            RawRecord(
                table=record["table"],
                id=record["id"],
                attribution=record["attribution"],
                event_count=record["event_count"],
                billed_cost_usd=usd(record["billed_cost_cents"]),
                **_measures(record).model_dump(),
            )
            for record in shown
        ],
        next_cursor=encode(Cursor(shown[-1]["id"], text=shown[-1]["table"]), of_line)
        if len(row["records"]) > query.records
        else None,
    )
