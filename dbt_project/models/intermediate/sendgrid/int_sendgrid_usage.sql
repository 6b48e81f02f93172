-- Grain: day × tenant × resource (a subuser; a category of what the parent account sent beyond its subusers; the rest of that).
-- Additive: emails.
with stats as (
    select * from {{ ref('stg_sendgrid__stats') }}
),

subuser_stats as not materialized (
    select * from {{ ref('stg_sendgrid__subuser_stats') }}
),

category_stats as not materialized (
    select * from {{ ref('stg_sendgrid__category_stats') }}
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
        0 as parent_count,
        request_count as subuser_count
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

owned_categories as (
    select
        category_stats.usage_date,
        category.tenant_id,
        'category:' || category_stats.category as resource_id,
        category_stats.request_count
    from category_stats
    {{ join_owner('category', 'category_stats', 'sendgrid', 'category', "'category:' || category_stats.category") }}
    where
        category.tenant_id is not null
        and category_stats.request_count > 0
),

by_day as (
    select
        usage_date,
        'unattributed' as tenant_id,
        '' as resource_id,
        request_count
    from parent
    union all
    select
        usage_date,
        tenant_id,
        resource_id,
        request_count
    from owned_categories
),

-- By windows of a day, not by a join: a filter on the day reaches what is beneath.
divided as (
    select
        by_day.*,
        coalesce(sum(request_count) filter (where resource_id = '') over same_day, 0) as parent_count,
        coalesce(sum(request_count) filter (where resource_id <> '') over same_day, 0) as category_count
    from by_day
    window same_day as (partition by usage_date)
),

-- Categories are parts of what the account sent by itself. Where they come to more, a mail had several or was a subuser's, and what they
-- say of the others is no more to be believed: then that day's mail stays nobody's.
believed as (
    select
        usage_date,
        tenant_id,
        resource_id,
        case
            when resource_id = '' and category_count <= parent_count then request_count - category_count
            when resource_id = '' or category_count <= parent_count then request_count
            else 0
        end::bigint as request_count
    from divided
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
        tenant_id,
        resource_id,
        request_count,
        case when resource_id = '' then 'raw.sendgrid_stats' else 'raw.sendgrid_category_stats' end as raw_table,
        case when resource_id = '' then 'none' else 'category' end as attribution
    from believed
    where request_count > 0
)

select * from final
