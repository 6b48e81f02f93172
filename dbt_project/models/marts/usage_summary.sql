-- Grain: tenant × date × channel. Additive over tenants and dates; units within a channel only.
{{ config(
    window='day',
    pre_hook="{{ new_columns({'provisional_unit_count': ['numeric(38,18)', '0'], 'unpriced_units': ['jsonb', none]}) }}",
    post_hook=["{{ protect_rows() }}", "{{ analyze_window() }}"],
    indexes=[{'columns': ['date']}]
) }}

with daily as (
    select * from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
),

breakdown as (
    select
        tenant_id,
        date,
        channel,
        operation,
        direction,
        feature,
        min(unit) as unit,
        sum(unit_count) as unit_count,
        sum(request_count) as request_count,
        sum(estimated_cost_usd) as estimated_cost_usd
    from daily
    group by tenant_id, date, channel, operation, direction, feature
),

breakdown_of_cell as (
    select
        tenant_id,
        date,
        channel,
        jsonb_agg(
            jsonb_build_object(
                'operation', operation,
                'direction', direction,
                'feature', feature,
                'unit', unit,
                'unitCount', trim_scale(unit_count),
                'requestCount', request_count,
                'estimatedCostUsd', trim_scale(estimated_cost_usd)::text
            )
            order by operation, direction, feature
        ) as parts
    from breakdown
    group by tenant_id, date, channel
),

cells as (
    select
        tenant_id,
        date,
        channel,
        {{ unit_of('channel') }} as unit,
        {{ sums_of_channel() }},
        bool_or({{ is_provisional() }}) as has_provisional_lines,
        jsonb_agg(distinct source order by source) as providers
    from daily
    group by tenant_id, date, channel
),

final as (
    select
        concat_ws(':', cells.tenant_id, to_char(cells.date, 'YYYY-MM-DD'), cells.channel)::text as id,
        cells.tenant_id::text as tenant_id,
        cells.date::date as date,
        cells.channel::text as channel,
        cells.unit::text as unit,
        cells.unit_count::numeric(38, 18) as unit_count,
        cells.request_count::bigint as request_count,
        (cells.estimated_cost_usd * 100)::numeric(38, 18) as estimated_cost_cents,
        (cells.billed_cost_usd * 100)::numeric(38, 18) as billed_cost_cents,
        cells.unpriced_unit_count::numeric(38, 18) as unpriced_unit_count,
        cells.unpriced_units::jsonb as unpriced_units,
        cells.provisional_unit_count::numeric(38, 18) as provisional_unit_count,
        (cells.date < {{ as_of_date() }} - {{ lookback_days() }} and not cells.has_provisional_lines)::boolean as is_final,
        jsonb_build_object('providers', cells.providers, 'breakdown', breakdown_of_cell.parts)::jsonb as meta,
        {{ built_at() }} as updated_at
    from cells
    inner join breakdown_of_cell
        on
            cells.tenant_id = breakdown_of_cell.tenant_id
            and cells.date = breakdown_of_cell.date
            and cells.channel = breakdown_of_cell.channel
)

select * from final
