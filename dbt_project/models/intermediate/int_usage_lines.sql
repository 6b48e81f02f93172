-- Grain: usage line = what is priced as one: Twilio's records summed by tenant, day and kind, OpenAI's and SendGrid's
-- aggregates as they come, with the tenant's plan of that day. Additive: all counts; billed_cost_usd where known.
with messages as (
    select * from {{ ref('int_twilio_messages') }}
),

calls as (
    select * from {{ ref('int_twilio_calls') }}
),

openai as (
    select * from {{ ref('int_openai_usage') }}
),

sendgrid as (
    select * from {{ ref('int_sendgrid_usage') }}
),

tenants as (
    select * from {{ ref('stg_directory__tenants') }}
),

lines as (
    select
        usage_date,
        tenant_id,
        channel,
        'twilio_sms' as service,
        operation,
        direction,
        'twilio' as source,
        '' as account_id,
        '' as resource_id,
        '' as api_key_id,
        '' as model,
        'provider' as evidence,
        case channel when 'sms' then 'segments' else 'messages' end as unit,
        sum(unit_count)::numeric(38, 18) as unit_count,
        count(*) as request_count,
        0::bigint as input_tokens,
        0::bigint as cached_input_tokens,
        0::bigint as output_tokens,
        case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) end as billed_cost_usd
    from messages
    group by usage_date, tenant_id, channel, operation, direction
    union all
    select
        usage_date,
        tenant_id,
        'voice',
        'twilio_voice',
        direction,
        direction,
        'twilio',
        '',
        '',
        '',
        '',
        'provider',
        'minutes',
        sum(unit_count)::numeric(38, 18),
        count(*),
        0,
        0,
        0,
        case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) end
    from calls
    group by usage_date, tenant_id, direction
    union all
    select
        usage_date,
        tenant_id,
        'ai',
        'openai',
        operation,
        'outbound',
        'openai',
        account_id,
        project_id,
        api_key_id,
        model,
        'residual',
        'tokens',
        sum(input_tokens + output_tokens)::numeric(38, 18),
        sum(request_count)::bigint,
        sum(input_tokens)::bigint,
        sum(cached_input_tokens)::bigint,
        sum(output_tokens)::bigint,
        null
    from openai
    group by usage_date, tenant_id, operation, account_id, project_id, api_key_id, model
    union all
    select
        usage_date,
        tenant_id,
        'email',
        'sendgrid',
        'send',
        'outbound',
        'sendgrid',
        '',
        resource_id,
        '',
        '',
        'residual',
        'emails',
        request_count::numeric(38, 18),
        request_count,
        0,
        0,
        0,
        null
    from sendgrid
),

final as (
    select
        concat_ws(
            ':', lines.usage_date, lines.tenant_id, lines.service, lines.operation, lines.account_id, lines.resource_id, lines.api_key_id, lines.model
        ) as line_id,
        lines.*,
        coalesce(tenants.plan, '') as plan
    from lines
    left join tenants
        on
            lines.tenant_id = tenants.tenant_id
            and lines.usage_date >= tenants.valid_from
            and lines.usage_date < tenants.valid_to
)

select * from final
