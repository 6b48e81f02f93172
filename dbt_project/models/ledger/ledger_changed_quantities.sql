-- Grain: tenant × date × channel × service × operation × model, of the days and channels of ledger_changed_costs: by how much usage_daily's quantities
-- change, and what there is of the parts of a price, before or after. Additive: the changes.
{{ config(materialized='ephemeral') }}

{%- set key = ['tenant_id', 'date', 'channel', 'service', 'operation', 'model'] %}
{%- set tokens = ['input', 'cached_input', 'cache_write', 'cache_write_1h', 'output'] %}

with changed as (
    select
        date,
        channel
    from {{ ref('ledger_changed_costs') }}
),

sides as (
    {%- for sign, usage_daily in [(-1, usage_daily_before()), (1, ref('ledger_usage_daily'))] %}
        select
            {{ key | join(', ') }},
            {{ sign }} as sign,
            {%- for kind in tokens %}
                sum({{ kind }}_tokens) as {{ kind }}_tokens,
            {%- endfor %}
            sum(unit_count) as unit_count
        from {{ usage_daily }}
        where (date, channel) in (select * from changed)
        group by {{ key | join(', ') }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

final as (
    select
        {{ key | join(', ') }},
        {%- for kind in tokens %}
            sum(sign * {{ kind }}_tokens) as {{ kind }}_tokens,
            bool_or({{ kind }}_tokens <> 0) as has_{{ kind }},
        {%- endfor %}
        sum(sign * unit_count) as unit_count
    from sides
    group by {{ key | join(', ') }}
)

select * from final
