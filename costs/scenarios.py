"""A month as it is and as it would be: the marts' figures beside those of a scratch build with other prices, plans or caps.

Nothing is computed here that dbt computes: both sides are read from the same models, of production and of the scratch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import psycopg
from psycopg import sql

from builds.scratch import scratch
from costs.rules.limits import Status, worst
from costs.rules.price_book import Price
from costs.rules.proposals import Cap, Proposals, proposed_seeds, without_changes
from costs.seeds import seed_texts
from ingestion.windows import Window

# `+` in front: and everything that it is computed from.
MONTHLY = ("+tenant_monthly", "+tenant_usage_status", "+usage_monthly")
PRODUCTION = {"staging": "staging", "marts": "marts"}


class ScenarioError(Exception):
    """The question cannot be answered; the message says why and what to do."""


@dataclass(frozen=True)
class Month:
    """A calendar month, as far as it has come.

    Attributes:
        window: its days up to the as-of day.
        as_of: that of the last build, so that both sides mean the same now.
    """

    name: str
    window: Window
    as_of: datetime

    @property
    def end(self) -> date:
        """The first day of the month after."""
        return (self.window.start.replace(day=1) + timedelta(days=32)).replace(day=1)

    @property
    def status_day(self) -> date:
        """The day whose plan the month has: its last, or the as-of day."""
        return self.window.end - timedelta(days=1)


@dataclass(frozen=True)
class LimitState:
    """One limit of a tenant's: what is used of it."""

    channel: str
    metric: str
    direction: str
    used: Decimal
    cap: Decimal | None
    status: Status


@dataclass(frozen=True)
class TenantMonth:
    """One tenant's month. Money in exact USD; cost null where nothing of it has a price, revenue null without a base price."""

    tenant_id: str
    plan: str | None
    revenue_usd: Decimal | None
    cost_usd: Decimal | None
    margin_usd: Decimal | None
    unpriced_units: Mapping[str, Decimal]
    limits: tuple[LimitState, ...]

    @property
    def status(self) -> Status:
        """The worst of its limits' states."""
        return worst(limit.status for limit in self.limits)


Figures = Mapping[str, TenantMonth]
Quantities = Mapping[tuple[str, str], Decimal]


@dataclass(frozen=True)
class Comparison:
    """The month now and then, by tenant.

    Attributes:
        moved_on: whether raw has other quantities than the marts were built from, so that the differences are not the
            proposal's alone.
    """

    month: Month
    now: Figures
    then: Figures
    moved_on: bool

    def tenants(self) -> list[str]:
        """Return who is in either, by what they would cost, highest first."""

        def cost(tenant: str) -> Decimal:
            result = self.then.get(tenant) or self.now[tenant]
            return result.cost_usd or Decimal(0)

        return sorted({*self.now, *self.then}, key=lambda tenant: (-cost(tenant), tenant))


def month_of(connection: psycopg.Connection, name: str | None, *, before: int = 0) -> Month:
    """Return the month ``YYYY-MM``; without a name the as-of month, or one ``before`` it.

    Raises:
        ScenarioError: no month, a month without a built day, or one that has not begun.
    """
    build = connection.execute("select as_of from ops.current_build").fetchone()
    if build is None:
        raise ScenarioError("nothing is built yet: run `metering rebuild --days 31`")
    as_of: datetime = build[0]
    today = as_of.date()
    if name is None:
        first = today.replace(day=1)
        for _ in range(before):
            first = (first - timedelta(days=1)).replace(day=1)
    else:
        try:
            first = date.fromisoformat(f"{name}-01")
        except ValueError:
            first = date.min
        if first.year == date.min.year:
            raise ScenarioError(f"--month takes a month such as 2026-10, not {name}")
    if first > today:
        raise ScenarioError(f"{name} has not begun: the last build is as of {today}")
    end = (first + timedelta(days=32)).replace(day=1)
    month = Month(f"{first:%Y-%m}", Window(first, min(end, today + timedelta(days=1))), as_of)
    used = connection.execute("select 1 from marts.usage_monthly where month = %s limit 1", (month.name,)).fetchone()
    if used is None:
        raise ScenarioError(f"{month.name} has no usage in the marts: name a month that is built (--month)")
    return month


