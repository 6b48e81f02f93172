-- Grain: tenant × month × channel × metric, for the window's months up to the as-of month. The limits in force: those of the
-- plan of the month's last day (or of the as-of day), each overridden by the tenant's own. Not additive.
{{ config(materialized='ephemeral') }}

with tenants as (
    select * from {{ ref('stg_directory__tenants') }}
),

plan_limits as (
    select * from {{ ref('int_plan_limits') }}
),

own_limits as (
    select * from {{ ref('stg_directory__limits') }}
),

months as (
    select
        to_char(first_day, 'YYYY-MM') as month,
        {{ plan_day('first_day') }} as plan_day
    from generate_series(
        {{ window_first_month() }}::timestamp,
        least({{ window_after_last_month() }} - 1, {{ as_of_date() }})::timestamp,
        interval '1 month'
    ) as first_day
),

tenant_months as (
    select
        tenants.tenant_id,
        months.month,
        tenants.plan
    from months
    inner join tenants
        on {{ is_in_force_on('tenants', 'months.plan_day') }}
),

keys as (
    select
        tenant_months.tenant_id,
        tenant_months.month,
        tenant_months.plan,
        plan_limits.channel,
        plan_limits.metric
    from tenant_months
    inner join plan_limits
        on tenant_months.plan = plan_limits.plan
    union
    select
        tenant_months.tenant_id,
        tenant_months.month,
        tenant_months.plan,
        own_limits.channel,
        own_limits.metric
    from tenant_months
    inner join own_limits
        on tenant_months.tenant_id = own_limits.tenant_id
),

final as (
    select
        keys.tenant_id,
        keys.month,
        keys.channel,
        keys.metric,
        coalesce(plan_limits.direction, 'any') as direction,
        case when own_limits.tenant_id is not null then own_limits.monthly_cap else plan_limits.monthly_cap end as cap,
        coalesce(own_limits.warning_threshold_pct, plan_limits.warning_threshold_pct, 80) as warning_threshold_pct
    from keys
    left join plan_limits
        on
            keys.plan = plan_limits.plan
            and keys.channel = plan_limits.channel
            and keys.metric = plan_limits.metric
    left join own_limits
        on
            keys.tenant_id = own_limits.tenant_id
            and keys.channel = own_limits.channel
            and keys.metric = own_limits.metric
)

select * from final
