-- The same tenants and months as tenant_monthly, by the same base price: its margin is the revenue less the estimate.
select
    coalesce(margins.tenant_id, months.tenant_id) as tenant_id,
    coalesce(margins.month, months.month) as month
from {{ ref('tenant_margin_monthly') }} as margins
full join {{ ref('tenant_monthly') }} as months
    on
        margins.tenant_id = months.tenant_id
        and margins.month = months.month
where
    margins.tenant_id is null
    or months.tenant_id is null
    or margins.revenue_cents - months.total_cost_cents is distinct from months.margin_cents
