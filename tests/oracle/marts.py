"""What the marts must hold: sums of usage lines at each mart's grain. `compute` is the oracle's one entry
point.

A mart is a dict from its grain (a tuple, in the order of GRAIN) to the columns that the contract names
(COLUMNS). Dates are `date`, months `YYYY-MM`, money and quantities Decimal, null None. updated_at, id and
meta are left out.
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from tests.oracle import reconciliation, rules
from tests.oracle.events import EventRow, load_events
from tests.oracle.records import (
    EXACT,
    UNATTRIBUTED,
    Directory,
    DirectoryLoads,
    Reading,
    Seeds,
    load_directory,
    load_provided,
    load_r2,
    load_seeds,
    moment,
    round_18,
    without,
)
from tests.oracle.rules import Line, billed_sum, cents, estimated_sum
from tests.oracle.settlement import answers, settle
from tests.oracle.totals import Totals, counted_totals

Key = tuple[object, ...]
Row = dict[str, object]
Mart = dict[Key, Row]

COST_COLUMNS = {
    "openai": "openai_cost_cents",
    "twilio_sms": "twilio_sms_cost_cents",
    "twilio_voice": "twilio_voice_cost_cents",
    "twilio_phone": "twilio_phone_cost_cents",
    "sendgrid": "sendgrid_cost_cents",
    "stripe": "stripe_cost_cents",
    "google_places": "google_places_cost_cents",
    "cloudflare_r2": "storage_cost_cents",
    "internal": "other_cost_cents",
}

# What OpenAI counts otherwise than in tokens.
COUNTED = {
    "image": "images",
    "audio_speech": "characters",
    "audio_transcription": "seconds",
    "vector_store": "bytes",
    "code_interpreter_session": "sessions",
    "file_search_call": "calls",
    "web_search_call": "calls",
}

GRAIN: dict[str, tuple[str, ...]] = {
    "tenants": ("tenant_id",),
    "usage_daily": (
        "tenant_id", "date", "channel", "service", "operation", "direction", "source",
        "feature", "model", "evidence",
    ),
    "usage_summary": ("tenant_id", "date", "channel"),
    "billing_usage_daily": ("tenant_id", "date"),
    "usage_monthly": ("tenant_id", "month", "channel"),
    "tenant_usage_status": ("tenant_id", "month", "channel", "metric"),
    "tenant_monthly": ("tenant_id", "month"),
    "usage_activity_daily": ("tenant_id", "date", "channel", "service", "operation", "activity"),
    "usage_reconciliation": ("tenant_id", "date", "service"),
}  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {
    "tenants": ("name", "plan", "plan_label", "monthly_base_price_usd", "status", "usage_hard_stop_enabled"),
    "usage_daily": (
        "unit_count", "request_count", "input_tokens", "cached_input_tokens", "output_tokens",
        "estimated_cost_usd", "billed_cost_usd", "unpriced_unit_count",
    ),
    "usage_summary": (
        "unit", "unit_count", "request_count", "estimated_cost_cents", "billed_cost_cents",
        "unpriced_unit_count", "provisional_unit_count", "is_final",
    ),
    "billing_usage_daily": (
        "sms_outbound_count", "sms_inbound_count", "mms_outbound_count", "mms_inbound_count",
        "voice_minutes_inbound", "voice_minutes_outbound", "emails_sent", "ai_requests", "ai_tokens_in",
        "ai_tokens_out", "estimated_cost_usd",
    ),
    "usage_monthly": (
        "unit", "unit_count", "request_count", "estimated_cost_cents", "billed_cost_cents",
        "unpriced_unit_count", "provisional_unit_count",
    ),
    "tenant_usage_status": ("direction", "used", "cap", "warning_threshold_pct", "percent_used", "status"),
    "tenant_monthly": (
        *COST_COLUMNS.values(), "total_cost_cents", "total_messages", "total_ai_calls",
        "total_voice_minutes", "total_emails", "previous_month_cost_cents", "cost_change_percent",
        "projected_cost_cents", "margin_cents", "usage_status", "unpriced_unit_count",
    ),
    "usage_activity_daily": ("unit_count", "request_count", "estimated_cost_usd"),
    "usage_reconciliation": ("provider_units", "tracked_units", "difference", "drift_percent", "state"),
}  # fmt: skip


@dataclass
class Expected:
    """The marts, and where a billed figure's last digits hang on the order of a division (`spread`: (mart,
    grain)). `record_keys`: of the records and events that are counted in them.

    `billed_by_day`: OpenAI's billed total of each day over all tenants' known cells, which is exact whatever
    the order.
    """

    first: date
    last: date
    as_of: datetime
    marts: dict[str, Mart] = field(default_factory=dict)
    spread: set[tuple[str, Key]] = field(default_factory=set)
    billed_by_day: dict[date, Decimal] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    record_keys: set[str] = field(default_factory=set)


def compute(
    folder: Path | str,
    directory: DirectoryLoads,
    seeds: Path | str,
    *,
    first: date,
    last: date,
    as_of: date | datetime,
    lookback: int = 3,
    parent_stats: str = "total",
    events: Sequence[EventRow] = (),
    unanswered: Mapping[str, Iterable[date]] = MappingProxyType({}),
    drift_tolerance_percent: Decimal = Decimal(1),
    readings: Sequence[Reading] = (),
    account_totals: Totals | None = None,
) -> Expected:
    """The marts after the days first … last (both included, never after as-of) were ingested and built from
    nothing, with these events in raw.usage_events.

    `folder`: provider JSON (seams page), seen as of `as_of` where records carry a `_sandbox` script.
    `directory`: the CSV folder, or its loads in order [(as-of day, folder), …]. `as_of`: a date is midnight
    UTC at its start. first … last is the union of all days that raw holds, not only the last build's window:
    marts by month sum over it. `unanswered`: days by raw table that a fault kept from being answered, besides
    the folder's own missing buckets. `readings`: ingests that came before the one of first … last at as-of.
    `account_totals`: what Twilio's Usage Records say of an account's day, where that is not what its records come
    to.
    """
    now = moment(as_of)
    last = min(last, now.date())
    known = load_directory(directory, now.date())
    book = load_seeds(Path(seeds))
    provided = load_provided(Path(folder), now, readings)
    load_r2(provided, Path(folder), (*readings, Reading(now, first, last)))
    provided = without(provided, unanswered)
    settled = settle(
        provided,
        known,
        book,
        load_events(events),
        answers(Path(folder), provided, known, first, last, unanswered),
        as_of=now,
        lookback=lookback,
        parent_stats=parent_stats,
    )
    totals = counted_totals(provided.messages, provided.calls)
    reported = {**totals, **(account_totals or {})}
    lines = [x for x in settled.lines if first <= x.day <= last]
    expected = Expected(first=first, last=last, as_of=now, lines=lines)
    expected.record_keys = {k for day, keys in settled.record_keys.items() if first <= day <= last for k in keys}
    expected.marts = {
        "tenants": tenants(known, book, now),
        "usage_daily": usage_daily(lines, expected.spread),
        "usage_summary": usage_summary(lines, now, lookback, expected.spread),
        "billing_usage_daily": billing_usage_daily(lines, known, first, last),
        "usage_monthly": usage_monthly(lines, expected.spread),
        "tenant_usage_status": tenant_usage_status(lines, known, book, first, last, now),
        "tenant_monthly": tenant_monthly(lines, known, book, now),
        "usage_activity_daily": usage_activity_daily(lines),
        "usage_reconciliation": usage_reconciliation(
            reconciliation.reconcile(settled, tolerance_percent=drift_tolerance_percent)
            | reconciliation.control_totals(
                reported,
                totals,
                known,
                tolerance_percent=drift_tolerance_percent,
                as_of=now,
                lookback=lookback,
            ),
            first,
            last,
        ),
    }
    for key, row in expected.marts["usage_daily"].items():
        if key[3] == "openai" and isinstance(row["billed_cost_usd"], Decimal) and isinstance(key[1], date):
            so_far = expected.billed_by_day.get(key[1], Decimal(0))
            expected.billed_by_day[key[1]] = EXACT.add(so_far, row["billed_cost_usd"])
    return expected


# --- months -------------------------------------------------------------------------------------------------


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def month_length(month: str) -> int:
    return calendar.monthrange(int(month[:4]), int(month[5:]))[1]


def month_end(month: str) -> date:
    return date(int(month[:4]), int(month[5:]), month_length(month))


def next_month(month: str) -> str:
    return month_of(month_end(month) + timedelta(days=1))


def previous_month(month: str) -> str:
    return month_of(date(int(month[:4]), int(month[5:]), 1) - timedelta(days=1))


def months(first: str, last: str) -> Iterator[str]:
    while first <= last:
        yield first
        first = next_month(first)


# --- marts --------------------------------------------------------------------------------------------------


def _grouped(lines: Iterable[Line], *names: str) -> dict[Key, list[Line]]:
    groups: dict[Key, list[Line]] = defaultdict(list)
    for line in lines:
        key = tuple(
            month_of(line.day) if n == "month" else line.day if n == "date" else getattr(line, n) for n in names
        )
        groups[key].append(line)
    return groups


def _totals(lines: Sequence[Line]) -> Row:
    """Of a channel: the ai channel's units are tokens, whatever else its operations count."""
    own = [x for x in lines if x.channel != "ai" or x.operation not in COUNTED]
    return _quantities(lines) | {
        "unit_count": sum(x.in_total for x in lines),
        "unpriced_unit_count": sum(x.unpriced_units for x in own),
    }


