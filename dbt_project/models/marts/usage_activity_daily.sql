-- Grain: tenant × date × channel × service × operation × activity. Additive: everything; the same usage as usage_daily's, told by
-- what the caller was doing. A table, not a view over usage_lines: that has also the costs without usage, closed months are proven by this
-- table, and as a sum of lines its query of a tenant's month took 4 to 9 ms instead of about 1.
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
