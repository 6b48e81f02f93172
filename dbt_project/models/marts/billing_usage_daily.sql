-- Grain: tenant × date, dense up to the as-of day: a quiet day is a row of zeros. Additive: everything.
{{ config(
    window='day',
    meta={'dense': true},
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['date']}]
) }}

with daily as (
    select * from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
),

tenants as (
    select * from {{ ref('tenants') }}
),

days as (
    select day::date as date
    from generate_series(
        {{ window_start() }}::timestamp, least({{ window_end() }} - 1, {{ as_of_date() }})::timestamp, interval '1 day'
    ) as day
),

usage as (
    select
        tenant_id,
        date,
        sum(request_count) filter (where channel = 'sms' and direction = 'outbound') as sms_outbound,
        sum(request_count) filter (where channel = 'sms' and direction = 'inbound') as sms_inbound,
        sum(request_count) filter (where channel = 'mms' and direction = 'outbound') as mms_outbound,
        sum(request_count) filter (where channel = 'mms' and direction = 'inbound') as mms_inbound,
        sum(unit_count) filter (where channel = 'voice' and direction = 'inbound') as voice_inbound,
        sum(unit_count) filter (where channel = 'voice' and direction = 'outbound') as voice_outbound,
        sum(unit_count) filter (where channel = 'email') as emails,
        sum(request_count) filter (where channel = 'ai') as ai_requests,
        sum(input_tokens) filter (where channel = 'ai') as ai_tokens_in,
        sum(output_tokens) filter (where channel = 'ai') as ai_tokens_out,
        sum(estimated_cost_usd) as estimated_cost_usd
    from daily
    group by tenant_id, date
),

final as (
    select
        concat_ws(':', tenants.tenant_id, to_char(days.date, 'YYYY-MM-DD'))::text as id,
        tenants.tenant_id::text as tenant_id,
        days.date::date as date,
        coalesce(usage.sms_outbound, 0)::bigint as sms_outbound_count,
        coalesce(usage.sms_inbound, 0)::bigint as sms_inbound_count,
        coalesce(usage.mms_outbound, 0)::bigint as mms_outbound_count,
        coalesce(usage.mms_inbound, 0)::bigint as mms_inbound_count,
        coalesce(usage.voice_inbound, 0)::numeric(38, 18) as voice_minutes_inbound,
        coalesce(usage.voice_outbound, 0)::numeric(38, 18) as voice_minutes_outbound,
        coalesce(usage.emails, 0)::bigint as emails_sent,
        coalesce(usage.ai_requests, 0)::bigint as ai_requests,
        coalesce(usage.ai_tokens_in, 0)::bigint as ai_tokens_in,
        coalesce(usage.ai_tokens_out, 0)::bigint as ai_tokens_out,
        -- Nothing used costs nothing; something used without a price is not known.
        case when usage.tenant_id is null then 0 else usage.estimated_cost_usd end::numeric(38, 18) as estimated_cost_usd,
        {{ built_at() }} as updated_at
    from tenants
    cross join days
    left join usage
        on
            tenants.tenant_id = usage.tenant_id
            and days.date = usage.date
)

select * from final