def _of_one_kind(lines: Sequence[Line]) -> object:
    """The unpriced units of several channels; None: they are of several kinds, which have no sum."""
    kinds: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        kinds[COUNTED.get(line.operation) or rules.UNITS[line.channel]].append(line)
    amounts = [amount for of_kind in kinds.values() if (amount := sum(x.unpriced_units for x in of_kind))]
    return None if len(amounts) > 1 else amounts[0] if amounts else 0


def _quantities(lines: Sequence[Line]) -> Row:
    return {
        "unit_count": sum(x.units for x in lines),
        "request_count": sum(x.requests for x in lines),
        "unpriced_unit_count": sum(x.unpriced_units for x in lines),
    }


def _provisional(lines: Sequence[Line]) -> Row:
    return {"provisional_unit_count": sum(x.in_total for x in lines if x.provisional)}


def tenants(directory: Directory, seeds: Seeds, as_of: datetime) -> Mart:
    """The version of the as-of day. AMBIGUITY: a dated tenant with none on that day shows its last one
    before, else its first.
    """
    mart: Mart = {
        (UNATTRIBUTED,): {
            "name": "Unattributed",
            "plan": None,
            "plan_label": None,
            "monthly_base_price_usd": None,
            "status": "active",
            "usage_hard_stop_enabled": False,
        }
    }
    for tenant_id, versions in directory.versions.items():
        started = [v for v in versions if v.valid_from is None or v.valid_from <= as_of.date()]
        version = directory.version(tenant_id, as_of.date()) or (started[-1] if started else versions[0])
        plan = seeds.plans.get(version.plan)
        mart[tenant_id,] = {
            "name": version.name,
            "plan": version.plan or None,
            "plan_label": plan.label if plan else None,
            "monthly_base_price_usd": plan.base_price if plan else None,
            "status": version.status,
            "usage_hard_stop_enabled": version.hard_stop,
        }
    return mart


