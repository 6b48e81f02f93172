-- Grain: day × tenant × resource (a subuser, or what the parent account sent beyond its subusers). Additive: emails.
with stats as (
    select * from {{ ref('stg_sendgrid__stats') }}
),

subuser_stats as not materialized (
    select * from {{ ref('stg_sendgrid__subuser_stats') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

-- Stacked and grouped by day, not joined: a filter on the day then reaches both tables.
stacked as (
    select
        usage_date,
        request_count as parent_count,
        0 as subuser_count
    from stats
    union all
    select
        usage_date,
        0,
        request_count
    from subuser_stats
),

parent as (
    select
        usage_date,
        {% if sendgrid_parent_stats() == 'own' -%}
            sum(parent_count)::bigint
        {%- else -%}
            -- The account's stats include its subusers: what they exceed them by was sent by nobody we know.
            greatest(sum(parent_count) - sum(subuser_count), 0)::bigint
        {%- endif %} as request_count
    from stacked
    group by usage_date
),

final as (
    select
        subuser_stats.usage_date,
        coalesce(subuser.tenant_id, 'unattributed') as tenant_id,
        subuser_stats.subuser as resource_id,
        subuser_stats.request_count,
        'raw.sendgrid_subuser_stats' as raw_table,
        case when subuser.tenant_id is not null then 'subuser' else 'none' end as attribution
    from subuser_stats
    {{ join_owner('subuser', 'subuser_stats', 'sendgrid', 'subuser', 'subuser_stats.subuser') }}
    where subuser_stats.request_count > 0
    union all
    select
        usage_date,
        'unattributed',
        '',
        request_count,
        'raw.sendgrid_stats',
        'none'
    from parent
    where request_count > 0
)

select * from final
