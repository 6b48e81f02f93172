-- Grain: tenant × channel × metric. Renames only.
select
    tenant_id,
    channel,
    metric,
    monthly_cap,
    warning_threshold_pct
from {{ directory_table('tenant_limits') }}
