-- Grain: tenant × date × channel, of those of ledger_changed_costs whose old prices are known: whether a price that they need is another, by the book
-- or by the plan. Not additive.
{{ config(materialized='ephemeral') }}

{%- set parts = ['has_input', 'has_cached_input', 'has_cache_write', 'has_cache_write_1h', 'has_output'] %}
{%- set priced_by = ['usage_date', 'service', 'operation', 'model', 'tier', 'old_plan', 'new_plan', 'old_price_version', 'new_price_version'] + parts %}

with changed as (
    select * from {{ ref('ledger_changed_costs') }}
),

quantities as (
    select * from {{ ref('ledger_changed_quantities') }}
),

price_book as (
    {{ price_book_rows(ref('price_book')) }}
),

-- Looked up by version.
kept_books as not materialized (
    select * from {{ ref('stg_ops__price_book_rows') }}
),

lines as materialized (
    select distinct
        usage_date,
        tenant_id,
        service,
        operation,
        model,
        tier,
        plan
    from {{ ref('int_usage_lines_estimated') }}
    where usage_date in (select changed.date from changed)
),

plans as (
    select
        usage_date,
        tenant_id,
        min(plan) as plan
    from lines
    group by usage_date, tenant_id
),

tiers as (
    select distinct
        usage_date,
        tenant_id,
        service,
        operation,
        model,
        tier
    from lines
    where service in ({{ token_services() }})
),

-- What the cells are priced by, on either side, and which components of a price they need. A cell may have lines of several tiers.
used as materialized (
    select
        changed.tenant_id,
        changed.date as usage_date,
        changed.channel,
        quantities.service,
        quantities.operation,
        quantities.model,
        coalesce(tiers.tier, '') as tier,
        coalesce(changed.old_plan, plans.plan, '') as old_plan,
        coalesce(plans.plan, changed.old_plan, '') as new_plan,
        changed.old_price_version,
        changed.new_price_version,
        quantities.{{ parts | join(', quantities.') }}
    from changed
    inner join quantities
        on
            changed.tenant_id = quantities.tenant_id
            and changed.date = quantities.date
            and changed.channel = quantities.channel
    left join plans
        on
            changed.tenant_id = plans.tenant_id
            and changed.date = plans.usage_date
    left join tiers
        on
            changed.tenant_id = tiers.tenant_id
            and changed.date = tiers.usage_date
            and quantities.service = tiers.service
            and quantities.operation = tiers.operation
            and quantities.model = tiers.model
    where changed.old_price_version is not null
),

effects as materialized (
    select
        needed.*,
        needed.old_price_version <> needed.new_price_version and (
            {{ chosen_prices('kept_books', 'needed.old_plan', 'needed.old_price_version') }}
            is distinct from {{ chosen_prices('price_book', 'needed.old_plan') }}
        ) as has_other_price,
        needed.old_plan <> needed.new_plan and (
            {{ chosen_prices('price_book', 'needed.old_plan') }}
            is distinct from {{ chosen_prices('price_book', 'needed.new_plan') }}
        ) as has_other_plan
    from (select distinct {{ priced_by | join(', ') }} from used) as needed
),

final as (
    select
        used.tenant_id,
        used.usage_date as date,
        used.channel,
        bool_or(effects.has_other_price) as has_other_price,
        bool_or(effects.has_other_plan) as has_other_plan
    from used
    inner join effects
        on
            {% for column in priced_by -%}
                {{ 'and ' if not loop.first }}used.{{ column }} = effects.{{ column }}
            {% endfor -%}
    group by used.tenant_id, used.usage_date, used.channel
)

select * from final
