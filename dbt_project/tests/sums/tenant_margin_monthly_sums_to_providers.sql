-- What all tenants of a month are charged with, and what is left unallocated, is what the providers cost in it and what is booked in it of
-- closed months: in every month that the window touches, from the days and the ledger themselves.
with cells as (
    select
        tenant_id,
        to_char(date, 'YYYY-MM') as month,
        channel,
        sum(estimated_cost_usd) * 100 as estimated_cents,
        case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) * 100 end as billed_cents
    from {{ ref('usage_daily') }}
    where
        date >= {{ window_first_month() }}
        and date < {{ window_after_last_month() }}
    group by tenant_id, to_char(date, 'YYYY-MM'), channel
),

providers as (
    select
        month,
        coalesce(sum(coalesce(billed_cents, estimated_cents)), 0) as cost_cents
    from cells
    where month <= to_char({{ as_of_date() }}, 'YYYY-MM')
    group by month
),

adjustments as (
    select
        booked_month as month,
        sum(charged_cost_usd) * 100 as adjustment_cents
    from {{ ref('stg_ops__cost_adjustments') }}
    group by booked_month
),

margins as (
    select
        month,
        coalesce(sum(full_cost_cents), 0) as full_cost_cents,
        coalesce(sum(own_cost_cents), 0) as own_cost_cents,
        sum(shared_cost_cents) as shared_cost_cents
    from {{ ref('tenant_margin_monthly') }}
    group by month
)

select
    providers.month,
    providers.cost_cents,
    margins.full_cost_cents
from providers
left join margins
    on providers.month = margins.month
left join adjustments
    on providers.month = adjustments.month
where
    providers.cost_cents + coalesce(adjustments.adjustment_cents, 0) is distinct from margins.full_cost_cents
    or providers.cost_cents is distinct from margins.own_cost_cents
    or margins.shared_cost_cents <> 0
