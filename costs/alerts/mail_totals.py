"""SendGrid's account totals that are below their subusers': whoever set METERING_SENDGRID_PARENT_STATS=total has it wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date

import psycopg

from costs.alerts.rules import Condition

# A day that is still going on may have grown between the two answers.
BELOW_PARTS = """
with parts as (
    select usage_date, sum(requests) as requests
    from raw.sendgrid_subuser_stats
    where usage_date >= date_trunc('month', %(today)s::date - interval '1 month') and usage_date < %(today)s
    group by usage_date
)

select parts.usage_date
from parts
inner join raw.sendgrid_stats as total on total.usage_date = parts.usage_date and total.requests < parts.requests
order by parts.usage_date
"""


def totals_below_parts(
    connection: psycopg.Connection, today: date, environ: Mapping[str, str] = os.environ
) -> list[Condition]:
    """Return a critical condition where the account's mail of this month or the last is below its subusers' on a day that is
    over: the total does not include them, and what the account sent by itself is not counted.
    """
    if (environ.get("METERING_SENDGRID_PARENT_STATS") or "total") != "total":
        return []
    days = [day for (day,) in connection.execute(BELOW_PARTS, {"today": today})]
    if not days:
        return []
    many = f"on {len(days)} days ({days[0]} to {days[-1]})" if len(days) > 1 else f"on {days[0]}"
    message = (
        f"SendGrid's total of the account is below the sum of its subusers {many}, so it does not include them and the"
        " account's own mail is not counted: set METERING_SENDGRID_PARENT_STATS=own and rebuild"
    )
    details = {"provider": "sendgrid", "days": len(days), "lastDate": days[-1].isoformat()}
    return [Condition("unattributed", "drift", "critical", "email", message, details, subject="sendgrid totals")]
