"""SQL of the FOCUS export: the mart's rows as they are."""

from api.focus.columns import COLUMNS

_SELECTED = ",\n".join(f'    focus."{name}"' for name, _ in COLUMNS)

TENANT_EXPORT = f"""
select
{_SELECTED}
from marts.focus_cost_and_usage as focus
where focus.tenant_id = %(tenant_id)s
    and focus.date between %(first_day)s and %(last_day)s
order by focus.date, focus.charge_id
"""

ROOT_EXPORT = f"""
select
{_SELECTED}
from marts.focus_cost_and_usage as focus
where focus.date between %(first_day)s and %(last_day)s
order by focus.date, focus.charge_id
"""