def usage_daily(lines: Iterable[Line], spread: set[tuple[str, Key]]) -> Mart:
    mart: Mart = {}
    for key, group in _grouped(lines, *GRAIN["usage_daily"]).items():
        mart[key] = {
            **_quantities(group),
            "input_tokens": sum(x.input_tokens for x in group),
            "cached_input_tokens": sum(x.cached_input_tokens for x in group),
            "output_tokens": sum(x.output_tokens for x in group),
            "estimated_cost_usd": estimated_sum(group),
            "billed_cost_usd": billed_sum(group),
        }
        if any(x.spread_widely for x in group):
            spread.add(("usage_daily", key))
    return mart


def usage_summary(lines: Iterable[Line], as_of: datetime, lookback: int, spread: set[tuple[str, Key]]) -> Mart:
    mart: Mart = {}
    for key, group in _grouped(lines, *GRAIN["usage_summary"]).items():
        mart[key] = {
            **_totals(group),
            "unit": rules.UNITS[group[0].channel],
            "estimated_cost_cents": cents(estimated_sum(group)),
            "billed_cost_cents": cents(billed_sum(group)),
            **_provisional(group),
            "is_final": rules.is_final(group[0].day, as_of, lookback) and not any(x.provisional for x in group),
        }
        if any(x.spread_across_tenants for x in group):
            spread.add(("usage_summary", key))
    return mart


