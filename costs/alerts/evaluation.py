"""Everything that holds as of a day, from one snapshot of the marts."""

from __future__ import annotations

from datetime import date

import psycopg

from costs.alerts import facts, rules
from costs.alerts.rules import Condition

# The latest day that a build knew of: the current build's, whatever its clock said, or an earlier one's, unless that was
# pinned to a day still to come, which says nothing about the marts that were built since.
NEWEST_AS_OF = """
select max((as_of at time zone 'UTC')::date)
from ops.builds
where
    status = 'ok'
    and (
        (as_of at time zone 'UTC')::date <= (finished_at at time zone 'UTC')::date
        or build_id = (select build_id from ops.current_build)
    )
"""


def evaluate(connection: psycopg.Connection, today: date) -> list[Condition] | None:
    """Return the conditions of all types that hold as of ``today``, whatever days were built last.

    None where the marts are already those of a later day: a run whose clock is pinned to the past knows nothing about
    now, and must neither open nor resolve anything.

    Args:
        connection: in autocommit mode; the marts are read in one transaction, so that a build that commits meanwhile
            is seen whole or not at all.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        newest = connection.execute(NEWEST_AS_OF).fetchone()
        if newest is not None and newest[0] is not None and newest[0] > today:
            return None
        conditions = [
            condition for month in facts.months_so_far(connection, today) for condition in rules.of_month(month)
        ]
        conditions += [rules.of_limit(limit) for limit in facts.limits_reached(connection, today)]
        conditions += rules.of_unpriced(facts.unpriced(connection))
        conditions += rules.of_unknown_tenants(facts.unknown_tenants(connection, today))
        conditions += [rules.of_unusual_day(unusual) for unusual in facts.unusual_days(connection, today)]
        return conditions + facts.drift_conditions(connection, today)
