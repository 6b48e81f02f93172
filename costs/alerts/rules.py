"""When something is worth an alert, and the sentence that says so: pure functions of figures, in exact cents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from costs.rules.anomaly import Cause, Expectation

ALERT_TYPES = ("threshold", "spike", "anomaly", "cap", "unpriced", "drift", "unknown_tenant")
CRITICAL_SPIKE_PERCENT = 100
ANOMALY_FACTOR = Decimal("1.5")
CENT = Decimal("0.01")
# How many of the things without a price a message names.
NAMED = 3
# A caller's mistake can make an id as long as a text.
LONGEST_NAME = 60


@dataclass(frozen=True)
class Condition:
    """Something that holds now and that a person should know.

    Attributes:
        channel: None where it is about the tenant as a whole.
        details: figures behind the message, in the contract's camelCase; costs in whole cents.
        tenant_name: for people; empty: the id.
        subject: what it is about beside tenant and channel: a provider, a schedule, an asset. With type, tenant and channel it is
            what one open alert is kept for.
    """

    tenant_id: str
    alert_type: str
    severity: str
    channel: str | None
    message: str
    details: dict[str, Any] = field(default_factory=dict, hash=False)
    tenant_name: str = ""
    subject: str | None = None


@dataclass(frozen=True)
class Thresholds:
    """A row of the seed alert_thresholds."""

    warning_cents: Decimal
    critical_cents: Decimal
    spike_percent: Decimal


DEFAULT_THRESHOLDS = Thresholds(Decimal(5000), Decimal(10000), Decimal(50))


@dataclass(frozen=True)
class MonthSoFar:
    """An active tenant's month as the marts say. A cost is None where nothing of it is priced."""

    tenant_id: str
    name: str
    cost_cents: Decimal | None
    change_percent: Decimal | None
    projected_cents: Decimal | None
    previous_cents: Decimal | None
    thresholds: Thresholds = DEFAULT_THRESHOLDS


@dataclass(frozen=True)
class LimitReached:
    """The worst limit of a channel that is `warning` or `over_cap`."""

    tenant_id: str
    name: str
    channel: str
    metric: str
    unit: str
    used: Decimal
    cap: Decimal
    percent_used: Decimal
    status: str


@dataclass(frozen=True)
class Unpriced:
    """Usage of one kind that no price was found for."""

    tenant_id: str
    name: str
    channel: str
    unit: str
    service: str
    operation: str
    model: str
    quantity: Decimal
    first_day: date


@dataclass(frozen=True)
class UnknownTenant:
    """A tenant that events of late name and the directory does not know."""

    tenant_id: str
    events: int
    last: date


@dataclass(frozen=True)
class UnusualDay:
    """A channel's cost on a day beyond what its history makes likely."""

    tenant_id: str
    name: str
    channel: str
    day: date
    cost_cents: Decimal
    expectation: Expectation
    cause: Cause | None


def dollars(cents: Decimal) -> str:
    """Return cents as "$50.00", rounded half-even."""
    return f"${(cents / 100).quantize(CENT, ROUND_HALF_EVEN)}"


def _tenth(number: Decimal) -> float:
    return float(round(number, 1))


def plain(quantity: Decimal) -> str:
    """Return a quantity for people: at most two decimals, none where it is whole."""
    text = f"{quantity.quantize(CENT, ROUND_HALF_EVEN):,f}"
    return text.removesuffix("00").removesuffix(".") if text.endswith(".00") else text


