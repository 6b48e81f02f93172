-- Grain: tenant × date × channel of ledger_changed_costs: what this build changes of the costs of complete days, and why. Of open months it goes to
-- ops.cost_restatements, of closed ones, which keep their figures, to ops.cost_adjustments: by a hook of usage_daily, in the transaction that replaces
-- its days. Additive: the differences.
{{ config(window='all') }}

{%- set measures = ['unit_count', 'input_tokens', 'cached_input_tokens', 'cache_write_tokens', 'cache_write_1h_tokens', 'output_tokens'] %}

with changed as (
    select * from {{ ref('ledger_changed_costs') }}
),

quantities as (
    select * from {{ ref('ledger_changed_quantities') }}
),

price_effects as (
    select * from {{ ref('ledger_price_effects') }}
),

-- Cells whose quantities differ, and channels of a day whose quantities do, whoever they belong to.
cell_usage as (
    select distinct
        tenant_id,
        date,
        channel
    from quantities
    where ({{ measures | join(', ') }}) <> (0, 0, 0, 0, 0, 0)
),

day_usage as (
    select distinct
        date,
        channel
    from (
        select
            date,
            channel,
            service,
            operation,
            model
        from quantities
        group by date, channel, service, operation, model
        having (sum({{ measures | join('), sum(') }})) <> (0, 0, 0, 0, 0, 0)
    ) as differing
),

judged as (
    select
        changed.*,
        -- The frozen lines are not what was computed last: units tell, and only where they and the prices do not, the lines.
        case
            when changed.is_closed then coalesce(changed.old_unit_count, 0) <> coalesce(changed.new_unit_count, 0)
            else cell_usage.tenant_id is not null
        end as has_other_usage,
        cell_usage.tenant_id is not null as has_other_lines,
        day_usage.date is not null as has_other_total,
        coalesce(price_effects.has_other_price, false) as has_other_price,
        coalesce(price_effects.has_other_plan, false) as has_other_plan,
        coalesce(changed.old_cost_usd, 0) = coalesce(changed.new_cost_usd, 0)
        and coalesce(changed.old_unpriced_units, '{}') = coalesce(changed.new_unpriced_units, '{}') as has_same_cost,
        -- Days that were built before this was kept.
        changed.old_price_version is null or changed.old_code_version is null as is_of_unknown_version
    from changed
    left join cell_usage
        on
            changed.tenant_id = cell_usage.tenant_id
            and changed.date = cell_usage.date
            and changed.channel = cell_usage.channel
    left join day_usage
        on
            changed.date = day_usage.date
            and changed.channel = day_usage.channel
    left join price_effects
        on
            changed.tenant_id = price_effects.tenant_id
            and changed.date = price_effects.date
            and changed.channel = price_effects.channel
),

final as (
    select
        tenant_id,
        date,
        channel,
        is_closed,
        {% for figure in ['cost_usd', 'billed_cost_usd', 'charged_cost_usd', 'unit_count', 'unpriced_unit_count', 'unpriced_units'] -%}
            old_{{ figure }},
            new_{{ figure }},
        {% endfor -%}
        old_price_version,
        new_price_version,
        old_code_version,
        case
            when has_same_cost and not has_other_usage then 'bill'
            else
                coalesce(
                    nullif(
                        concat_ws(
                            ', ',
                            case
                                when has_other_usage and has_other_total then 'usage'
                                when has_other_usage then 'attribution'
                            end,
                            case when has_other_price and not is_of_unknown_version then 'price' end,
                            case when has_other_plan and not is_of_unknown_version then 'plan' end
                        ),
                        ''
                    ),
                    case
                        when is_of_unknown_version then 'unknown'
                        when is_closed and has_other_lines and old_code_version = '{{ code_version() }}' then 'usage'
                        when old_code_version <> '{{ code_version() }}' then 'code'
                        else 'unknown'
                    end
                )
        end as reason
    from judged
)

select * from final
