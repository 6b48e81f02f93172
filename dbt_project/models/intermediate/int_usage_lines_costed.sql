-- Grain: usage line, and a line without usage for each OpenAI cost that no usage explains. Additive: counts, estimated and
-- billed cost where known.
{{ config(materialized='ephemeral') }}

with lines as (
    select * from {{ ref('int_usage_lines_estimated') }}
    where {{ in_window('usage_date', 'day') }}
),

openai_billed as (
    select * from {{ ref('int_openai_billed') }}
),

openai_costs as (
    select * from {{ ref('stg_openai__costs') }}
    where {{ in_window('usage_date', 'day') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

billed_projects as (
    select distinct
        usage_date,
        account_id,
        project_id
    from openai_costs
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
            when lines.service <> 'openai' then lines.billed_cost_usd
            -- A project whose costs have come: what no line item is about costs nothing.
            when openai_billed.line_id is not null then openai_billed.billed_cost_usd
            when billed_projects.project_id is not null then 0
        end as billed_cost_usd
    from lines
    left join openai_billed
        on
            lines.usage_date = openai_billed.usage_date
            and lines.line_id = openai_billed.line_id
    left join billed_projects
        on
            lines.service = 'openai'
            and lines.usage_date = billed_projects.usage_date
            and lines.account_id = billed_projects.account_id
            and lines.resource_id = billed_projects.project_id
),

costs_without_usage as (
    select
        jsonb_build_array(
            'openai_costs', openai_costs.usage_date, openai_costs.account_id, openai_costs.project_id, openai_costs.line_item, openai_costs.currency
        )::text as line_id,
        openai_costs.usage_date,
        coalesce(project.tenant_id, 'unattributed') as tenant_id,
        'ai' as channel,
        'openai' as service,
        'chat_completion' as operation,
        'outbound' as direction,
        'openai' as source,
        openai_costs.model,
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
        openai_costs.account_id,
        openai_costs.project_id as resource_id,
        '' as plan,
        null as price_operation,
        null as price_model,
        null as price_plan,
        null as price_tier,
        jsonb_build_object(
            'rows', jsonb_build_array(
                jsonb_build_object(
                    'raw_table', 'raw.openai_costs',
                    'record_id', concat_ws(
                        '/', openai_costs.usage_date, openai_costs.account_id, openai_costs.project_id, openai_costs.line_item, openai_costs.currency
                    ),
                    'attribution', case when project.tenant_id is not null then 'project' else 'none' end,
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
        case when openai_costs.currency = 'usd' then openai_costs.amount end as billed_cost_usd
    from openai_costs
    {{ join_owner('project', 'openai_costs', 'openai', 'project', 'openai_costs.project_id') }}
    where not exists (
        select 1
        from lines
        where
            lines.service = 'openai'
            and lines.usage_date = openai_costs.usage_date
            and lines.account_id = openai_costs.account_id
            and lines.resource_id = openai_costs.project_id
    )
),

final as (
    select * from usage_lines
    union all
    select * from costs_without_usage
)

select * from final
