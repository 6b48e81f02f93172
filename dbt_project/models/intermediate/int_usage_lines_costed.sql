-- Grain: usage line, and a line without usage for each line item of a provider's costs that no usage explains. Additive: counts, estimated and
-- billed cost where known.
{{ config(materialized='ephemeral') }}

with lines as (
    select * from {{ ref('int_usage_lines_estimated') }}
    where {{ in_window('usage_date', 'day') }}
),

billed as (
    select * from {{ ref('int_billed_lines') }}
),

items as (
    select * from {{ ref('int_cost_items') }}
),

billed_resources as (
    select distinct
        usage_date,
        service,
        account_id,
        resource_id
    from items
),

usage_lines as (
    select
        lines.line_id,
        lines.usage_date,
        lines.tenant_id,
        lines.channel,
        lines.service,
        lines.operation,
        lines.direction,
        lines.source,
        lines.model,
        lines.tier,
        lines.feature,
        lines.activity,
        lines.evidence,
        lines.unit,
        lines.unit_count,
        lines.request_count,
        lines.input_tokens,
        lines.cached_input_tokens,
        lines.cache_write_tokens,
        lines.cache_write_1h_tokens,
        lines.output_tokens,
        lines.amount_usd,
        lines.unconverted_currency,
        lines.account_id,
        lines.resource_id,
        lines.plan,
        lines.price_operation,
        lines.price_model,
        lines.price_plan,
        lines.price_tier,
        lines.basis,
        lines.estimated_cost_usd,
        case
            when lines.service not in ({{ itemized_services() }}) then lines.billed_cost_usd
            when {{ is_billed_elsewhere('lines.service', 'lines.tier') }} then null
            -- A resource whose costs have come: what no line item is about costs nothing.
            when billed.line_id is not null then billed.billed_cost_usd
            when billed_resources.resource_id is not null then 0
        end as billed_cost_usd
    from lines
    left join billed
        on
            lines.usage_date = billed.usage_date
            and lines.line_id = billed.line_id
    left join billed_resources
        on
            lines.service = billed_resources.service
            and lines.usage_date = billed_resources.usage_date
            and lines.account_id = billed_resources.account_id
            and lines.resource_id = billed_resources.resource_id
),

costs_without_usage as (
    select
        items.item_id as line_id,
        items.usage_date,
        items.tenant_id,
        'ai' as channel,
        items.service,
        'chat_completion' as operation,
        'outbound' as direction,
        items.service as source,
        items.model,
        '' as tier,
        '(untracked)' as feature,
        '' as activity,
        'residual' as evidence,
        'tokens' as unit,
        0::numeric(38, 18) as unit_count,
        0::bigint as request_count,
        0::bigint as input_tokens,
        0::bigint as cached_input_tokens,
        0::bigint as cache_write_tokens,
        0::bigint as cache_write_1h_tokens,
        0::bigint as output_tokens,
        null::numeric(38, 18) as amount_usd,
        '' as unconverted_currency,
        items.account_id,
        items.resource_id,
        '' as plan,
        null as price_operation,
        null as price_model,
        null as price_plan,
        null as price_tier,
        jsonb_build_object(
            'rows', jsonb_build_array(
                jsonb_build_object(
                    'raw_table', items.raw_table,
                    'record_id', items.raw_key,
                    'attribution', items.attribution,
                    'unit_count', 0,
                    'request_count', 0,
                    'input_tokens', 0,
                    'cached_input_tokens', 0,
                    'cache_write_tokens', 0,
                    'cache_write_1h_tokens', 0,
                    'output_tokens', 0
                )
            )
        ) as basis,
        0::numeric(38, 18) as estimated_cost_usd,
        case when items.currency = 'usd' then items.amount end as billed_cost_usd
    from items
    where not exists (
        select 1
        from lines
        where
            lines.service = items.service
            and not {{ is_billed_elsewhere('lines.service', 'lines.tier') }}
            and lines.usage_date = items.usage_date
            and lines.account_id = items.account_id
            and lines.resource_id = items.resource_id
    )
),

final as (
    select * from usage_lines
    union all
    select * from costs_without_usage
)

select * from final
