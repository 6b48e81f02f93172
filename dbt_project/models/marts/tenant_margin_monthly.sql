-- Grain: tenant × month of tenant_monthly, `unattributed` included. Additive over tenants and months (not the percent): the
-- full costs of all rows of a month are what the providers cost in it; what nobody could be given stays on `unattributed`.
-- Computed whole, as tenant_monthly is. It reads usage_monthly: a few rows per tenant and month.
{{ config(
    window='all',
    kept_by=['tenant_id', 'month'],
    pre_hook="{{ new_columns({'adjustment_cents': ['numeric(38,18)', '0']}, computed={'month_start': ['date', month_start()]}) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['month']}]
) }}

with tenant_months as (
    select
        tenant_id,
        month,
        {{ plan_day("to_date(month, 'YYYY-MM')") }} as plan_day
    from {{ ref('tenant_monthly') }}
),

monthly as (
    select * from {{ ref('usage_monthly') }}
    where month <= to_char({{ as_of_date() }}, 'YYYY-MM')
),

versions as (
    select * from {{ ref('stg_directory__tenants') }}
),

plans as (
    select * from {{ ref('plans') }}
),

-- What a channel cost: the provider's word once it has billed all of the month's cell, the estimate until then.
channel_costs as (
    select
        tenant_id,
        month,
        channel,
        coalesce(billed_cost_cents, estimated_cost_cents) as cost_cents,
        billed_cost_cents,
        {{ kinds_of('monthly') }} as unpriced_units
    from monthly
),

-- What closed months would be charged otherwise, in the month that it is booked in. It is not shared out: the closed month's shares stay.
adjustments as (
    select
        tenant_id,
        booked_month as month,
        sum(charged_cost_usd) * 100 as adjustment_cents
    from {{ ref('stg_ops__cost_adjustments') }}
    group by tenant_id, booked_month
),

-- The key of the allocation. A residual may be less than nothing: such a cost carries no share.
channel_weights as (
    select
        tenant_id,
        month,
        channel,
        cost_cents as weight
    from channel_costs
    where
        tenant_id <> 'unattributed'
        and cost_cents > 0
),

tenant_weights as (
    select
        tenant_id,
        month,
        sum(weight) as weight
    from channel_weights
    group by tenant_id, month
),

pools as (
    select
        month,
        channel,
        cost_cents
    from channel_costs
    where
        tenant_id = 'unattributed'
        and cost_cents <> 0
),

-- By the cost of the same channel; by all cost where no tenant has any of that channel.
bearers as (
    select
        pools.month,
        pools.channel,
        pools.cost_cents,
        channel_weights.tenant_id,
        channel_weights.weight
    from pools
    inner join channel_weights
        on
            pools.month = channel_weights.month
            and pools.channel = channel_weights.channel
    union all
    select
        pools.month,
        pools.channel,
        pools.cost_cents,
        tenant_weights.tenant_id,
        tenant_weights.weight
    from pools
    inner join tenant_weights
        on pools.month = tenant_weights.month
    where not exists (
        select 1
        from channel_weights
        where
            channel_weights.month = pools.month
            and channel_weights.channel = pools.channel
    )
),

rounded as (
    select
        bearers.*,
        round(cost_cents * weight / sum(weight) over (partition by month, channel), 18) as part_cents,
        row_number() over (partition by month, channel order by weight desc, tenant_id asc) as place
    from bearers
),

-- The largest share takes what rounding leaves: the parts are the whole to the last digit.
allocated as (
    select
        tenant_id,
        month,
        part_cents + case when place = 1 then cost_cents - sum(part_cents) over (partition by month, channel) else 0 end as part_cents
    from rounded
),

shares as (
    select
        tenant_id,
        month,
        sum(part_cents) as shared_cost_cents
    from allocated
    group by tenant_id, month
    union all
    select
        'unattributed' as tenant_id,
        month,
        -sum(part_cents) as shared_cost_cents
    from allocated
    group by month
),

own as (
    select
        tenant_id,
        month,
        sum(cost_cents) as own_cost_cents,
        coalesce(sum(billed_cost_cents), 0) as billed_cost_cents,
        {{ sum_kinds('unpriced_units') }} as unpriced_units
    from channel_costs
    group by tenant_id, month
),

-- Nothing used costs nothing; something used without any price is not known (null).
costs as (
    select
        tenant_months.tenant_id,
        tenant_months.month,
        versions.plan,
        plans.monthly_base_price_usd * 100 as revenue_cents,
        case when own.tenant_id is null then 0 else own.own_cost_cents end as own_cost_cents,
        coalesce(own.billed_cost_cents, 0) as billed_cost_cents,
        coalesce(shares.shared_cost_cents, 0) as shared_cost_cents,
        coalesce(adjustments.adjustment_cents, 0) as adjustment_cents,
        -- Channels' units have no sum: null where there are several kinds.
        ops.only_quantity(own.unpriced_units) as unpriced_unit_count
    from tenant_months
    left join own
        on
            tenant_months.tenant_id = own.tenant_id
            and tenant_months.month = own.month
    left join shares
        on
            tenant_months.tenant_id = shares.tenant_id
            and tenant_months.month = shares.month
    left join adjustments
        on
            tenant_months.tenant_id = adjustments.tenant_id
            and tenant_months.month = adjustments.month
    left join versions
        on
            tenant_months.tenant_id = versions.tenant_id
            and {{ is_in_force_on('versions', 'tenant_months.plan_day') }}
    left join plans
        on versions.plan = plans.plan
),

full_costs as (
    select
        *,
        -- What has no price (null) hides neither its share nor what was booked.
        coalesce(own_cost_cents + shared_cost_cents + adjustment_cents, nullif(shared_cost_cents + adjustment_cents, 0)) as full_cost_cents
    from costs
),

final as (
    select
        tenant_id::text as tenant_id,
        month::text as month,
        {{ month_start() }} as month_start,
        plan::text as plan,
        revenue_cents::numeric(38, 18) as revenue_cents,
        own_cost_cents::numeric(38, 18) as own_cost_cents,
        billed_cost_cents::numeric(38, 18) as billed_cost_cents,
        shared_cost_cents::numeric(38, 18) as shared_cost_cents,
        adjustment_cents::numeric(38, 18) as adjustment_cents,
        full_cost_cents::numeric(38, 18) as full_cost_cents,
        (revenue_cents - full_cost_cents)::numeric(38, 18) as full_margin_cents,
        ({{ percent_of('revenue_cents - full_cost_cents', 'revenue_cents') }})::numeric(38, 18) as full_margin_percent,
        unpriced_unit_count::numeric(38, 18) as unpriced_unit_count,
        {{ built_at() }} as updated_at
    from full_costs
)

select * from final
