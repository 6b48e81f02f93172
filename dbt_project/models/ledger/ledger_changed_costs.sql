-- Grain: tenant × date × channel, of days that were complete before this build: those whose figures differ between what usage_daily holds (in closed
-- months with what was booked since) and what it will hold. Not additive.
{{ config(materialized='ephemeral') }}

{%- set months = closed_months() %}
{%- set figures = ['cost_usd', 'billed_cost_usd', 'charged_cost_usd', 'unit_count', 'unpriced_unit_count'] %}

with days as materialized (
    select
        *,
        {{ "to_char(usage_date, 'YYYY-MM') in ('" ~ (months | join("', '")) ~ "')" if months else 'false' }} as is_closed
    from {{ ref('stg_ops__built_days') }}
    where
        completed_at is not null
        and {{ in_window('usage_date', 'day') }}
        and {{ 'true' if keeps_records() else 'false' }}
),

price_book as (
    select {{ price_book_version() }} as version
    from {{ ref('price_book') }}
),

{% for side, usage_daily in [('old', usage_daily_before()), ('new', ref('ledger_usage_daily'))] %}
    {{ side }}_lines as (
        select
            usage.tenant_id,
            usage.date,
            usage.channel,
            sum(usage.estimated_cost_usd) as cost_usd,
            -- What is booked is a difference of sums; what a day of an open month cost is not known until all its lines are.
            case when bool_or(days.is_closed) or count(*) = count(usage.billed_cost_usd) then sum(usage.billed_cost_usd) end as billed_cost_usd,
            sum(coalesce(usage.billed_cost_usd, usage.estimated_cost_usd, 0)) as charged_cost_usd,
            {{ channel_units() }} as unit_count,
            {{ unpriced_channel_units() }} as unpriced_unit_count,
            {{ unpriced_by_kind() }} as unpriced_units
        from {{ usage_daily }} as usage
        inner join days
            on usage.date = days.usage_date
        group by usage.tenant_id, usage.date, usage.channel
    ),

{% endfor -%}
booked as (
    select
        adjustments.tenant_id,
        adjustments.usage_date as date,
        adjustments.channel,
        {%- for figure in figures %}
            adjustments.{{ figure }},
        {%- endfor %}
        adjustments.unpriced_units
    from {{ ref('stg_ops__cost_adjustments') }} as adjustments
    inner join days
        on adjustments.usage_date = days.usage_date
),

old_cells as (
    select
        tenant_id,
        date,
        channel,
        {%- for figure in figures %}
            sum({{ figure }}) as {{ figure }},
        {%- endfor %}
        ops.sum_units(unpriced_units) filter (where unpriced_units <> '{}') as unpriced_units
    from (
        select * from old_lines
        union all
        select * from booked
    ) as parts
    group by tenant_id, date, channel
),

cells as (
    select
        coalesce(old_cells.tenant_id, new_lines.tenant_id) as tenant_id,
        coalesce(old_cells.date, new_lines.date) as date,
        coalesce(old_cells.channel, new_lines.channel) as channel,
        {%- for figure in figures %}
            old_cells.{{ figure }} as old_{{ figure }},
            new_lines.{{ figure }} as new_{{ figure }},
        {%- endfor %}
        old_cells.unpriced_units as old_unpriced_units,
        new_lines.unpriced_units as new_unpriced_units
    from old_cells
    full join new_lines
        on
            old_cells.tenant_id = new_lines.tenant_id
            and old_cells.date = new_lines.date
            and old_cells.channel = new_lines.channel
),

final as (
    select
        cells.*,
        days.is_closed,
        days.price_version as old_price_version,
        (select price_book.version from price_book) as new_price_version,
        days.code_version as old_code_version,
        days.plans ->> cells.tenant_id as old_plan
    from cells
    inner join days
        on cells.date = days.usage_date
    where
        case
            -- Nothing and a sum of nothing are the same here: what is booked is a difference.
            when days.is_closed
                then
                    {%- for figure in figures %}
                        coalesce(cells.old_{{ figure }}, 0) <> coalesce(cells.new_{{ figure }}, 0)
                        or
                    {%- endfor %}
                    coalesce(cells.old_unpriced_units, '{}') <> coalesce(cells.new_unpriced_units, '{}')
            else
                cells.old_cost_usd is distinct from cells.new_cost_usd
                or cells.old_billed_cost_usd is distinct from cells.new_billed_cost_usd
                or cells.old_unpriced_unit_count is distinct from cells.new_unpriced_unit_count
                or cells.old_unpriced_units is distinct from cells.new_unpriced_units
        end
)

select * from final