def billing_usage_daily(lines: Iterable[Line], directory: Directory, first: date, last: date) -> Mart:
    """Every tenant (removed, suspended and `unattributed` too) × every day.

    AMBIGUITY: *_count counts messages (request_count), as total_messages does, not segments; the cost of a
    day without usage is 0, of a day with nothing but unpriced usage null.
    """
    by_day = _grouped(lines, "tenant_id", "date")
    mart: Mart = {}
    for tenant_id in [*directory.versions, UNATTRIBUTED]:
        for offset in range((last - first).days + 1):
            day = first + timedelta(days=offset)
            group = by_day.get((tenant_id, day), [])
            by_way = _grouped(group, "channel", "direction")

            def count(channel: str, direction: str, cells: dict[Key, list[Line]] = by_way) -> Row:
                return _quantities(cells.get((channel, direction), []))

            mart[tenant_id, day] = {
                "sms_outbound_count": count("sms", "outbound")["request_count"],
                "sms_inbound_count": count("sms", "inbound")["request_count"],
                "mms_outbound_count": count("mms", "outbound")["request_count"],
                "mms_inbound_count": count("mms", "inbound")["request_count"],
                "voice_minutes_inbound": count("voice", "inbound")["unit_count"],
                "voice_minutes_outbound": count("voice", "outbound")["unit_count"],
                "emails_sent": count("email", "outbound")["unit_count"],
                "ai_requests": count("ai", "outbound")["request_count"],
                "ai_tokens_in": sum(x.input_tokens for x in group),
                "ai_tokens_out": sum(x.output_tokens for x in group),
                "estimated_cost_usd": estimated_sum(group, of_nothing=Decimal(0)),
            }
    return mart


def usage_monthly(lines: Iterable[Line], spread: set[tuple[str, Key]]) -> Mart:
    mart: Mart = {}
    for key, group in _grouped(lines, *GRAIN["usage_monthly"]).items():
        mart[key] = {
            **_totals(group),
            "unit": rules.UNITS[group[0].channel],
            "estimated_cost_cents": cents(estimated_sum(group)),
            "billed_cost_cents": cents(billed_sum(group)),
            **_provisional(group),
        }
        if any(x.spread_across_tenants for x in group):
            spread.add(("usage_monthly", key))
    return mart


def usage_activity_daily(lines: Iterable[Line]) -> Mart:
    """AMBIGUITY: what is billed without any usage is nobody's activity."""
    lines = [x for x in lines if x.units or x.requests]
    return {
        key: {
            "unit_count": sum(x.units for x in group),
            "request_count": sum(x.requests for x in group),
            "estimated_cost_usd": estimated_sum(group),
        }
        for key, group in _grouped(lines, *GRAIN["usage_activity_daily"]).items()
    }


def usage_reconciliation(cells: Mapping[reconciliation.Where, reconciliation.Cell], first: date, last: date) -> Mart:
    """AMBIGUITY: drift_percent is shown within the tolerance, too."""
    mart: Mart = {}
    for (tenant_id, day, service), cell in cells.items():
        if first <= day <= last and (cell.provider_units or cell.tracked_units):
            mart[tenant_id, day, service] = {
                "provider_units": cell.provider_units,
                "tracked_units": cell.tracked_units,
                "difference": cell.provider_units - cell.tracked_units,
                "drift_percent": round_18(cell.drift * 100),
                "state": cell.state,
            }
    return mart


def tenant_usage_status(
    lines: Iterable[Line], directory: Directory, seeds: Seeds, first: date, last: date, as_of: datetime
) -> Mart:
    """Every tenant × every limit of its month's plan (overridden) × month.

    AMBIGUITY: months from the window's first to its last + 1, but none after the as-of month; rows also where
    nothing was used and where the cap is empty; none for `unattributed`.
    """
    by_month = _grouped(lines, "tenant_id", "month")
    until = min(next_month(month_of(last)), month_of(as_of.date()))
    mart: Mart = {}
    for tenant_id in directory.versions:
        for month in months(month_of(first), until):
            group = by_month.get((tenant_id, month), [])
            for limit in rules.limits_of(tenant_id, month_end(month), as_of, directory, seeds):
                used = rules.used_of(limit, group)
                percent, status = rules.cap_status(used, limit.cap, limit.threshold)
                mart[tenant_id, month, limit.channel, limit.metric] = {
                    "direction": limit.direction,
                    "used": used,
                    "cap": limit.cap,
                    "warning_threshold_pct": limit.threshold,
                    "percent_used": percent,
                    "status": status,
                }
    return mart


