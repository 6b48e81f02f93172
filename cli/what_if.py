"""`metering what-if`: a month's real usage through other plans, caps and prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cli.amounts import change, coloured, exact, usd
from cli.errors import UsageError
from cli.prices import out, prepared_database, warn_if_moved

if TYPE_CHECKING:
    from costs.rules.proposals import Proposals
    from costs.scenarios import Comparison, Month, TenantMonth


def run_what_if(*, plan: str | None, tenant: str | None, file: Path | None, month: str | None, as_json: bool) -> None:
    """Print revenue, cost, margin and caps as they are and as they would be.

    Raises:
        UsageError: no question, or one about an unknown tenant, plan or row.
    """
    import psycopg

    from costs.scenarios import ScenarioError, month_of, plans_now, what_if

    if (plan is None) == (file is None):
        raise UsageError(
            "no proposal: give --plan pro (with --tenant acme, or for every tenant), or --file proposals.csv"
        )
    if file is not None and not file.is_file():
        raise UsageError(f"there is no file {file}")
    url = prepared_database()
    with psycopg.connect(url) as connection:
        try:
            chosen_month = month_of(connection, month)
        except ScenarioError as error:
            raise UsageError(str(error)) from None
        tenants = plans_now(connection, chosen_month)
    if tenant is not None and tenant not in tenants:
        raise UsageError(f"unknown tenant {tenant} (one of {', '.join(sorted(tenants))})")
    proposals = _proposals(plan, tenant, file, chosen_month, tenants)
    comparison = what_if(url, chosen_month, proposals)
    tenant_ids = [name for name in comparison.tenants() if tenant in (None, name)]
    if as_json:
        print(json.dumps(as_data(comparison, tenant_ids), indent=2))
    else:
        out.print(scenario_table(comparison, tenant_ids))
        caps = cap_table(comparison, tenant_ids)
        out.print(caps if caps.row_count else "no cap is near: every limit is ok, now and then")
    warn_if_moved(comparison)


def _proposals(
    plan: str | None, tenant: str | None, file: Path | None, month: Month, tenants: dict[str, str | None]
) -> Proposals:
    from costs.rules.proposals import ProposalError, Proposals, parse_proposals
    from costs.seeds import plans_of, seed_path

    plans = plans_of(seed_path("plans.csv").read_text())
    if file is not None:
        try:
            return parse_proposals(
                file.read_text(), file.name, tenants=tenants, plans=plans, first=month.window.start, end=month.end
            )
        except ProposalError as error:
            raise UsageError(str(error)) from None
    if plan not in plans:
        raise UsageError(f"unknown plan {plan} (one of {', '.join(sorted(plans))})")
    return Proposals({tenant or "": plan})


def scenario_table(comparison: Comparison, tenants: list[str]) -> Table:
    """Return a row per tenant, now → then; an arrow stands only where something differs."""
    table = Table(title=f"What if, {comparison.month.name} to {comparison.month.status_day}, USD", title_justify="left")
    table.add_column("Tenant")
    table.add_column("Plan")
    for name in ("Revenue", "Cost", "Difference", "Margin", "Difference"):
        table.add_column(name, justify="right")
    table.add_column("Caps")
    for tenant in tenants:
        now, then = comparison.now.get(tenant), comparison.then.get(tenant)
        cost, margin = (_pair(now, then, name) for name in ("cost_usd", "margin_usd"))
        table.add_row(
            tenant,
            _moved(now.plan or "–" if now else "", then.plan or "–" if then else ""),
            _moved(*(usd(amount) for amount in _pair(now, then, "revenue_usd"))),
            _moved(*(usd(amount) for amount in cost)),
            change(*cost)[0],
            _moved(*(usd(amount) for amount in margin)),
            change(*margin)[0],
            _moved(now.status if now else "", then.status if then else ""),
        )
    if len(tenants) > 1:
        table.add_section()
        revenue, cost, margin = (_sums(comparison, tenants, name) for name in ("revenue_usd", "cost_usd", "margin_usd"))
        table.add_row(
            "all",
            "",
            _moved(*map(usd, revenue)),
            _moved(*map(usd, cost)),
            change(*cost)[0],
            _moved(*map(usd, margin)),
            change(*margin)[0],
            "",
        )
    return table


def _pair(now: TenantMonth | None, then: TenantMonth | None, name: str) -> tuple[Any, Any]:
    return (getattr(now, name, None), getattr(then, name, None))


def _sums(comparison: Comparison, tenants: list[str], name: str) -> tuple[Any, Any]:
    """Return the sums of what is known; a tenant without a base price has no revenue and no margin."""
    pairs = [_pair(comparison.now.get(tenant), comparison.then.get(tenant), name) for tenant in tenants]
    return (sum(now for now, _ in pairs if now is not None), sum(then for _, then in pairs if then is not None))


def _moved(now: str, then: str) -> str:
    return now if now == then else f"{now} → {then}"


def cap_table(comparison: Comparison, tenants: list[str]) -> Table:
    """Return the limits that are, or would be, at their warning threshold or over."""
    table = Table(title="Limits at or over their threshold", title_justify="left")
    for name in ("Tenant", "Channel", "Metric", "Direction"):
        table.add_column(name)
    for name in ("Used", "Cap"):
        table.add_column(name, justify="right")
    table.add_column("Status")
    for tenant in tenants:
        states = [
            {(limit.channel, limit.metric): limit for limit in (side[tenant].limits if tenant in side else ())}
            for side in (comparison.now, comparison.then)
        ]
        for key in sorted({*states[0], *states[1]}):
            now, then = states[0].get(key), states[1].get(key)
            if {limit.status for limit in (now, then) if limit} <= {"ok"}:
                continue
            last = then or now
            assert last is not None
            status = _moved(*(coloured(limit.status) if limit else "none" for limit in (now, then)))
            table.add_row(
                tenant,
                *key,
                last.direction,
                _moved(*(f"{limit.used:,.0f}" if limit else "–" for limit in (now, then))),
                _moved(
                    *(("none" if limit.cap is None else f"{limit.cap:,.0f}") if limit else "–" for limit in (now, then))
                ),
                status,
            )
    return table


def as_data(comparison: Comparison, tenants: list[str]) -> dict[str, Any]:
    """Return every figure with every digit, keys in camelCase as in the API."""
    return {
        "month": comparison.month.name,
        "asOf": comparison.month.as_of.isoformat(),
        "usageMovedOn": comparison.moved_on,
        "tenants": [
            {"tenantId": tenant, "now": _month(comparison.now.get(tenant)), "then": _month(comparison.then.get(tenant))}
            for tenant in tenants
        ],
    }


def _month(month: TenantMonth | None) -> dict[str, Any] | None:
    if month is None:
        return None
    return {
        "plan": month.plan,
        "revenueUsd": exact(month.revenue_usd),
        "costUsd": exact(month.cost_usd),
        "marginUsd": exact(month.margin_usd),
        "unpricedUnits": {unit: exact(quantity) for unit, quantity in sorted(month.unpriced_units.items())},
        "status": month.status,
        "limits": [
            {
                "channel": limit.channel,
                "metric": limit.metric,
                "direction": limit.direction,
                "used": exact(limit.used),
                "cap": exact(limit.cap),
                "status": limit.status,
            }
            for limit in month.limits
        ],
    }
