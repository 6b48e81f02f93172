-- Grain: tenant × version. An open end is infinity, so that versions compare as ranges.
select
    tenant_id,
    name,
    nullif(plan, '') as plan,
    status,
    usage_hard_stop_enabled,
    coalesce(valid_from, '-infinity'::date) as valid_from,
    coalesce(valid_to, 'infinity'::date) as valid_to
from {{ directory_table('tenants') }}