def of_month(month: MonthSoFar) -> list[Condition]:
    """Return the worst threshold passed, a rise against the month before, and a projection far beyond the critical threshold."""
    limits = month.thresholds
    conditions: list[tuple[str, str, str, dict[str, Any]]] = []
    details: dict[str, Any]
    for severity, threshold in (("critical", limits.critical_cents), ("warning", limits.warning_cents)):
        if month.cost_cents is not None and month.cost_cents > threshold:
            details = {"currentCost": round(month.cost_cents), "threshold": round(threshold)}
            conditions.append(("threshold", severity, f"Monthly usage has exceeded {dollars(threshold)}", details))
            break
    if month.change_percent is not None and month.change_percent >= limits.spike_percent:
        critical = month.change_percent >= CRITICAL_SPIKE_PERCENT
        details = {"percentChange": _tenth(month.change_percent), "threshold": _tenth(limits.spike_percent)}
        if month.cost_cents is not None:
            details["currentCost"] = round(month.cost_cents)
        if month.previous_cents is not None:
            details["previousCost"] = round(month.previous_cents)
        sentence = f"Usage is {round(month.change_percent)}% higher than last month"
        conditions.append(("spike", "critical" if critical else "warning", sentence, details))
    if month.projected_cents is not None and month.projected_cents >= ANOMALY_FACTOR * limits.critical_cents:
        details = {
            "projectedCost": round(month.projected_cents),
            "threshold": round(ANOMALY_FACTOR * limits.critical_cents),
        }
        if month.cost_cents is not None:
            details["currentCost"] = round(month.cost_cents)
        sentence = f"Projected monthly cost: {dollars(month.projected_cents)}"
        conditions.append(("anomaly", "warning", sentence, details))
    return [
        Condition(month.tenant_id, kind, severity, None, sentence, details, month.name)
        for kind, severity, sentence, details in conditions
    ]


def of_limit(limit: LimitReached) -> Condition:
    """Return the condition of a channel that is near or over its cap: over is critical."""
    if limit.metric == "cost_cents":
        figures = f"{dollars(limit.used)} of {dollars(limit.cap)}"
    else:
        unit = limit.unit if limit.metric == "units" else "requests"
        figures = f"{plain(limit.used)} of {plain(limit.cap)} {unit}"
    over = limit.status == "over_cap"
    reached = "is over its monthly cap" if over else f"has reached {round(limit.percent_used)}% of its monthly cap"
    return Condition(
        limit.tenant_id,
        "cap",
        "critical" if over else "warning",
        limit.channel,
        f"Usage of {limit.channel} {reached}: {figures}",
        {
            "metric": limit.metric,
            "used": plain(limit.used).replace(",", ""),
            "cap": plain(limit.cap).replace(",", ""),
            "percentUsed": _tenth(limit.percent_used),
        },
        limit.name,
    )


def of_unpriced(holes: Sequence[Unpriced]) -> list[Condition]:
    """Return one condition per tenant and channel with usage that nobody knows the price of."""
    cells: dict[tuple[str, str], list[Unpriced]] = {}
    for hole in holes:
        cells.setdefault((hole.tenant_id, hole.channel), []).append(hole)
    return [_unpriced_cell(cell) for _, cell in sorted(cells.items())]


def _of_unit(quantity: Decimal, unit: str) -> str:
    name = unit.replace("_", "-")
    return f"{plain(quantity)} {name.removesuffix('s') if quantity == 1 else name}"


