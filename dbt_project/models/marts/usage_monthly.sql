-- Grain: tenant × month × channel. Additive over tenants and months; units within a channel only.
{{ config(
    window='month',
    pre_hook="{{ new_columns({'provisional_unit_count': ['numeric(38,18)', '0'], 'unpriced_units': ['jsonb', none]}) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['tenant_id', 'month']}, {'columns': ['month']}]
) }}

with summary as (
    select * from {{ ref('usage_summary') }}
    where
        date >= {{ window_first_month() }}
        and date < {{ window_after_last_month() }}
),

final as (
    select
        tenant_id::text as tenant_id,
        to_char(date, 'YYYY-MM')::text as month,
        channel::text as channel,
        unit::text as unit,
        sum(unit_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count,
        sum(estimated_cost_cents)::numeric(38, 18) as estimated_cost_cents,
        case when count(*) = count(billed_cost_cents) then sum(billed_cost_cents) end::numeric(38, 18) as billed_cost_cents,
        sum(unpriced_unit_count)::numeric(38, 18) as unpriced_unit_count,
        {{ sum_kinds(kinds_of('summary')) }}::jsonb as unpriced_units,
        sum(provisional_unit_count)::numeric(38, 18) as provisional_unit_count,
        {{ built_at() }} as updated_at
    from summary
    group by tenant_id, to_char(date, 'YYYY-MM'), channel, unit
)

select * from final