# A closed month is what it was closed with and what was booked of it since; what it brought stays as it was.
FIGURES = """
with booked as (
    select tenant_id, sum(cost_usd) as cost_usd, ops.sum_units(unpriced_units) as unpriced_units
    from ops.cost_adjustments
    where month = %(month)s and %(with_adjustments)s
    group by tenant_id
),

monthly as (
    select
        coalesce(months.tenant_id, booked.tenant_id) as tenant_id,
        case when booked.tenant_id is null then months.total_cost_cents / 100
            else coalesce(months.total_cost_cents, 0) / 100 + booked.cost_usd end as cost_usd,
        (months.margin_cents + months.total_cost_cents) / 100 as revenue_usd,
        ops.add_units(months.unpriced_units, booked.unpriced_units) as unpriced_units
    from (select * from {marts}.tenant_monthly where month = %(month)s) as months
    full join booked on booked.tenant_id = months.tenant_id
)

select
    monthly.tenant_id,
    versions.plan,
    coalesce(monthly.revenue_usd, plans.monthly_base_price_usd),
    monthly.cost_usd,
    coalesce(monthly.revenue_usd, plans.monthly_base_price_usd) - monthly.cost_usd,
    monthly.unpriced_units::text
from monthly
left join {staging}.stg_directory__tenants as versions
    on versions.tenant_id = monthly.tenant_id
    and versions.valid_from <= %(day)s
    and versions.valid_to > %(day)s
left join {staging}.plans as plans on plans.plan = versions.plan
"""

LIMITS = """
select tenant_id, channel, metric, direction, used, cap, status
from {marts}.tenant_usage_status
where month = %(month)s
order by tenant_id, channel, metric
"""

QUANTITIES = """
select tenant_id, channel, sum(unit_count)
from (
    select tenant_id, channel, unit_count from {marts}.usage_monthly where month = %(month)s
    union all
    select tenant_id, channel, unit_count from ops.cost_adjustments where month = %(month)s and %(with_adjustments)s
) as parts
group by tenant_id, channel
having sum(unit_count) <> 0
"""


def read_figures(connection: psycopg.Connection, month: Month, schemas: Mapping[str, str]) -> Figures:
    """Return the tenants' month from the marts of ``schemas`` (a layer's schema, by layer)."""
    named = {layer: sql.Identifier(schema) for layer, schema in schemas.items()}
    values = {"month": month.name, "day": month.status_day, "with_adjustments": _is_production(schemas["marts"])}
    limits: dict[str, list[LimitState]] = {}
    for tenant, *state in connection.execute(sql.SQL(LIMITS).format(**named), values):
        limits.setdefault(tenant, []).append(LimitState(*state))
    return {
        tenant: TenantMonth(tenant, plan, revenue, cost, margin, _kinds(unpriced), tuple(limits.get(tenant, ())))
        for tenant, plan, revenue, cost, margin, unpriced in connection.execute(
            sql.SQL(FIGURES).format(**named), values
        )
    }


def _kinds(units: str) -> dict[str, Decimal]:
    return dict(json.loads(units, parse_float=Decimal, parse_int=Decimal))


def read_quantities(connection: psycopg.Connection, month: Month, marts: str) -> Quantities:
    """Return the units by tenant and channel; no price and no plan changes these."""
    values = {"month": month.name, "with_adjustments": _is_production(marts)}
    rows = connection.execute(sql.SQL(QUANTITIES).format(marts=sql.Identifier(marts)), values)
    return {(tenant, channel): units for tenant, channel, units in rows}


