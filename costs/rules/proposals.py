"""What somebody proposes: other plans for tenants, other caps, base prices and unit prices, from a CSV file.

One file holds all of it, a row each, of the column `kind`:

- `plan`: tenant_id (empty: every tenant), plan
- `cap`: tenant_id or plan, channel, metric, monthly_cap (empty: none); direction, warning_threshold_pct
- `price`: the columns of price_book.csv; without dates, for the month that is asked about; `per` may be left out (1) but of tokens
- `base`: plan, monthly_base_price_usd; a plan that does not exist yet is made
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from costs.rules.price_book import (
    Price,
    PriceBookError,
    amount,
    carve,
    check,
    day,
    parse_book,
    plain,
    read_rows,
    render,
)
from costs.rules.services import CHANNELS, TOKEN_COMPONENTS

METRICS = ("requests", "units", "cost_cents")
DIRECTIONS = ("outbound", "inbound", "any")
KINDS = ("plan", "cap", "price", "base")

LIMIT_COLUMNS = ("plan", "channel", "metric", "direction", "monthly_cap", "warning_threshold_pct")
PLAN_COLUMNS = ("plan", "label", "monthly_base_price_usd")


class ProposalError(Exception):
    """A proposal cannot be carried out; the message names file and row."""


@dataclass(frozen=True)
class Cap:
    """A limit of a tenant (then ``plan`` is empty) or of a plan; ``monthly_cap`` None: uncapped."""

    tenant_id: str
    plan: str
    channel: str
    metric: str
    direction: str
    monthly_cap: Decimal | None
    warning_threshold_pct: Decimal | None


@dataclass(frozen=True)
class Proposals:
    """Everything that is proposed. ``plans`` is by tenant, in which ``""`` means every tenant that is not named."""

    plans: Mapping[str, str]
    caps: tuple[Cap, ...] = ()
    prices: tuple[Price, ...] = ()
    base_prices: Mapping[str, Decimal | None] | None = None

    def plan_of(self, tenant_id: str) -> str | None:
        """Return the plan proposed for a tenant; None where nothing is."""
        return self.plans.get(tenant_id, self.plans.get(""))


def parse_proposals(
    text: str, name: str, *, tenants: Collection[str], plans: Collection[str], first: date, end: date
) -> Proposals:
    """Return the proposals of a CSV file.

    Args:
        tenants, plans: those that exist.
        first, end: the month's days, half-open; prices without dates hold for these.

    Raises:
        ProposalError: naming the row that cannot be carried out.
    """
    try:
        rows = read_rows(text, ("kind",), name)
    except PriceBookError as error:
        raise ProposalError(str(error)) from None
    moved: dict[str, str] = {}
    caps: list[Cap] = []
    prices: list[Price] = []
    base: dict[str, Decimal | None] = {}
    known = {*plans, *(row.get("plan", "") for _, row in rows if row["kind"] == "base")} - {""}
    for number, row in rows:
        try:
            kind = row["kind"]
            if kind not in KINDS:
                raise ValueError(f"unknown kind {kind or '(empty)'} (one of {', '.join(KINDS)})")
            if kind == "plan":
                tenant = row.get("tenant_id", "")
                if tenant in moved:
                    raise ValueError(f"a second plan for {tenant or 'every tenant'}")
                moved[_tenant(tenant, tenants)] = _plan(row.get("plan", ""), known)
            elif kind == "cap":
                caps.append(_cap(row, tenants, known))
            elif kind == "price":
                prices.append(_price(row, first, end, known))
            else:
                base[_named(row, "plan")] = _amount(row, "monthly_base_price_usd")
        except (ValueError, PriceBookError) as error:
            raise ProposalError(f"{name} row {number}: {error}") from None
    return Proposals(moved, tuple(caps), tuple(prices), base)


def _tenant(tenant: str, tenants: Collection[str]) -> str:
    if tenant and tenant not in tenants:
        raise ValueError(f"unknown tenant {tenant}")
    return tenant


def _plan(plan: str, plans: Collection[str]) -> str:
    if plan not in plans:
        raise ValueError(f"unknown plan {plan or '(empty)'} (one of {', '.join(sorted(plans))})")
    return plan


def _named(row: Mapping[str, str], column: str) -> str:
    if not row.get(column):
        raise ValueError(f"{column} is empty")
    return row[column]


def _one_of(row: Mapping[str, str], column: str, allowed: Sequence[str]) -> str:
    if row.get(column, "") not in allowed:
        raise ValueError(f"unknown {column} {row.get(column) or '(empty)'} (one of {', '.join(allowed)})")
    return row[column]


def _amount(row: Mapping[str, str], column: str) -> Decimal | None:
    text = row.get(column, "")
    value = amount(text, column) if text else None
    if value is not None and value < 0:
        raise ValueError(f"{column} is negative: {text}")
    return value


def _cap(row: Mapping[str, str], tenants: Collection[str], plans: Collection[str]) -> Cap:
    tenant, plan = row.get("tenant_id", ""), row.get("plan", "")
    if bool(tenant) == bool(plan):
        raise ValueError("a cap is a tenant's or a plan's: give tenant_id or plan")
    if tenant and row.get("direction"):
        raise ValueError("a tenant's own cap keeps its plan's direction: leave direction empty")
    return Cap(
        _tenant(tenant, tenants),
        _plan(plan, plans) if plan else "",
        _one_of(row, "channel", CHANNELS),
        _one_of(row, "metric", METRICS),
        _one_of(row, "direction", DIRECTIONS) if row.get("direction") else "",
        _amount(row, "monthly_cap"),
        _amount(row, "warning_threshold_pct"),
    )


def _per(row: Mapping[str, str]) -> Decimal:
    # Books quote tokens by the million: a price per token would be meant by nobody, and not be seen.
    if not row.get("per") and row.get("component") in TOKEN_COMPONENTS:
        raise ValueError("per is empty: say how many tokens the price is for, such as 1000000")
    return amount(row.get("per") or "1", "per")


def _price(row: Mapping[str, str], first: date, end: date, plans: Collection[str]) -> Price:
    dated = bool(row.get("effective_from") or row.get("effective_to"))
    price = Price(
        row.get("service", ""),
        row.get("operation", ""),
        row.get("model", ""),
        row.get("plan", ""),
        row.get("component", ""),
        amount(row.get("unit_price_usd", ""), "unit_price_usd"),
        _per(row),
        day(row.get("effective_from", ""), "effective_from") if dated else first,
        day(row.get("effective_to", ""), "effective_to") if dated else end,
        row.get("source") or "proposed",
        row.get("tier", ""),
    )
    try:
        check([(0, price)], plans=plans)
    except PriceBookError as error:
        raise ValueError(error.problems[0].split(": ", 1)[1]) from None
    return price


def proposed_seeds(proposals: Proposals, seeds: Mapping[str, str]) -> dict[str, str]:
    """Return the seed files that the proposals change, by name, as they would be.

    Args:
        seeds: the texts of plans.csv, plan_limits.csv and price_book.csv.
    """
    changed: dict[str, str] = {}
    if proposals.prices:
        prices = [price for _, price in parse_book(seeds["price_book.csv"])]
        for proposed in proposals.prices:
            prices = carve(prices, proposed)
        changed["price_book.csv"] = render(prices)
    if proposals.base_prices:
        plans = {row["plan"]: row for _, row in read_rows(seeds["plans.csv"], PLAN_COLUMNS, "plans.csv")}
        for plan, price in proposals.base_prices.items():
            row = plans.setdefault(plan, {"plan": plan, "label": plan.capitalize()})
            row["monthly_base_price_usd"] = "" if price is None else plain(price)
        changed["plans.csv"] = _csv(PLAN_COLUMNS, plans.values())
    if plan_caps := [cap for cap in proposals.caps if cap.plan]:
        limits = {
            (row["plan"], row["channel"], row["metric"]): row
            for _, row in read_rows(seeds["plan_limits.csv"], LIMIT_COLUMNS, "plan_limits.csv")
        }
        for cap in plan_caps:
            row = limits.setdefault(
                (cap.plan, cap.channel, cap.metric),
                {"plan": cap.plan, "channel": cap.channel, "metric": cap.metric},
            )
            row["monthly_cap"] = "" if cap.monthly_cap is None else plain(cap.monthly_cap)
            row["direction"] = cap.direction or row.get("direction", "")
            if cap.warning_threshold_pct is not None:
                row["warning_threshold_pct"] = plain(cap.warning_threshold_pct)
        changed["plan_limits.csv"] = _csv(LIMIT_COLUMNS, limits.values())
    return changed


def without_changes(proposals: Proposals, plans_now: Mapping[str, str | None]) -> Proposals:
    """Return the proposals with a plan for each tenant by its name, without those whose plan it is already.

    So a proposal of today's plan changes nothing at all, whatever plans the tenant had earlier in its history.

    Args:
        plans_now: every tenant's plan at the end of the month that is asked about.
    """
    moved = {
        tenant: plan
        for tenant, now in plans_now.items()
        if (plan := proposals.plan_of(tenant)) is not None and plan != now
    }
    return replace(proposals, plans=moved)


def _csv(columns: Sequence[str], rows: Collection[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return text.getvalue()