def projected(lines: Sequence[Line], month: str, as_of: datetime) -> Decimal | None:
    """projected_cost_cents of one tenant's month. None only where the month has usage and none of it is
    priced.
    """
    today = as_of.date()
    whole = cents(estimated_sum(lines, of_nothing=Decimal(0)))
    if whole is None or month != month_of(today):
        return whole
    complete_days = today.day - 1
    base = [x for x in lines if x.day < today] if complete_days else [x for x in lines if x.day == today]
    cost = cents(estimated_sum(base, of_nothing=Decimal(0))) or Decimal(0)
    rate = Fraction(cost) * month_length(month) / (complete_days or 1)
    return max(whole, round_18(rate))


def cost_change(lines: Sequence[Line], before: Sequence[Line], month: str, as_of: datetime) -> Decimal | None:
    """cost_change_percent: the as-of month's complete days against as many of the month before (at most its
    length).
    """
    today = as_of.date()
    if month == month_of(today):
        complete_days = today.day - 1
        lines = [x for x in lines if x.day.day <= complete_days]
        before = [x for x in before if x.day.day <= complete_days]
    cost = estimated_sum(lines, of_nothing=Decimal(0))
    base = estimated_sum(before, of_nothing=Decimal(0))
    if cost is None or not base:
        return None
    return round_18((Fraction(cost) - Fraction(base)) * 100 / Fraction(base))


def tenant_monthly(lines: Iterable[Line], directory: Directory, seeds: Seeds, as_of: datetime) -> Mart:
    """Every month from a tenant's first usage to the as-of month; `unattributed` too if it has any.

    AMBIGUITY: costs are estimated costs. A service without lines costs 0, one with nothing but unpriced lines
    null (it adds nothing to the total, which is null if the month has lines and none is priced). A month
    without usage before it: previous 0, change null. Plan for the margin: of the month's last day, or as-of.
    """
    by_tenant = _grouped(lines, "tenant_id")
    mart: Mart = {}
    for (tenant,), own in by_tenant.items():
        tenant_id = str(tenant)
        by_month = _grouped(own, "month")
        for month in months(month_of(min(x.day for x in own)), month_of(as_of.date())):
            group = by_month.get((month,), [])
            before = by_month.get((previous_month(month),), [])
            row: Row = {}
            for service, column in COST_COLUMNS.items():
                row[column] = cents(estimated_sum([x for x in group if x.service == service], of_nothing=Decimal(0)))
            cost = cents(estimated_sum(group, of_nothing=Decimal(0)))
            version = directory.version(tenant_id, min(month_end(month), as_of.date()))
            plan = seeds.plans.get(version.plan) if version else None
            price = cents(plan.base_price) if plan else None
            statuses = [
                rules.cap_status(rules.used_of(limit, group), limit.cap, limit.threshold)[1]
                for limit in rules.limits_of(tenant_id, month_end(month), as_of, directory, seeds)
            ]
            row |= {
                "total_cost_cents": cost,
                "total_messages": sum(x.requests for x in group if x.channel in ("sms", "mms")),
                "total_ai_calls": sum(x.requests for x in group if x.channel == "ai"),
                "total_voice_minutes": sum(x.units for x in group if x.channel == "voice"),
                "total_emails": sum(x.units for x in group if x.channel == "email"),
                "previous_month_cost_cents": cents(estimated_sum(before, of_nothing=Decimal(0))),
                "cost_change_percent": cost_change(group, before, month, as_of),
                "projected_cost_cents": projected(group, month, as_of),
                "margin_cents": None if price is None or cost is None else EXACT.subtract(price, cost),
                "usage_status": rules.worst(statuses),
                "unpriced_unit_count": _of_one_kind(group),
            }
            mart[tenant_id, month] = row
    return mart
