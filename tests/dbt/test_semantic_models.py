"""The semantic models: each metric, evaluated as MetricFlow would, is the figure that the marts give by another way."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from builds.dbt_manifest import parsed_project
from tests.dbt.conftest import Project

# A metric, by which dimension if any, and the same figure from elsewhere: one row per value of the dimension, in its order.
FIGURES = [
    ("usage_units", "channel", "select channel, sum(unit_count) from marts.usage_monthly group by 1"),
    ("requests", "channel", "select channel, sum(request_count) from marts.usage_monthly group by 1"),
    ("unpriced_units", "channel", "select channel, sum(unpriced_unit_count) from marts.usage_monthly group by 1"),
    ("estimated_cost_usd", None, "select sum(total_cost_cents) / 100 from marts.tenant_monthly"),
    (
        "estimated_cost_usd",
        "service",
        "select service, sum(estimated_cost_usd) from marts.usage_activity_daily group by 1",
    ),
    (
        "billed_cost_usd",
        None,
        "select sum(billed) from (select case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) end as billed"
        " from marts.usage_lines group by tenant_id, date, channel, service, operation, direction, source, feature, model, evidence) as cells",
    ),
    (
        "projected_cost_usd",
        "usage_month",
        "select month_start, sum(projected_cost_cents) / 100 from (select distinct month, month_start from marts.calendar_days) as months"
        " cross join lateral ops.tenants_of_month(months.month) as list"
        " where exists (select from marts.tenant_monthly where tenant_monthly.month = months.month) group by 1",
    ),
    (
        "margin_usd",
        "usage_month",
        "select to_date(month, 'YYYY-MM'), sum(monthly_base_price_usd - full_cost_cents / 100)"
        " from marts.tenant_margin_monthly inner join marts.tenants using (tenant_id) group by 1",
    ),
    (
        "margin_percent",
        None,
        "select sum(full_margin_percent * revenue_cents) / sum(revenue_cents) from marts.tenant_margin_monthly where revenue_cents > 0",
    ),
    (
        "coverage_percent",
        "service",
        "select service, 100 * sum(provider_units - greatest(difference, 0)) / nullif(sum(provider_units), 0)"
        " from marts.usage_reconciliation group by 1",
    ),
    (
        "cap_used_percent",
        "channel",
        "select channel, max(case when cap > 0 then 100 * used / cap when cap = 0 then 100 * sign(used) end)"
        " from marts.tenant_usage_status group by 1",
    ),
]


def sql_of(metric: str, dimension: str | None = None) -> str:
    """Return the statement of a metric: what the semantic models say of it, put together."""
    data = parsed_project().data
    metrics = {found["name"]: found for found in data["metrics"].values()}
    measures = {
        measure["name"]: (model, measure) for model in data["semantic_models"].values() for measure in model["measures"]
    }

    def expression(name: str) -> tuple[dict[str, Any], str]:
        parameters = metrics[name]["type_params"]
        if metrics[name]["type"] == "simple":
            model, measure = measures[parameters["measure"]["name"]]
            return model, f"{measure['agg']}({measure['expr'] or measure['name']})"
        assert metrics[name]["type"] == "derived"
        parts = {part["name"]: expression(part["name"]) for part in parameters["metrics"]}
        (model,) = {id(model): model for model, _ in parts.values()}.values()
        return model, re.sub("|".join(parts), lambda found: parts[found[0]][1], parameters["expr"])

    model, figure = expression(metric)
    if dimension is None:
        return f"select {figure} from {model['node_relation']['relation_name']}"
    grouped = (*model["dimensions"], *model["entities"])
    by = {found["name"]: found["expr"] or found["name"] for found in grouped}[dimension]
    return f"select {by}, {figure} from {model['node_relation']['relation_name']} group by 1"


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    # A quotient has as many digits as its sums have.
    return sorted(
        tuple(round(value, 12).normalize() if isinstance(value, Decimal) else value for value in row) for row in rows
    )


@pytest.mark.parametrize(("metric", "dimension", "elsewhere"), FIGURES)
def test_a_metric_is_the_figure_of_the_marts(
    tracked: Project, metric: str, dimension: str | None, elsewhere: str
) -> None:
    tracked.set_for_all_sessions("metering.role", "root_admin")
    found = tracked.execute(sql_of(metric, dimension))
    assert rounded(found) == rounded(tracked.execute(elsewhere))
    assert any(row[-1] for row in found)


def test_each_metric_that_is_offered_is_held_against_the_marts() -> None:
    metrics = parsed_project().data["metrics"].values()
    # The others are the parts of ratios.
    offered = {
        found["name"] for found in metrics if not re.search("with_margin|covered_units|provider_units", found["name"])
    }
    assert offered == {metric for metric, _, _ in FIGURES}
    assert [found["name"] for found in metrics if not found["label"]] == []


def test_every_dimension_and_entity_can_be_read(tracked: Project) -> None:
    models = parsed_project().data["semantic_models"].values()
    for model in models:
        names = [found["expr"] or found["name"] for found in (*model["dimensions"], *model["entities"])]
        assert tracked.execute(f"select {', '.join(names)} from {model['node_relation']['relation_name']} limit 1")
    assert len(models) == 7


@pytest.mark.parametrize(
    ("entity", "metrics"),
    [
        ("tenant", sorted({metric for metric, _, _ in FIGURES})),
        (
            "channel",
            ["billed_cost_usd", "cap_used_percent", "estimated_cost_usd", "requests", "unpriced_units", "usage_units"],
        ),
        ("service", ["billed_cost_usd", "coverage_percent", "estimated_cost_usd"]),
    ],
)
def test_figures_of_several_marts_are_grouped_alike(entity: str, metrics: list[str]) -> None:
    # A dimension would be its own mart's: no query could group the others by it.
    data = parsed_project().data
    models = {
        measure["name"]
        for model in data["semantic_models"].values()
        if entity in [found["name"] for found in model["entities"]]
        for measure in model["measures"]
    }
    found = {metric["name"] for metric in data["metrics"].values() if _measures(metric["name"], data) <= models}
    assert found & {metric for metric, _, _ in FIGURES} == set(metrics)


def _measures(metric: str, data: dict[str, Any]) -> set[str]:
    """Return the measures of a metric and of those that it is made of."""
    parameters = next(found for found in data["metrics"].values() if found["name"] == metric)["type_params"]
    parts = [_measures(part["name"], data) for part in parameters["metrics"] or []]
    own = {parameters["measure"]["name"]} if parameters["measure"] else set()
    return own.union(*parts)


def test_the_calendar_has_every_day_once_and_its_month(tracked: Project) -> None:
    assert tracked.execute(
        "select count(*) = max(date_day) - min(date_day) + 1, bool_and(to_char(date_day, 'YYYY-MM') = month and"
        " month_start = to_date(month, 'YYYY-MM') and week_start + extract(isodow from date_day)::int - 1 = date_day)"
        " from marts.calendar_days"
    ) == [(True, True)]
