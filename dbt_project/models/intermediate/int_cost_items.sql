-- Grain: line item of the costs that a provider tells apart from its usage, with the tenant of the resource that it is billed to. Additive:
-- amount within a currency.
{{ config(materialized='ephemeral') }}

with openai as (
    select * from {{ ref('stg_openai__costs') }}
    where {{ in_window('usage_date', 'day') }}
),

anthropic as (
    select * from {{ ref('stg_anthropic__costs') }}
    where {{ in_window('usage_date', 'day') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

final as (
    select
        jsonb_build_array(
            'openai_costs', openai.usage_date, openai.account_id, openai.project_id, openai.line_item, openai.currency
        )::text as item_id,
        'raw.openai_costs' as raw_table,
        concat_ws('/', openai.usage_date, openai.account_id, openai.project_id, openai.line_item, openai.currency) as raw_key,
        openai.usage_date,
        'openai' as service,
        openai.account_id,
        openai.project_id as resource_id,
        coalesce(project.tenant_id, 'unattributed') as tenant_id,
        case when project.tenant_id is not null then 'project' else 'none' end as attribution,
        openai.line_item,
        openai.model,
        -- An item does not say how the calls were processed.
        null::text as tier,
        openai.currency,
        openai.amount
    from openai
    {{ join_owner('project', 'openai', 'openai', 'project', 'openai.project_id') }}
    union all
    select
        jsonb_build_array(
            'anthropic_costs',
            anthropic.usage_date,
            anthropic.account_id,
            anthropic.workspace_id,
            anthropic.line_item,
            anthropic.model,
            anthropic.tier,
            anthropic.currency
        )::text,
        'raw.anthropic_costs',
        concat_ws(
            '/',
            anthropic.usage_date,
            anthropic.account_id,
            anthropic.workspace_id,
            anthropic.line_item,
            anthropic.model,
            nullif(anthropic.tier, ''),
            anthropic.currency
        ),
        anthropic.usage_date,
        'anthropic',
        anthropic.account_id,
        anthropic.workspace_id,
        coalesce(workspace.tenant_id, 'unattributed'),
        case when workspace.tenant_id is not null then 'workspace' else 'none' end,
        anthropic.line_item,
        anthropic.model,
        anthropic.tier,
        anthropic.currency,
        anthropic.amount
    from anthropic
    {{ join_owner('workspace', 'anthropic', 'anthropic', 'workspace', 'anthropic.workspace_id') }}
)

select * from final