def listed(parts: Sequence[str]) -> str:
    """Return parts as people list them: "2 images, 3 seconds and 1 call"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _unpriced_cell(cell: Sequence[Unpriced]) -> Condition:
    largest = sorted(cell, key=lambda hole: (-hole.quantity, hole.service, hole.operation, hole.model))
    kinds = list(dict.fromkeys(" ".join(filter(None, (hole.service, hole.operation, hole.model))) for hole in largest))
    more = f" and {len(kinds) - NAMED} more" if len(kinds) > NAMED else ""
    by_unit: dict[str, Decimal] = {}
    for hole in largest:
        by_unit[hole.unit] = by_unit.get(hole.unit, Decimal(0)) + hole.quantity
    quantities = [_of_unit(quantity, unit) for unit, quantity in by_unit.items()]
    first = min(hole.first_day for hole in cell)
    biggest = largest[0]
    has = "has" if list(by_unit.values()) == [1] else "have"
    return Condition(
        biggest.tenant_id,
        "unpriced",
        "warning",
        biggest.channel,
        f"{listed(quantities)} {has} no known price ({', '.join(kinds[:NAMED])}{more}), the first on {first}",
        {
            "unpricedUnits": plain(by_unit[biggest.unit]).replace(",", ""),
            "unit": biggest.unit,
            "quantities": [
                {"unit": unit, "quantity": plain(quantity).replace(",", "")} for unit, quantity in by_unit.items()
            ],
            "firstDate": first.isoformat(),
            "kinds": [
                {"service": hole.service, "operation": hole.operation, "model": hole.model} for hole in largest[:20]
            ],
        },
        biggest.name,
    )


def of_unknown_tenants(unknown: Sequence[UnknownTenant]) -> list[Condition]:
    """Return one condition for all of them: the tenant of the usage is unknown, so it is about `unattributed`."""
    if not unknown:
        return []
    largest = sorted(unknown, key=lambda tenant: (-tenant.events, tenant.tenant_id))
    named = [f"{tenant.tenant_id[:LONGEST_NAME]} {tenant.events:,} times" for tenant in largest[:NAMED]]
    more = f" and {len(largest) - NAMED} more" if len(largest) > NAMED else ""
    last = max(tenant.last for tenant in unknown)
    return [
        Condition(
            "unattributed",
            "unknown_tenant",
            "warning",
            None,
            f"Events name tenants that the directory does not know ({', '.join(named)}{more}), the last on {last}",
            {
                "lastDate": last.isoformat(),
                "tenants": [
                    {"tenantId": tenant.tenant_id, "events": tenant.events, "lastDate": tenant.last.isoformat()}
                    for tenant in largest[:20]
                ],
            },
        )
    ]


def of_unusual_day(unusual: UnusualDay) -> Condition:
    """Return the condition of a day whose cost is beyond its weekday's usual, with what contributes most."""
    expected = unusual.expectation.expected
    usual = f"where {dollars(expected)} is usual" if expected else "where there is usually no cost"
    details: dict[str, Any] = {
        "date": unusual.day.isoformat(),
        "currentCost": round(unusual.cost_cents),
        "expectedCost": round(expected),
        "threshold": round(unusual.expectation.threshold),
    }
    because = ""
    if expected:
        details["percentChange"] = float(round((unusual.cost_cents - expected) * 100 / expected, 1))
    if (cause := unusual.cause) is not None:
        because = f", {round(cause.share * 100)}% of the excess from {cause.dimension} {cause.value}"
        details["cause"] = {
            "dimension": cause.dimension,
            "value": cause.value,
            "excessCost": round(cause.excess),
            "sharePercent": _tenth(cause.share * 100),
        }
    sentence = f"Cost of {unusual.channel} on {unusual.day} is {dollars(unusual.cost_cents)} {usual}{because}"
    return Condition(unusual.tenant_id, "anomaly", "warning", unusual.channel, sentence, details, unusual.name)


@dataclass(frozen=True)
class Drift:
    """Days of a tenant's channel on which two figures differ beyond the tolerance, by at most ``percent``."""

    days: int
    last: date
    percent: Decimal

    def __str__(self) -> str:
        return f"by up to {self.percent:.1f}% on {self.days} day{'s' if self.days > 1 else ''}, last on {self.last}"


def of_drift(tenant_id: str, name: str, channel: str, tracked: Drift | None, totals: Drift | None = None) -> Condition:
    """Return the condition of a tenant and channel whose tracked usage differs from the provider's, or whose provider's records
    differ from the provider's own totals.
    """
    sentences = [
        *([f"Tracked usage differs from the provider's {tracked}"] if tracked else []),
        *([f"The provider's records differ from its own totals {totals}"] if totals else []),
    ]
    drifts = [drift for drift in (tracked, totals) if drift is not None]
    worst = max(drifts, key=lambda drift: drift.percent)
    return Condition(
        tenant_id,
        "drift",
        "warning",
        channel,
        "; ".join(sentences),
        {
            "percentChange": float(worst.percent),
            "days": max(drift.days for drift in drifts),
            "lastDate": max(drift.last for drift in drifts).isoformat(),
        },
        name,
    )
