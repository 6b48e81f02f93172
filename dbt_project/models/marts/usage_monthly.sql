-- Grain: tenant × month × channel. Additive over tenants and months; units within a channel only.
{{ config(
    window='month',
    pre_hook="{{ new_columns({'provisional_unit_count': ['numeric(38,18)', '0'], 'unpriced_units': ['jsonb', none]}, computed={'month_start': ['date', month_start()]}) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['month']}]
) }}

-- Of usage_daily, as the month's other marts are, and not of usage_summary: a build that was killed between the two leaves them equal.
with daily as (
    select * from {{ ref('usage_daily') }}
    where
        date >= {{ window_first_month() }}
        and date < {{ window_after_last_month() }}
),

cells as (
    select
        tenant_id,
        to_char(date, 'YYYY-MM') as month,
        channel,
        {{ sums_of_channel() }}
    from daily
    group by tenant_id, to_char(date, 'YYYY-MM'), channel
),

final as (
    select
        tenant_id::text as tenant_id,
        month::text as month,
        {{ month_start() }} as month_start,
        channel::text as channel,
        {{ unit_of('channel') }}::text as unit,
        unit_count::numeric(38, 18) as unit_count,
        request_count::bigint as request_count,
        (estimated_cost_usd * 100)::numeric(38, 18) as estimated_cost_cents,
        (billed_cost_usd * 100)::numeric(38, 18) as billed_cost_cents,
        unpriced_unit_count::numeric(38, 18) as unpriced_unit_count,
        unpriced_units::jsonb as unpriced_units,
        provisional_unit_count::numeric(38, 18) as provisional_unit_count,
        {{ built_at() }} as updated_at
    from cells
)

select * from final
