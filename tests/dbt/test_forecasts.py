"""The forecast against the marts that dbt built: what it says is used is their figure."""

from __future__ import annotations

import psycopg

from costs.forecasts import write_forecasts
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