def _is_production(marts: str) -> bool:
    # A scratch computes closed months, too: its figures are what the adjustments lead to.
    return marts == PRODUCTION["marts"]


def compare(
    database_url: str, month: Month, *, seeds: Mapping[str, str], proposals: Proposals | None = None
) -> Comparison:
    """Build the month into a scratch with these seeds and the proposals' plans and caps of tenants, and read both sides.

    Raises:
        ScratchFailed: it does not build.
    """
    plans = dict(proposals.plans) if proposals else {}
    caps = [cap for cap in proposals.caps if cap.tenant_id] if proposals else []

    def change(connection: psycopg.Connection, schema: str) -> None:
        change_directory(connection, schema, plans, caps)

    with scratch(database_url, seeds=seeds, directory=change if plans or caps else None) as made:
        made.build(month.window, as_of=month.as_of, select=MONTHLY)
        schemas = {layer: made.schema(layer) for layer in PRODUCTION}
        with psycopg.connect(database_url) as connection:
            connection.execute("set transaction isolation level repeatable read")
            return Comparison(
                month,
                now=read_figures(connection, month, PRODUCTION),
                then=read_figures(connection, month, schemas),
                moved_on=read_quantities(connection, month, "marts")
                != read_quantities(connection, month, schemas["marts"]),
            )


def change_directory(
    connection: psycopg.Connection, schema: str, plans: Mapping[str, str], caps: Sequence[Cap]
) -> None:
    """Write the proposed plans and caps of tenants into a scratch's copies of the directory."""
    name = sql.Identifier(schema)
    for tenant, plan in plans.items():
        connection.execute(sql.SQL("update {}.tenants set plan = %s where tenant_id = %s").format(name), (plan, tenant))
    for cap in caps:
        key = (cap.tenant_id, cap.channel, cap.metric)
        where = sql.SQL("{}.tenant_limits where tenant_id = %s and channel = %s and metric = %s").format(name)
        kept = connection.execute(sql.SQL("select warning_threshold_pct from {}").format(where), key).fetchone()
        threshold = cap.warning_threshold_pct if cap.warning_threshold_pct is not None else kept and kept[0]
        connection.execute(sql.SQL("delete from {}").format(where), key)
        connection.execute(
            sql.SQL(
                "insert into {}.tenant_limits (tenant_id, channel, metric, monthly_cap, warning_threshold_pct)"
                " values (%s, %s, %s, %s, %s)"
            ).format(name),
            (*key, cap.monthly_cap, threshold),
        )


def what_if(database_url: str, month: Month, proposals: Proposals) -> Comparison:
    """Replay the month's usage through the proposals.

    Raises:
        PriceBookError, ScratchFailed: a proposed price is wrong, or nothing can be built with it.
    """
    with psycopg.connect(database_url) as connection:
        now = plans_now(connection, month)
    effective = without_changes(proposals, now)
    return compare(database_url, month, seeds=proposed_seeds(effective, seed_texts()), proposals=effective)


def plans_now(connection: psycopg.Connection, month: Month) -> dict[str, str | None]:
    """Return every tenant of the directory with its plan at the end of the month; None without one that day."""
    rows = connection.execute(
        "select tenant_id, max(plan) filter (where valid_from <= %(day)s and valid_to > %(day)s)"
        " from staging.stg_directory__tenants group by 1",
        {"day": month.status_day},
    ).fetchall()
    return dict(rows)


def built_prices(connection: psycopg.Connection) -> list[Price]:
    """Return the price book that the last build used."""
    columns = (
        "service, operation, model, plan, component, unit_price_usd, per, effective_from, effective_to, source, tier"
    )
    rows = connection.execute(f"select {columns} from staging.price_book".encode()).fetchall()
    return [
        Price(
            service,
            operation or "",
            model or "",
            plan or "",
            component,
            price,
            per,
            first,
            end,
            source or "",
            tier or "",
        )
        for service, operation, model, plan, component, price, per, first, end, source, tier in rows
    ]
