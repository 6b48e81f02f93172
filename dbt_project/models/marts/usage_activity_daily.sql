-- Grain: tenant × date × channel × service × operation × activity. Additive: everything; the same usage as usage_daily's, told by
-- what the caller was doing.
{{ config(
    window='day',
    pre_hook="{{ build_together_with(['int_usage_lines_estimated']) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['tenant_id', 'date']}, {'columns': ['date']}]
) }}

with lines as (
    select * from {{ ref('int_usage_lines_estimated') }}
    where {{ in_window('usage_date', 'day') }}
),

final as (
    select
        tenant_id::text as tenant_id,
        usage_date::date as date,
        channel::text as channel,
        service::text as service,
        operation::text as operation,
        activity::text as activity,
        sum(unit_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count,
        sum(estimated_cost_usd)::numeric(38, 18) as estimated_cost_usd,
        {{ built_at() }} as updated_at
    from lines
    group by tenant_id, usage_date, channel, service, operation, activity
)

select * from final
