-- Grain: day × tenant × resource (a subuser, or what the parent account sent beyond its subusers). Additive: emails.
with stats as (
    select * from {{ ref('stg_sendgrid__stats') }}
),

subuser_stats as (
    select * from {{ ref('stg_sendgrid__subuser_stats') }}
),

owners as (
    select * from {{ ref('stg_directory__resources') }}
),

subusers_by_day as (
    select
        usage_date,
        sum(request_count) as request_count
    from subuser_stats
    group by usage_date
),

parent as (
    select
        stats.usage_date,
        {% if sendgrid_parent_stats() == 'own' -%}
            stats.request_count
        {%- else -%}
            -- The account's stats include its subusers: what they exceed them by was sent by nobody we know.
            greatest(stats.request_count - coalesce(subusers_by_day.request_count, 0), 0)
        {%- endif %} as request_count
    from stats
    left join subusers_by_day
        on stats.usage_date = subusers_by_day.usage_date
),

final as (
    select
        subuser_stats.usage_date,
        coalesce(subuser.tenant_id, 'unattributed') as tenant_id,
        subuser_stats.subuser as resource_id,
        subuser_stats.request_count
    from subuser_stats
    {{ join_owner('subuser', 'subuser_stats', 'sendgrid', 'subuser', 'subuser_stats.subuser') }}
    where subuser_stats.request_count > 0
    union all
    select
        usage_date,
        'unattributed',
        '',
        request_count
    from parent
    where request_count > 0
)

select * from final
