"""The forecast against the marts that dbt built: what it says is used, and the projection, are the same figures."""

from __future__ import annotations

from decimal import Decimal

import psycopg

from costs.forecasts import write_forecasts
from costs.rules.forecast import projection
from tests.dbt.conftest import AS_OF, Project


def test_what_is_used_is_what_the_marts_say(built: Project) -> None:
    with psycopg.connect(built.url, autocommit=True) as connection:
        assert write_forecasts(connection, AS_OF) > 0
    found = built.execute(
        "select forecasts.used, status.used from ops.usage_forecasts as forecasts"
        " inner join marts.tenant_usage_status as status using (tenant_id, month, channel, metric)"
    )
    assert len(found) >= 10
    assert [row for row in found if row[0] != row[1]] == []
    costs = built.execute(
        "select forecasts.used, months.total_cost_cents from ops.usage_forecasts as forecasts"
        " inner join marts.tenant_monthly as months using (tenant_id, month) where forecasts.channel = ''"
    )
    assert len(costs) == 3
    assert [row for row in costs if row[0] != row[1]] == []


def test_the_projection_is_the_marts(built: Project) -> None:
    today = AS_OF.date()
    found = built.execute(
        "select months.projected_cost_cents,"
        " coalesce(sum(days.estimated_cost_cents) filter (where days.date < %s), 0),"
        " coalesce(sum(days.estimated_cost_cents) filter (where days.date = %s), 0)"
        " from marts.tenant_monthly as months"
        " inner join marts.usage_summary as days on days.tenant_id = months.tenant_id"
        " and to_char(days.date, 'YYYY-MM') = months.month"
        " where months.month = to_char(%s, 'YYYY-MM') group by months.tenant_id, months.projected_cost_cents",
        today,
        today,
        today,
    )
    assert len(found) == 3
    for marts, complete, so_far in found:
        assert abs(projection(today, complete, so_far) - marts) < Decimal("1e-17")
        assert marts > complete
